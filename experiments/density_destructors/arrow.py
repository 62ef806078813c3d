"""Bytes as pyarrow reads them."""

import pyarrow


def stream(data: bytes) -> pyarrow.BufferReader:
    """Returns a stream of a copy in Arrow's own memory.

    Arrow's threads let go of what they have read some time later. Where that is an object of Python, they wait for the
    interpreter, and if it ends at that moment, the whole process is aborted.
    """
    sink = pyarrow.BufferOutputStream()
    sink.write(data)
    return pyarrow.BufferReader(sink.getvalue())
