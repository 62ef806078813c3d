"""Files as PyTorch writes them, made by hand: pickles from their opcodes, archives and storages from bytes."""

import io
import struct
import zipfile

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_STORAGES = {"<f4": "Float", "<f8": "Double", "<f2": "Half", "<i8": "Long", "<i4": "Int", "|u1": "Byte", "|b1": "Bool"}


def name(module, name):
    return b"c" + f"{module}\n{name}\n".encode()


def value(x):
    """The opcodes of a string, number, tuple or dict; bytes are opcodes already."""
    match x:
        case bytes():
            return x
        case bool():
            return b"\x88" if x else b"\x89"
        case None:
            return b"N"
        case str():
            return b"X" + struct.pack("<I", len(x.encode())) + x.encode()
        case int():
            return b"J" + struct.pack("<i", x) if abs(x) < 2**31 else b"\x8a\x08" + struct.pack("<q", x)
        case tuple():
            return b"(" + b"".join(map(value, x)) + b"t"
        case dict():
            return b"}(" + b"".join(value(k) + value(v) for k, v in x.items()) + b"u"


def call(module, function, *args):
    return name(module, function) + value(args) + b"R"


def instance(module, type, state):
    return name(module, type) + b")\x81" + value(state) + b"b"


def ordered(pairs):
    """An ordered dictionary, with the versions that a state_dict carries along."""
    filled = call("collections", "OrderedDict") + b"(" + b"".join(value(k) + value(v) for k, v in pairs.items()) + b"u"
    return filled + value({"_metadata": {"": {"version": 1}}}) + b"b"


def tensor(key, kind, numel, shape, strides, *, offset=0, location="cpu", legacy=False):
    identity = ("storage", name("torch", f"{kind}Storage"), key, location, numel, *([None] if legacy else []))
    identity = value(identity) + b"Q"
    return call("torch._utils", "_rebuild_tensor_v2", identity, offset, shape, strides, False, ordered({}))


def array(key, x, **options):
    """The opcodes of a contiguous array."""
    strides = tuple(stride // x.itemsize for stride in x.strides)
    return tensor(key, _STORAGES[x.dtype.str], x.size, x.shape, strides, **options)


def pickled(tree):
    return b"\x80\x02" + value(tree) + b"."


def archive(tree, storages, *, extra=None, root="archive", compression=zipfile.ZIP_STORED):
    """An archive of `torch.save`: `tree` in opcodes, bytes by storage."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        file.writestr(f"{root}/data.pkl", tree if tree[:1] == b"\x80" else pickled(tree))
        for key, content in storages.items():
            file.writestr(f"{root}/data/{key}", content)
        for member, content in (extra or {}).items():
            file.writestr(f"{root}/{member}", content)
    return out.getvalue()


def legacy(tree, storages):
    """A file of `torch.save` before version 1.6; storages are `(number of entries, bytes)` by key."""
    head = LEGACY_MAGIC + pickled(1001) + pickled({"protocol_version": 1001, "little_endian": True})
    keys = b"](" + b"".join(map(value, storages)) + b"e"
    parts = b"".join(struct.pack("<q", count) + content for count, content in storages.values())
    return head + pickled(tree) + pickled(keys) + parts
