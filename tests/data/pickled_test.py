"""Pickles of names and numbers: what Python and NumPy write is read back, and nothing is ever called."""

import pickle
import struct

import numpy as np
import pytest

from gentoolkit.data import _pickled

pytestmark = pytest.mark.fast
_VALUE = [["a/b_1", "straße", "\u2603"], [1, -2, 300, 70000, 2**40, -(2**70)], {"x": (1.5, None, True), 3: b"\x00\xff"}]


@pytest.mark.parametrize("protocol", range(6))
def test_what_python_writes_is_read_back(tmp_path, protocol):
    path = tmp_path / "some.pickle"
    path.write_bytes(pickle.dumps(_VALUE, protocol))
    assert _pickled.read(path) == _VALUE
    numbers = [np.int64(200), np.int64(-1), np.uint8(255), np.int32(7), np.float64(0.5), np.dtype(">i4").type(3)]
    path.write_bytes(pickle.dumps(numbers, protocol))
    assert _pickled.read(path) == [int(n) if n != 0.5 else 0.5 for n in numbers]


def test_files_of_python_2_are_read_with_either_end_of_line(tmp_path):
    """A list of one number as Python 2 and NumPy wrote it for the birds, and strings of Python 2."""
    text = "(lp0\ncnumpy.core.multiarray\nscalar\np1\n(cnumpy\ndtype\np2\n(S'i8'\np3\nI0\nI1\ntp4\nRp5\n"
    text += "(I3\nS'<'\np6\nNNNI-1\nI-1\nI0\ntp7\nbS'\\xc8\\x00\\x00\\x00\\x00\\x00\\x00\\x00'\np8\ntp9\nRp10\n"
    text += "ag10\naS'002.Laysan/one'\np11\naVtwo\np12\naI01\na."
    path = tmp_path / "some.pickle"
    for written in (text, text.replace("\n", "\r\n")):
        path.write_bytes(written.encode("latin-1"))
        assert _pickled.read(path) == [200, 200, "002.Laysan/one", "two", True]
    path.write_bytes(b"\x80\x02]q\x00(U\x03a\xe9cq\x01T\x02\x00\x00\x00xyq\x02e.")
    assert _pickled.read(path) == ["aéc", "xy"]


class Touch:
    """Unpickled by Python, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", range(6))
def test_a_file_that_would_run_something_is_refused_by_name_and_runs_nothing(tmp_path, protocol):
    path, victim = tmp_path / "hostile.pickle", tmp_path / "touched"
    path.write_bytes(pickle.dumps([Touch(victim)], protocol))
    with pytest.raises(ValueError, match=r"hostile.pickle': it asks for (_io|io).open, and a file that may call"):
        _pickled.read(path)
    assert not victim.exists()
    path.write_bytes(b"(S'echo'\nios\nsystem\n.")
    with pytest.raises(ValueError, match="it uses the operation b'i'"):
        _pickled.read(path)


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "some.pickle"
    whole = pickle.dumps(_VALUE, 2)
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="some.pickle' is damaged"):
            _pickled.read(path)
    faults = b"l.", b"a.", b"S'no\n.", b"g5\n.", b"(]K\x01u.", b"}(K\x01u.", b"\x86.", b"cnumpy\ndtype\nN\x85R."
    for held in (*faults, b"T" + struct.pack("<i", -5) + b"."):
        path.write_bytes(held)
        with pytest.raises(ValueError, match="some.pickle' is damaged"):
            _pickled.read(path)
    with pytest.raises(FileNotFoundError):
        _pickled.read(tmp_path / "none")
