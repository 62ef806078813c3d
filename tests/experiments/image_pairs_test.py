import json

import numpy as np
import pytest
from PIL import Image

from experiments.image_metrics import diversity, pairs
from experiments.image_metrics.pictures import Source


def toy_maps(a, b):
    return np.square(np.float32(a) - np.float32(b)).mean(axis=-1)


TOY = pairs.Measure("toy", "cd", "", lambda a, b: toy_maps(a, b).mean(axis=(1, 2)), toy_maps)


def write(folder, names, *, seed, size=(6, 8)):
    rng = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).save(folder / name)


@pytest.fixture
def folders(tmp_path):
    names = ["a.png", "b.png", "deep/c.png", "d.png", "e.png"]
    write(tmp_path / "first", names, seed=0)
    write(tmp_path / "second", [name.replace(".png", ".bmp") for name in names], seed=1)
    for side, suffix in (("first", "png"), ("second", "bmp")):
        write(tmp_path / side, [f"wide.{suffix}"], seed=2 + len(suffix + side), size=(6, 20))
    return tmp_path / "first", tmp_path / "second"


def test_pairs_are_files_of_one_name_and_their_mean_is_that_of_each(folders):
    first, second = map(Source, folders)
    for size in (1, 2, 16):
        found = pairs.measure(first, second, TOY, batch_size=size)
        assert sorted(found.each) == ["a", "b", "d", "deep/c", "e", "wide"] and not found.left_out and not found.said
    expected = [
        np.square(np.float64(first.read(f"{name}.png").levels) - second.read(f"{name}.bmp").levels).mean()
        for name in found.each
    ]
    np.testing.assert_allclose(list(found.each.values()), expected, rtol=1e-5)
    np.testing.assert_allclose(found.result.value, np.mean(expected), rtol=1e-5)
    np.testing.assert_allclose(found.result.standard_error, np.std(expected, ddof=1) / 6**0.5, rtol=1e-4)
    told = found.result.as_json()
    assert (told["num_generated"], told["network"], told["image_range"]) == (6, "toy", [0, 255])
    both, alone = pairs.partners(first, second)
    page = str(pairs.section("Pairs", both, TOY, found))
    assert alone == ([], []) and "deep/c" in page and "where they differ" in page and json.dumps(found.each)


def test_files_without_partners_and_pairs_of_two_sizes_are_said_and_counted(folders):
    first, second = folders
    (second / "b.bmp").unlink()
    write(second, ["d.bmp"], seed=9, size=(5, 8))
    (first / "e.png").write_bytes(b"no")
    write(second, ["only.bmp"], seed=3)
    found = pairs.measure(Source(first), Source(second), TOY, batch_size=4)
    assert sorted(found.each) == ["a", "deep/c", "wide"] and found.left_out == 4
    text = "\n".join(found.said)
    for told in (
        "real: 1 files have no partner (b.png)",
        "generated: 1 files have no partner (only.bmp)",
        "2 pairs cannot",
    ):
        assert told in text
    assert "  d: sizes differ: 8 x 6 and 8 x 5" in text and "  e: no image of a known kind" in text
    for name in ("a.png", "deep/c.png", "wide.png"):
        (first / name).write_bytes(b"no")
    with pytest.raises(ValueError, match="No pair can be measured(.|\n)*  a: no image"):
        pairs.measure(Source(first), Source(second), TOY, batch_size=4)
    write(second, ["a.png"], seed=3)
    with pytest.raises(ValueError, match="has a.bmp and a.png: which is the partner"):
        pairs.measure(Source(first), Source(second), TOY, batch_size=4)


def test_nothing_in_common_and_missing_files_are_told(tmp_path):
    write(tmp_path / "first", ["a.png"], seed=0)
    write(tmp_path / "second", ["b.png"], seed=0)
    with pytest.raises(ValueError, match="No file of --real has the name(.|\n)*no partner"):
        pairs.measure(Source(tmp_path / "first"), Source(tmp_path / "second"), TOY, batch_size=4)
    with pytest.raises(FileNotFoundError, match=r"put alexnet-owt-7be5be79.pth \(SHA-256 7be5be79"):
        pairs.find("alex", "0.1", str(tmp_path))
    (tmp_path / "vgg16-397923af.pth").touch()
    with pytest.raises(FileNotFoundError, match=r"put v0.0/vgg.pth .*smoke tests alone"):
        pairs.find("vgg", "0.0", str(tmp_path))
    (tmp_path / "lpips_v0.0_vgg.npz").touch()
    assert pairs.find("vgg", "0.0", str(tmp_path)) == (tmp_path / "vgg16-397923af.pth", tmp_path / "lpips_v0.0_vgg.npz")
    assert pairs.find("vgg", "0.0", "random") is None


def test_diversity_is_the_mean_over_inputs_of_their_pairs_whatever_they_are_called(tmp_path):
    names = (
        [f"cat_{i}.png" for i in (0, 1, 2, 10)] + [f"red dog-{i}.bmp" for i in range(2)] + ["deep/0.png", "deep/3.png"]
    )
    write(tmp_path, names, seed=0)
    source = Source(tmp_path)
    assert diversity.outputs(source) == {
        "cat": [f"cat_{i}.png" for i in (0, 1, 2, 10)],
        "deep": ["deep/0.png", "deep/3.png"],
        "red dog": ["red dog-0.bmp", "red dog-1.bmp"],
    }

    def apart(a, b):
        return np.square(np.float64(source.read(a).levels) - source.read(b).levels).mean()

    others = [apart("deep/0.png", "deep/3.png"), apart("red dog-0.bmp", "red dog-1.bmp")]
    cats = [apart(f"cat_{a}.png", f"cat_{b}.png") for a, b in ((0, 1), (1, 2), (2, 10))]
    for pairing, own, num in (("disjoint", cats[::2], 4), ("consecutive", cats, 5)):
        found = diversity.measure(source, TOY, pairing=pairing, batch_size=3)
        np.testing.assert_allclose(list(found.each.values()), [np.mean(own), *others], rtol=1e-6)
        np.testing.assert_allclose(found.result.value, np.mean([np.mean(own), *others]), rtol=1e-6)
        told = found.result.as_json()
        assert (told["num_generated"], told["num_inputs"], told["num_real"], told["network"]) == (num, 3, 0, "toy")
        assert told["interval"][0] < told["value"] < told["interval"][1] and told["standard_error"] > 0
        assert any("each input counts once" in line for line in found.said) and not found.left_out
    assert "red dog" in diversity.section("Inputs", source, found)
    (tmp_path / "cat_1.png").write_bytes(b"no")
    found = diversity.measure(source, TOY, pairing="disjoint", batch_size=3)
    assert found.left_out == 1 and any("cat_0.png and cat_1.png: no image" in line for line in found.said)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a_0.png", "a_1.png"], "all images are outputs of one input, a: .* NAME_0.png"),
        (["a_0.png", "a_1.png", "b_0.png"], "1 inputs have one output, such as b_0.png"),
        (["a_0.png", "a_1.png", "b.png"], "b.png does not end in _NUMBER"),
        (["a_0.png", "a_00.png", "b_0.png", "b_1.png"], "a_0.png and a_00.png are one output"),
    ],
)
def test_names_that_tell_no_inputs_are_refused(names, told, tmp_path):
    write(tmp_path, names, seed=0, size=(2, 2))
    with pytest.raises(ValueError, match=told):
        diversity.outputs(Source(tmp_path))


def test_a_model_that_does_not_heed_its_codes_is_said(tmp_path):
    for name in ("a_0.png", "a_1.png", "b_0.png", "b_1.png"):
        write(tmp_path, [name], seed=0)
    found = diversity.measure(Source(tmp_path), TOY, pairing="disjoint", batch_size=2)
    assert found.result.value == 0 and any("does not heed its codes" in line for line in found.said)
