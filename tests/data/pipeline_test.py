"""The promise of a stream: step t is the same batch, whoever asks, however often, in however many parts."""

import json
import subprocess
import sys
import threading

import grain
import numpy as np
import pytest

from gentoolkit.data import columns
from gentoolkit.data.fields import Image, Mask
from gentoolkit.data.pipeline import EvaluationPass, ReadAhead, Stream
from gentoolkit.data.transform import horizontal_flip


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        assert a[name].dtype == b[name].dtype


def together(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.fast
def test_batch(source, images):
    stream = Stream(source, seed=0, batch_size=5)
    batch = stream[0]
    assert batch["image"].shape == (5, 6, 5, 3) and batch["image"].dtype == np.float32
    assert batch["label"].shape == (5,) and batch["label"].dtype == np.int32
    np.testing.assert_array_equal(batch["image"], images[stream.indices(0)].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(batch["label"], stream.indices(0) % 4)
    assert stream.steps_per_epoch == 4 and stream.fields == source.fields


@pytest.mark.fast
def test_epochs_are_permutations_and_differ(source):
    stream = Stream(source, seed=0, batch_size=23)
    orders = [stream.indices(epoch) for epoch in range(3)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(23))
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], Stream(source, seed=1, batch_size=23).indices(0))
    # With a remainder, no example twice in an epoch, and others left out in the next.
    stream = Stream(source, seed=0, batch_size=5)
    epochs = [np.concatenate([stream.indices(4 * e + s) for s in range(4)]) for e in range(2)]
    assert all(len(set(epoch.tolist())) == 20 for epoch in epochs)
    assert set(epochs[0].tolist()) != set(epochs[1].tolist())


@pytest.mark.fast
def test_unshuffled_and_ending(source):
    stream = Stream(source, seed=0, batch_size=10, shuffle=False, epochs=2)
    assert [stream.indices(t)[0] for t in range(4)] == [0, 10, 0, 10]
    assert len(stream) == 4 == len(list(stream))
    iterator = stream.iterator(start=4)
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)
    for wrong in (-1, 4):
        with pytest.raises(IndexError, match="step"):
            stream[wrong]


@pytest.mark.fast
@pytest.mark.parametrize("process_count", [2, 3, 6])
@pytest.mark.parametrize("shuffle", [True, False])
def test_parts_make_up_the_global_batch(source, process_count, shuffle):
    options = {"seed": 3, "batch_size": 6, "shuffle": shuffle, "transforms": (horizontal_flip,)}
    whole = Stream(source, **options)
    parts = [Stream(source, process_index=p, process_count=process_count, **options) for p in range(process_count)]
    for step in (0, 1, 2, 3, 40):
        same(together([part[step] for part in parts]), whole[step])
    passes = [
        EvaluationPass(source, batch_size=6, process_index=p, process_count=process_count) for p in range(process_count)
    ]
    for pieces, batch in zip(zip(*passes, strict=True), EvaluationPass(source, batch_size=6), strict=True):
        same(together(pieces), batch)


def test_two_processes_see_what_one_does(source):
    """The other process is a real one, with its own hash seed and its own NumPy state."""
    code = (
        "import sys, hashlib, numpy as np\n"
        "from gentoolkit.data.pipeline import Stream\n"
        "from gentoolkit.data import columns\n"
        "from gentoolkit.data.transform import horizontal_flip\n"
        "images = np.random.default_rng(0).integers(0, 256, (23, 6, 5, 3), np.uint8)\n"
        "source = columns.images(images, np.arange(23) % 4)\n"
        "flip = (horizontal_flip,)\n"
        "stream = Stream(source, seed=7, batch_size=6, process_index=1, process_count=2, transforms=flip)\n"
        "for _, batch in zip(range(9), stream):\n"
        "    print(hashlib.sha256(batch['image'].tobytes() + batch['label'].tobytes()).hexdigest())\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True).stdout
    import hashlib

    whole = Stream(source, seed=7, batch_size=6, transforms=(horizontal_flip,))
    ours = [{name: value[3:] for name, value in whole[step].items()} for step in range(9)]
    expected = [hashlib.sha256(b["image"].tobytes() + b["label"].tobytes()).hexdigest() for b in ours]
    assert said.split() == expected


@pytest.mark.fast
@pytest.mark.parametrize("num_threads", [0, 1, 4])
def test_iterator_equals_indexing_and_resumes_exactly(source, num_threads):
    stream = Stream(
        source, seed=0, batch_size=5, transforms=(horizontal_flip,), read_ahead=ReadAhead(num_threads=num_threads)
    )
    iterator = iter(stream)
    for step in range(7):
        same(next(iterator), stream[step])
    state = json.loads(json.dumps(iterator.get_state()))
    following = [next(iterator) for _ in range(7)]
    iterator.close()

    fresh = iter(Stream(source, seed=0, batch_size=5, transforms=(horizontal_flip,)))
    next(fresh)  # something has been read ahead already
    fresh.set_state(state)
    assert fresh.get_state() == state
    for batch in following:
        same(next(fresh), batch)
    fresh.close()
    started = stream.iterator(start=7)
    same(next(started), following[0])


@pytest.mark.fast
def test_state_does_not_depend_on_the_number_of_processes(source):
    iterator = iter(Stream(source, seed=0, batch_size=6))
    for _ in range(5):
        next(iterator)
    parts = []
    for p in range(2):
        part = iter(Stream(source, seed=0, batch_size=6, process_index=p, process_count=2))
        part.set_state(iterator.get_state())
        parts.append(next(part))
    same(together(parts), next(iterator))


@pytest.mark.fast
def test_state_of_another_stream_is_refused(source, images):
    state = iter(Stream(source, seed=0, batch_size=5)).get_state()
    smaller = columns.images(images[:20])
    for other, message in [
        (Stream(source, seed=1, batch_size=5), "seed = 0 then and 1 now"),
        (Stream(source, seed=0, batch_size=6), "batch_size = 5 then and 6 now"),
        (Stream(source, seed=0, batch_size=5, shuffle=False), "shuffle = True then and False now"),
        (Stream(smaller, seed=0, batch_size=5), "num_examples = 23 then and 20 now"),
    ]:
        with pytest.raises(ValueError, match=message):
            iter(other).set_state(state)
    for wrong in ({"step": -1}, {"step": 5}, {}):
        with pytest.raises(ValueError, match="step"):
            iter(Stream(source, seed=0, batch_size=5, epochs=1)).set_state(wrong)


def test_orbax_saves_the_iterator(source, tmp_path):
    from orbax.checkpoint import v1 as ocp

    iterator = iter(Stream(source, seed=0, batch_size=5))
    assert isinstance(iterator, grain.DatasetIterator)
    next(iterator), next(iterator)
    ocp.save_checkpointables(tmp_path / "saved", {"data": iterator})
    expected = next(iterator)
    fresh = iter(Stream(source, seed=0, batch_size=5))
    ocp.load_checkpointables(tmp_path / "saved", {"data": fresh})
    same(next(fresh), expected)


def test_worker_processes_and_threads_agree(tmp_path):
    """Worker processes read what threads read, and a position saved with one resumes with the other."""
    script = tmp_path / "program.py"
    script.write_text(
        "from absl import app\n"
        "import numpy as np\n"
        "from gentoolkit.data import columns, fields\n"
        "from gentoolkit.data.pipeline import ReadAhead, Stream\n"
        "def main(argv):\n"
        "    images = np.random.default_rng(0).integers(0, 256, (23, 6, 5, 3), np.uint8)\n"
        "    named = {'image': fields.Image(shape=(6, 5, 3)), 'text': fields.Tokens(max_length=3)}\n"
        "    source = columns.from_values(named, {'image': images, 'text': [[1] * (i % 4) for i in range(23)]})\n"
        "    plain = Stream(source, seed=0, batch_size=5)\n"
        "    workers = Stream(source, seed=0, batch_size=5, read_ahead=ReadAhead(num_workers=2))\n"
        "    first = plain.iterator()\n"
        "    for _ in range(3): next(first)\n"
        "    second = iter(workers)\n"
        "    second.set_state(first.get_state())\n"
        "    for _ in range(5):\n"
        "        a, b = next(first), next(second)\n"
        "        assert np.array_equal(a['image'], b['image']) and type(b['text']) is fields.Ragged\n"
        "        assert all(np.array_equal(*parts) for parts in zip(a['text'], b['text']))\n"
        "    assert first.get_state() == second.get_state()\n"
        "    second.close()\n"
        "    print('agree')\n"
        "if __name__ == '__main__': app.run(main)\n"
    )
    done = subprocess.run([sys.executable, str(script)], timeout=110, capture_output=True, text=True)
    assert done.stdout.strip() == "agree", done.stderr[-2000:]


class Flaky:
    """Pictures of which number 11 cannot be read, until it is mended."""

    def __init__(self, images):
        self.images, self.broken = images, True

    def __call__(self, index):
        if index == 11 and self.broken:
            raise ValueError("'x.png' cannot be read as an image")
        return self.images[index]


@pytest.mark.fast
def test_error_in_a_thread_arrives_at_its_own_step(source, images):
    flaky = Flaky(images)
    broken = columns.images(flaky, np.zeros(23, int), image_shape=(6, 5, 3))
    iterator = iter(Stream(broken, seed=0, batch_size=5, shuffle=False))
    next(iterator), next(iterator)
    for _ in range(2):
        with pytest.raises(ValueError, match="x.png"):
            next(iterator)
    flaky.broken = False
    np.testing.assert_array_equal(
        next(iterator)["image"], Stream(source, seed=0, batch_size=5, shuffle=False)[2]["image"]
    )


@pytest.mark.fast
def test_closing_ends_the_threads(source):
    before = set(threading.enumerate())
    iterator = iter(Stream(source, seed=0, batch_size=5))
    next(iterator)
    ours = set(threading.enumerate()) - before
    assert ours
    iterator.close()
    for thread in ours:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in ours)
    with pytest.raises(ValueError, match="closed"):
        next(iterator)


@pytest.mark.fast
def test_flip(source):
    stream = Stream(source, seed=0, batch_size=23, transforms=(horizontal_flip,))
    plain = Stream(source, seed=0, batch_size=23)
    flipped = []
    for step in range(40):
        a, b = stream[step]["image"], plain[step]["image"]
        kept, mirrored = (a == b).all((1, 2, 3)), (a == b[:, :, ::-1]).all((1, 2, 3))
        assert (kept ^ mirrored).all()
        flipped.append(mirrored)
    share = np.mean(flipped)
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(23 * 40)
    assert not np.array_equal(flipped[0], flipped[1])
    # Two transforms in a row draw independently: together they flip a half, not none.
    twice = Stream(source, seed=0, batch_size=23, transforms=(horizontal_flip, horizontal_flip))
    assert not np.array_equal(twice[0]["image"], plain[0]["image"])


@pytest.mark.fast
def test_source_is_left_alone(source, images):
    before = images.copy()
    stream = Stream(source, seed=0, batch_size=5, transforms=(horizontal_flip,))
    for step in range(8):
        stream[step]["image"][...] = -1
    np.testing.assert_array_equal(images, before)


@pytest.mark.fast
def test_evaluation_pass(source):
    evaluation = EvaluationPass(source, batch_size=10)
    for _ in range(2):  # as often as it is iterated
        batches = list(evaluation)
        assert [b["image"].shape[0] for b in batches] == [10, 10, 10] and len(evaluation) == 3
        whole = together(batches)
        np.testing.assert_array_equal(whole["counts"], np.arange(30) < 23)
        np.testing.assert_array_equal(whole["label"][whole["counts"]], np.arange(23) % 4)
        np.testing.assert_array_equal(whole["image"][23:], np.repeat(whole["image"][22:23], 7, axis=0))
    dropping = list(EvaluationPass(source, batch_size=10, drop_remainder=True))
    assert len(dropping) == 2 and all(b["counts"].all() for b in dropping)
    assert len(list(EvaluationPass(source, batch_size=100))) == 1


@pytest.mark.fast
def test_padding_leaves_a_mask_of_the_data_alone(images):
    """It once took the place of a column of that name."""
    masks = images[..., 0] // 128
    fields = {"image": Image(shape=(6, 5, 3)), "mask": Mask(shape=(6, 5))}
    passed = list(EvaluationPass(columns.from_values(fields, {"image": images, "mask": masks}), batch_size=10))
    whole = together(passed)
    np.testing.assert_array_equal(whole["mask"][whole["counts"]], masks)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 24}, r"batch_size = 24 is larger than the data: 23 examples \(made up\)"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"process_count": 2}, "batch_size = 5, process_count = 2"),
        ({"process_index": 1}, "process_index = 1"),
        ({"seed": -1}, "seed = -1"),
        ({"epochs": 0}, "epochs = 0"),
    ],
)
def test_options_out_of_range(source, options, message):
    with pytest.raises(ValueError, match=message):
        Stream(source, **{"seed": 0, "batch_size": 5, **options})


@pytest.mark.fast
def test_evaluation_options_out_of_range(source):
    with pytest.raises(ValueError, match="batch_size = 24 is larger than the data: 23"):
        EvaluationPass(source, batch_size=24, drop_remainder=True)
    with pytest.raises(ValueError, match="process_count = 2"):
        EvaluationPass(source, batch_size=5, process_count=2)
