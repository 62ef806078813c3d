"""Captions: how they are read and matched to images, and the CLIP score that the command takes of them."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from experiments.image_metrics import captions, clip_network, command, networks, page
from experiments.image_metrics.measures import Options
from gentoolkit.models import clip

SHARED = pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "weights"
NAMES = ["a.png", "deep/b.png", "deep/c.png", "d.png"]
TEXTS = {"a.png": "red, round", "deep/b.png": "green", "deep/c.png": "blé", "d.png": '"quoted"'}


def table(head, *, suffix="csv", names=NAMES):
    joint = "\t" if suffix == "tsv" else ","
    quoted = {
        name: '"' + text.replace('"', '""') + '"' if suffix == "csv" or '"' in text else text
        for name, text in TEXTS.items()
    }
    rows = [joint.join([new, quoted[old]]) for new, old in zip(names, NAMES, strict=True)]
    return "\n".join([*([head.replace(",", joint)] if head else []), *rows]) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", table("file_name,caption")),
        ("c.csv", "\ufeff" + table("Image,Text")),
        ("c.csv", table("")),
        ("c.tsv", table("filename,prompt", suffix="tsv")),
        ("c.csv", table("file_name,caption", names=["a.jpg", "deep/b", "c.jpeg", "d"])),  # other suffixes, last parts
        ("c.jsonl", "\n".join(json.dumps({"file_name": n, "text": t}) for n, t in TEXTS.items()) + "\n\n"),
    ],
)
def test_every_form_of_captions_is_read(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    found = captions.find(tmp_path / name, NAMES)
    assert found.texts == TEXTS and not found.without_caption and not found.without_image and not found.said()


def test_a_folder_of_texts_is_matched_by_name_and_what_is_missing_is_named(tmp_path):
    for name in ("a.txt", "deep/b.txt", "other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"of {name}")
    found = captions.find(tmp_path, NAMES)
    assert found.texts == {"a.png": "of a.txt", "deep/b.png": "of deep/b.txt"}
    assert found.without_caption == ["deep/c.png", "d.png"] and found.without_image == ["other"]
    assert found.said() == [
        "2 images have no caption and are left out of the CLIP score: deep/c.png, d.png.",
        "1 captions have no image: other.",
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("c.csv", "file_name,title\na.png,x\n", "line 1: one column must be called caption or text or prompt"),
        ("c.csv", "file_name,caption\na.png,x\na.png,y\n", "line 3: 'a.png' has a caption already"),
        ("c.csv", "file_name,caption\na.png,x\na.jpg,y\n", "'a.png' and 'a.jpg' are both captions of a.png"),
        ("c.csv", "file_name,caption\na.png, \n", "line 2: the caption of 'a.png' is empty"),
        ("c.csv", "a.png,red, round\n", "line 1: one column must be called"),
        ("c.csv", "a.png,red\nd.png,red, round\n", "line 2 has 3 cells: quote captions with commas"),
        ("c.csv", "file_name,caption\na.png\n", "line 2 has 1 cells"),
        ("c.csv", 'file_name,caption\na.png,"x\n', "line 2: unexpected end of data"),
        (
            "c.csv",
            "file_name,caption\nx.png,y\n",
            "no caption belongs to an image; it names 'x.png', and there are a.png",
        ),
        ("c.csv", "", "has no captions"),
        ("c.jsonl", '{"file_name": "a.png", "caption": "x"}\nno\n', "line 2: no JSON"),
        ("c.jsonl", '{"file_name": "a.png", "caption": 3}\n', "line 1: file_name and caption must be texts"),
        ("c.json", "{}", "must end in .csv, .tsv, .jsonl or be a folder"),
    ],
)
def test_what_is_no_caption_is_told_with_its_line(name, content, told, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=told):
        captions.find(tmp_path / name, NAMES)


def test_missing_files_other_encodings_and_names_of_two_images_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        captions.find(tmp_path / "none.csv", NAMES)
    (tmp_path / "c.csv").write_bytes("file_name,caption\na.png,bl\xe9\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8 text .byte 26"):
        captions.find(tmp_path / "c.csv", NAMES)
    (tmp_path / "c.csv").write_text("file_name,caption\nb.png,x\n")
    with pytest.raises(ValueError, match="'b.png' may be deep/b.png or far/b.png"):
        captions.find(tmp_path / "c.csv", ["deep/b.png", "far/b.png"])
    assert captions.find(tmp_path / "c.csv", ["deep/b.png", "b.png"]).texts == {"b.png": "x"}


def test_files_of_clip_are_found_by_their_published_names(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        clip_network.find("ViT-B-32", "")
    text = str(caught.value)
    assert "\n" not in text and "ViT-B-32.pt (SHA-256 40d365715913c9da...)" in text and "smoke tests alone" in text
    (tmp_path / "ViT-B-16.npz").touch()
    with pytest.raises(FileNotFoundError, match=f"bpe_simple_vocab_16e6.txt.gz .*into {tmp_path}"):
        clip_network.find("ViT-B-16", str(tmp_path))
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").touch()
    found = clip_network.find("ViT-B-16", str(tmp_path))
    assert [path.name for path in found] == ["ViT-B-16.npz", "bpe_simple_vocab_16e6.txt.gz"]
    inner = tmp_path / "clip-vit-base-patch32"
    inner.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (inner / name).touch()
    assert clip_network.find("ViT-B-32", str(tmp_path)) == (inner / "model.safetensors", inner / "tokenizer.json")
    assert clip_network.find("ViT-B-32", "random") is None


def test_the_command_takes_the_clip_score_of_the_images_that_have_captions(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (70, 90, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"no")
    texts = {0: "a cat", 2: "a dog " * 40, 3: "a bird", 4: "a fish"}
    rows = [json.dumps({"file_name": f"{i}.jpg", "caption": text}) for i, text in texts.items()]
    (tmp_path / "c.jsonl").write_text("\n".join([*rows, '{"file_name": "9.jpg", "caption": "nobody"}']))
    options = Options(metrics=("clip_score",), clip_form="times_100", clip_prompt="see ")
    sources = command.find(None, str(tmp_path), options)
    found_captions = captions.find(tmp_path / "c.jsonl", sources.generated.names)
    made = clip_network.load("ViT-B-32", None)
    assert "smoke tests" in made.extractor.note
    found = command.measure(
        sources,
        {"ViT-B-32": made.extractor},
        options,
        batch_size=2,
        transparency="drop",
        texts=command.Texts(found_captions, made.embed, made.vocabulary),
    )
    # The same numbers from the parts, image by image and text by text.
    own = [i for i in texts if i != 3]
    prepared = np.stack([clip.preprocess_bytes(Image.open(tmp_path / f"{i}.png"), size=64) for i in own])
    images = np.asarray(made.extractor.extract(prepared)["features"], np.float64)
    words = np.concatenate([made.embed([f"see {texts[i]}"])[0] for i in own]).astype(np.float64)
    cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(images, words, strict=True)]
    result = found.results["clip_score"]
    np.testing.assert_allclose(result.value, np.mean(np.maximum(100 * np.array(cosines), 0)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.captioned.cosines, cosines, atol=1e-5)
    told = result.as_json()
    assert (told["num_real"], told["num_generated"], told["form"], told["prompt"]) == (0, 3, "times_100", "see ")
    assert (told["preprocessing"], told["vocabulary"]) == ("clip", "bytes") and "random" in told["network"]
    assert (told["images_without_caption"], told["captions_without_image"]) == (1, 1)
    said = "\n".join(found.said)
    assert "1 images have no caption" in said and "9.jpg" in said and "1 captions have more tokens" in said
    assert "3.png: no image" in said and found.left_out == {"left_out_real": 0, "left_out_generated": 1}
    written = page.write(
        tmp_path, found.results, real=found.real, generated=found.generated, said=[], random=True,
        settings={"real": "r", "generated": "g"}, captioned=found.captioned,
    ).read_text()  # fmt: skip
    assert "CLIP score" in written and "Captions that fit best and least" in written and "a fish" in written


@pytest.mark.skipif(not SHARED.is_dir(), reason="CLIP's vocabulary is not here")
def test_a_vocabulary_of_another_size_is_refused(tmp_path, monkeypatch):
    small = clip.CLIP.__new__(clip.CLIP)  # never asked
    object.__setattr__(small, "origin", networks)
    monkeypatch.setattr(clip, "load", lambda path, architecture: small)
    monkeypatch.setitem(clip_network.KINDS, "mini", ("x", "x", "MINI"))
    files = clip_network.Files(tmp_path / "x.pt", SHARED / "bpe_simple_vocab_16e6.txt.gz")
    with pytest.raises(ValueError, match="has 49408 tokens, and CLIP mini 1024"):
        clip_network.load("mini", files)
