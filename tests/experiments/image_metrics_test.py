import json
import os
import pathlib
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from experiments.image_metrics import command, measures, networks, page, pictures
from experiments.image_metrics.measures import Options
from experiments.image_metrics.networks import Extractor
from gentoolkit.evaluation import features, fid, kid, preprocessing
from gentoolkit.models.extractors import squeezenet

ROOT = pathlib.Path(__file__).parents[2]


def write_images(folder, num, *, seed=0, size=(12, 10), shift=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(num):
        pixels = np.clip(rng.integers(0, 200, (*size, 3)) + shift, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def extractor():
    """A random network of 6 features and 4 classes, for images of 8 x 8."""
    weights = np.random.default_rng(5).normal(size=(192, 10)).astype(np.float32) / 8

    @jax.jit
    def extract(x):
        made = jnp.tanh(x.reshape(len(x), -1) @ weights)
        return {"features": made[:, :6], "logits": 5 * made[:, 6:]}

    return Extractor("toy", "ab" * 32, "", preprocessing.legacy_pytorch(size=8), extract)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    write_images(root / "real", 25)
    write_images(root / "generated" / "deep", 18, seed=1, shift=40)
    return root / "real", root / "generated"


EVERYTHING = Options(
    metrics=("fid", "kid", "is", "pr", "dc"), neighbors_network="inception", num_splits=2, subset_size=10, num_subsets=5
)


def run(real, generated, extractor, options=EVERYTHING, **changes):
    sources = command.find(str(real), str(generated), options)
    kinds = measures.networks_of(options)
    extractors = extractor if isinstance(extractor, dict) else dict.fromkeys(kinds, extractor)
    return command.measure(sources, extractors, options, **({"batch_size": 8, "transparency": "drop"} | changes))


def seen(folder, extractor):
    images = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.rglob("*.png"))]
    prepared = np.concatenate([extractor.prepare(image[None]) for image in images])
    return features.of(
        np.asarray(extractor.extract(prepared)["features"]), network="toy", preprocessing="legacy_pytorch"
    )


def test_figures_are_those_of_the_features_whatever_the_batches(folders, extractor, tmp_path):
    real, generated = (seen(folder, extractor) for folder in folders)
    expected = fid(real, generated)
    for size in (8, 5, 64):
        found = run(*folders, extractor, batch_size=size)
        assert list(found.results) == [
            "fid", "kid", "inception_score", "precision", "recall", "density", "coverage",
        ]  # fmt: skip
        np.testing.assert_allclose(found.results["fid"].value, expected.value, rtol=1e-4)
    np.testing.assert_allclose(found.results["fid"].standard_error, expected.standard_error, rtol=1e-3)
    other = kid(real, generated, subset_size=10, num_subsets=5)
    np.testing.assert_allclose(found.results["kid"].value, other.value, rtol=1e-3)
    told = found.results["fid"].as_json()
    assert (told["num_real"], told["num_generated"], told["network"]) == (25, 18, "toy")
    assert (told["preprocessing"], told["sha256"]) == ("legacy_pytorch", "ab" * 32)
    assert found.left_out == {"left_out_real": 0, "left_out_generated": 0}
    json.dumps({name: result.as_json() for name, result in found.results.items()}, allow_nan=False)
    # Saved statistics stand for the images.
    path = command.save_real(tmp_path / "real.npz", found)
    again = run(path, folders[1], extractor)
    np.testing.assert_allclose(again.results["fid"].value, found.results["fid"].value, rtol=1e-5)
    assert again.real.source is None
    for sides in (found, again):
        written = page.write(
            tmp_path, sides.results, real=sides.real, generated=sides.generated, said=sides.said, settings={
                "real": "r", "generated": "g",
            }, random=False,
        )  # fmt: skip
        text = written.read_text()
        assert "FID" in text and "Images that count most" in text and "deep/0" in text
        assert ("Nearest real images" in text) == (sides is found)


def test_statistics_of_two_networks_are_saved_in_one_file_and_stand_for_the_images(folders, extractor, tmp_path):
    options = Options(metrics=("fid", "kid", "is", "pr", "dc"), num_splits=2, subset_size=10, num_subsets=5)
    other = extractor._replace(
        name="other",
        sha256="cd" * 32,
        prepare=preprocessing.imagenet(size=8),
        extract=lambda x: {"features": np.asarray(x).reshape(len(x), -1)[:, :50]},
    )
    extractors = {"inception": extractor, "vgg16": other}
    found = run(*folders, extractors, options)
    path = command.save_real(tmp_path / "real.npz", found)
    again = run(path, folders[1], extractors, options)
    for name, result in found.results.items():
        np.testing.assert_allclose(again.results[name].value, result.value, rtol=1e-6, err_msg=name)
    assert again.results["precision"].network == "other" and again.results["fid"].network == "toy"
    alone = run(path, folders[1], {"vgg16": other}, Options(metrics=("pr",)))
    assert alone.results["recall"].value == found.results["recall"].value


def test_what_could_not_be_written_is_refused_before_the_work(folders, extractor, tmp_path):
    sources = command.find(*map(str, folders), EVERYTHING)
    fine = str(tmp_path / "new" / "real.npz")
    command.check_outputs(tmp_path / "deep" / "work", fine, sources, EVERYTHING)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no metric of is looks at the real images"):
        command.check_outputs(tmp_path, fine, sources, Options(metrics=("is",)))
    with pytest.raises(ValueError, match="must end in .npz"):
        command.check_outputs(tmp_path, str(tmp_path / "real"), sources, EVERYTHING)
    with pytest.raises(ValueError, match="has statistics already"):
        known = sources._replace(real=None, statistics=tmp_path / "x.npz")
        command.check_outputs(tmp_path, fine, known, EVERYTHING)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="--workdir: .*file cannot be written to"):
        command.check_outputs(tmp_path / "file", fine, sources, EVERYTHING)
    with pytest.raises(OSError, match="--save_real: .*file.* cannot be written to"):
        command.check_outputs(tmp_path, str(tmp_path / "file" / "deep" / "x.npz"), sources, EVERYTHING)
    (tmp_path / "x.npz").mkdir()
    with pytest.raises(OSError, match="is a folder"):
        command.check_outputs(tmp_path, str(tmp_path / "x.npz"), sources, EVERYTHING)


def test_unusual_images_are_said_and_broken_ones_are_counted_and_left_out(extractor, tmp_path):
    folder = write_images(tmp_path / "real", 4)
    grey = np.arange(120, dtype=np.uint8).reshape(10, 12)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 300).save(folder / "deep.png")
    rgba = np.dstack([np.full((10, 12, 3), 7, np.uint8), grey])
    Image.fromarray(rgba).save(folder / "alpha.png")
    content = (folder / "000.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) // 2])
    (folder / "no image.png").write_bytes(b"hello")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("x")
    write_images(folder, 1, size=(30, 20), seed=3)
    found = run(folder, write_images(tmp_path / "generated", 12, seed=1), extractor, Options(metrics=("fid",)))
    text = "\n".join(found.said)
    for told in (
        "real: images of 3 sizes (3 of 10 x 12, 3 of 12 x 10, 1 of 20 x 30), each stretched",
        "real: 2 images are grey",
        "real: 1 images are 16 bits, reduced to 8",
        "real: 1 images are transparent (their transparency is dropped)",
        "real: 3 of 10 files cannot be read and are left out",
        "  cut.png: ",
        "  no image.png: no image of a known kind",
        "  empty.png: an empty file",
    ):
        assert told in text, told
    assert found.left_out == {"left_out_real": 3, "left_out_generated": 0}
    assert found.results["fid"].num_real == 7
    source = pictures.Source(folder)
    assert source.passed_over == "1 files of other kinds (1 .txt)"
    np.testing.assert_array_equal(source.read("deep.png").levels[..., 0], np.round(grey * 300.0 / 257))
    np.testing.assert_array_equal(source.read("alpha.png").levels, np.full((10, 12, 3), 7))
    white = source.read("alpha.png", transparency="white").levels
    np.testing.assert_allclose(white[..., 0], 255 + (7.0 - 255) * grey / 255, atol=1)
    for path in (*folder.glob("0*.png"), folder / "grey.png", folder / "deep.png"):
        path.unlink()
    with pytest.raises(ValueError, match="at least two real images, got 1(.|\n)*cut.png"):
        run(folder, tmp_path / "generated", extractor, Options(metrics=("fid",)))
    (folder / "alpha.png").unlink()
    with pytest.raises(ValueError, match="None of the images can be read(.|\n)*cut.png"):
        run(folder, tmp_path / "generated", extractor, Options(metrics=("fid",)))


def test_a_zip_file_is_a_folder(folders, extractor, tmp_path):
    path = tmp_path / "generated.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for image in sorted(folders[1].rglob("*.png")):
            packed.write(image, image.relative_to(folders[1]))
    options = Options(metrics=("kid",), subset_size=10, num_subsets=3)
    found = run(folders[0], path, extractor, options).results["kid"]
    assert found.value == run(*folders, extractor, options).results["kid"].value


def test_damaged_and_encrypted_members_of_a_zip_file_are_listed(folders, extractor, tmp_path):
    path = tmp_path / "generated.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for image in sorted(folders[1].rglob("*.png")):
            packed.write(image, image.name)
        entries = {entry.filename: entry for entry in packed.infolist()}
    content = bytearray(path.read_bytes())

    def damage(name, *, local, value):
        content[entries[name].header_offset + local] = value

    def places(name):  # of its entry in the directory at the end
        return content.rindex(name.encode()) - 46

    start = 30 + len("000.png")
    damage("000.png", local=start, value=0xFF)  # no block of the format deflate
    damage("001.png", local=start + 40, value=content[entries["001.png"].header_offset + start + 40] ^ 0x55)
    content[places("002.png") + 8] |= 1  # encrypted
    damage("002.png", local=6, value=1)
    content[places("003.png") + 10] = 99  # a method that nobody knows
    path.write_bytes(content)
    found = run(folders[0], path, extractor, Options(metrics=("fid",)))
    assert found.left_out["left_out_generated"] == 4 and found.results["fid"].num_generated == 14
    text = "\n".join(found.said)
    for name in ("000", "001", "002", "003"):
        assert f"  {name}.png: " in text
    assert "encrypted" in text


def test_folders_behind_links_are_seen_once(folders, tmp_path):
    inner = write_images(tmp_path / "set" / "inner", 2)
    (tmp_path / "set" / "real").symlink_to(folders[0])
    (tmp_path / "set" / "again").symlink_to(inner)
    (inner / "up").symlink_to(tmp_path / "set")
    names = pictures.Source(tmp_path / "set").names
    assert len(names) == 2 + 25 and names[0] == os.path.join("inner", "000.png")
    assert sum(name.startswith("real") for name in names) == 25


def test_what_cannot_be_compared_is_refused_before_the_work(folders, extractor, tmp_path):
    real, generated = folders
    alone = write_images(tmp_path / "alone", 1)
    inner = write_images(tmp_path / "outer" / "inner", 3)
    link = tmp_path / "link"
    link.symlink_to(real)
    for places, options, told in (
        ((real, real), EVERYTHING, "are the same"),
        ((real, link), EVERYTHING, "are the same"),
        ((inner.parent, inner), EVERYTHING, "lie one inside of the other"),
        ((inner, inner.parent), EVERYTHING, "lie one inside of the other"),
        ((real, alone), EVERYTHING, "at least two generated images, got 1"),
        ((real, tmp_path / "none"), EVERYTHING, "There is no folder or file"),
        ((tmp_path / "none.npz", generated), EVERYTHING, "There is no file"),
        (
            (real, generated),
            Options(metrics=("pr",), num_neighbors=18),
            "--num_neighbors must be .* got 18 with 18",
        ),
        (
            (real, generated),
            Options(metrics=("dc",), num_neighbors_density=25),
            "density must be .* got 25 with 25",
        ),
        ((real, generated), Options(metrics=("is",), num_splits=19), "--num_splits must be at most the 18"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=told):
            command.find(*map(str, places), options)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "x.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"No image in .*There are 1 files of other kinds \(1 .txt\)"):
        command.find(str(real), str(empty), EVERYTHING)
    statistics = tmp_path / "real.npz"
    features.save(statistics, seen(real, extractor), rows=False)
    with pytest.raises(ValueError, match="moments alone: kid, pr, dc need"):
        run(statistics, generated, extractor)
    beside = features.save(generated / "real.npz", seen(real, extractor))  # a file is no folder around the images
    assert run(beside, generated, extractor, Options(metrics=("fid",))).results["fid"].num_real == 25
    beside.unlink()
    unnamed = tmp_path / "unnamed.npz"
    np.savez(unnamed, mu=np.zeros(6), sigma=np.eye(6))
    said = run(unnamed, generated, extractor, Options(metrics=("fid",))).said
    assert any("taken to be network toy and preprocessing legacy_pytorch" in line for line in said)
    assert run(statistics, generated, extractor, Options(metrics=("fid",))).results["fid"].num_real == 25
    with pytest.raises(ValueError, match="'toy', not 'other'"):
        run(statistics, generated, extractor._replace(name="other"), Options(metrics=("fid",)))
    with pytest.raises(ValueError, match="'legacy_pytorch', not 'clean'"):
        changed = extractor._replace(prepare=preprocessing.clean(size=8))
        run(statistics, generated, changed, Options(metrics=("fid",)))


def test_codecs_are_counted_and_two_kinds_of_them_are_said(folders, extractor, tmp_path):
    lossy = tmp_path / "lossy"
    lossy.mkdir()
    for path in folders[0].glob("*.png"):
        Image.open(path).save(lossy / f"{path.stem}.jpg")
    found = run(lossy, folders[1], extractor, Options(metrics=("fid",)))
    assert found.codecs == {"codec_real": {"JPEG": 25}, "codec_generated": {"PNG": 18}}
    assert "The codecs differ, which moves distances by itself: real 25 JPEG; generated 18 PNG." in found.said
    for path in list(folders[1].rglob("*.png"))[:2]:
        Image.open(path).save(tmp_path / f"{path.stem}.bmp")
    again = run(folders[0], folders[1], extractor, Options(metrics=("fid",)))
    assert not any("codec" in line for line in again.said)


def test_the_middle_square_is_taken_where_that_is_asked_for_and_the_name_says_so(folders, extractor, tmp_path):
    cropped = extractor._replace(prepare=preprocessing.legacy_pytorch(size=8, crop=True))
    options = Options(metrics=("fid",), crop=True)
    found = run(*folders, cropped, options)
    assert found.results["fid"].preprocessing == "legacy_pytorch+center_crop"
    for side in folders:
        for path in side.rglob("*.png"):
            out = tmp_path / side.name / path.name
            out.parent.mkdir(exist_ok=True)
            Image.open(path).crop((0, 1, 10, 11)).save(out)
    plain = run(tmp_path / "real", tmp_path / "generated", extractor, Options(metrics=("fid",)))
    assert found.results["fid"].value == plain.results["fid"].value != run(*folders, extractor).results["fid"].value
    path = command.save_real(tmp_path / "real.npz", found)
    with pytest.raises(ValueError, match=r"center_crop', not 'legacy_pytorch'"):
        run(path, folders[1], extractor, Options(metrics=("fid",)))


def test_a_score_of_generated_images_alone_asks_for_no_real_ones(folders, extractor):
    options = Options(metrics=("is",), num_splits=2)
    sources = command.find(None, str(folders[1]), options)
    found = command.measure(sources, {"inception": extractor}, options, batch_size=8, transparency="drop")
    expected = run(*folders, extractor, options).results["inception_score"]
    assert found.results["inception_score"].value == expected.value and found.real_features == []


def test_missing_weights_are_named_with_their_hash(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        networks.find("inception", "")
    text = str(caught.value)
    assert "\n" not in text and "pt_inception-2015-12-05-6726825d.pth (SHA-256 6726825d...)" in text
    assert "--weights=random" in text and "smoke tests alone" in text
    (tmp_path / "inception_v3_google-0cc3c7bd.pth").touch()
    with pytest.raises(FileNotFoundError, match="0cc3c7bd.pth is torchvision's"):
        networks.find("inception", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="vgg16-397923af.pth"):
        networks.find("vgg16", str(tmp_path))
    for name in ("pt_inception-2015-12-05-6726825d.npz", "weights-inception-2015-12-05-6726825d.pth"):
        (tmp_path / name).touch()
        assert networks.find("inception", str(tmp_path)).name == name
    assert networks.find("inception", "random") is None


def test_keras_squeezenet_sees_what_it_was_trained_on_and_has_no_classes():
    x = np.random.default_rng(0).random((2, 5, 5, 3), np.float32)

    class Toy(nnx.Module):
        origin = "toy"

        def __call__(self, images, taps):
            return {taps[0]: images}  # the images as the network gets them

    kind = networks.KINDS["keras_squeezenet"]
    seen = networks.Pooled(Toy())(kind.prepare(size=5)(x), ("fire9",))["fire9"]
    np.testing.assert_allclose(seen, squeezenet.KerasSqueezeNet.preprocess(x).mean((1, 2)), rtol=1e-4)
    with pytest.raises(ValueError, match="--metrics=is needs a network that tells classes, and keras_squeezenet"):
        networks.check("keras_squeezenet", ("fid", "is"))
    networks.check("mobilenet", ("fid", "is"))


def test_other_networks_figures_have_other_names(folders, extractor):
    options = Options(metrics=("fid", "kid", "is"), network="mobilenet", num_splits=2, subset_size=5, num_subsets=2)
    found = run(*folders, extractor, options)
    assert list(found.results) == ["frechet_mobilenet", "kernel_distance_mobilenet", "class_score_mobilenet"]


def test_many_images_keep_moments_alone_unless_a_metric_needs_more(folders, extractor, monkeypatch):
    monkeypatch.setattr(measures, "MOST_ROWS", 10)
    found = run(*folders, extractor, Options(metrics=("fid",)))
    assert found.real.features.rows is None and len(found.real.features.blocks) == 8
    np.testing.assert_allclose(
        found.results["fid"].value, fid(*(seen(folder, extractor) for folder in folders)).value, rtol=1e-4
    )
    assert found.results["fid"].standard_error > 0
    assert run(*folders, extractor).real.features.rows is not None


def _program(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.image_metrics.main", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_the_command_tells_a_mistake_in_one_line(folders, tmp_path):
    done = _program(f"--real={folders[0]}", f"--generated={folders[1]}", f"--workdir={tmp_path}")
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "put pt_inception-2015-12-05-6726825d.pth" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_writes_figures_and_a_page(tmp_path):
    names = [f"{name}_{i}" for name in ("cat", "dog") for i in range(2)]
    for side, seed in (("real", 0), ("generated", 1)):
        folder = write_images(tmp_path / side, len(names), seed=seed, size=(40, 48))
        for name, path in zip(names, sorted(folder.glob("*.png")), strict=True):
            path.rename(folder / f"{name}.png")
    (tmp_path / "captions.tsv").write_text("".join(f"{name}.jpg\ta {name}\n" for name in names[:3]))
    sides = [f"--{side}={tmp_path / side}" for side in ("real", "generated")]
    shared = ["--network=mobilenet", "--weights=random", f"--workdir={tmp_path / 'out'}"]
    wanted = ["--metrics=fid,is,clip_score,lpips,diversity", "--num_splits=2", "--lpips_versions=0.1,0.0"]
    refused = _program(*sides, *shared, *wanted)
    assert refused.returncode == 1 and "--metrics=clip_score needs --captions." in refused.stderr
    done = _program(*sides, *shared, *wanted, f"--captions={tmp_path / 'captions.tsv'}")
    assert done.returncode == 1, done.stderr  # an image has no caption
    assert "random weights" in done.stderr and "1 images have no caption and are left out" in done.stderr
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(found) == [
        "frechet_mobilenet", "class_score_mobilenet", "clip_score",
        "lpips", "lpips_v0.0", "diversity", "diversity_v0.0",
    ]  # fmt: skip
    assert [(each["num_real"], each["num_generated"]) for each in found.values()] == [
        (4, 4), (0, 4), (0, 3), (4, 4), (4, 4), (0, 2), (0, 2),
    ]  # fmt: skip
    assert all("random" in each["network"] and each["standard_error"] >= 0 for each in found.values())
    assert found["frechet_mobilenet"]["codec_real"] == {"PNG": 4} and "codec_real" not in found["clip_score"]
    each = json.loads((tmp_path / "out" / "pairs.json").read_text())
    assert list(each["lpips"]) == sorted(names) and list(each["diversity_v0.0"]) == ["cat", "dog"]
    page = (tmp_path / "out" / "report.html").read_text()
    for told in (
        "smoke tests alone",
        "Captions that fit best",
        "Pairs that differ most",
        "Inputs whose outputs differ",
    ):
        assert told in page
