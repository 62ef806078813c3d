"""Data of text to picture beyond drawn scenes: folders of one's own, published sets, and sizes that go with them."""

import json
import shutil

import jax
import numpy as np
import optax
import pytest
from absl import app
from flax import nnx

from experiments.text_to_image import config as config_lib
from experiments.text_to_image import data, encoders, experiment
from experiments.text_to_image.systems import build, damsm
from gentoolkit import training
from gentoolkit.data import openmoji, scenes
from gentoolkit.data.text import Vocabulary
from gentoolkit.models.text.encoded import Encoded
from gentoolkit.models.text_to_image.damsm import InceptionEncoder, Seen
from tests.data.captioned import quarters, write
from tests.data.cub_test import birds, flowers  # noqa: F401 (fixtures)

pytestmark = pytest.mark.fast


def _counts(config):
    """Numbers of parameters of a painter, by network, as its preset builds it."""
    told = encoders.Pretrained(None, None, Vocabulary(()), 18, config.text.features, 0)
    made = nnx.eval_shape(lambda: build.painter(config, told).models(nnx.Rngs(0)))
    return {name: sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net, nnx.Param))) for name, net in made.items()}


def test_presets_of_256_pixels_are_of_the_published_sizes():
    """Counts as PyTorch has them in the public code; lengths and rates of the authors' files of options."""
    for data_name in ("cub256", "flowers256", "coco256"):
        config = config_lib.get_config(f"dfgan_{data_name}")
        assert _counts(config) == {"generator": 9_744_131, "discriminator": 6_717_766}
        assert (config.batch_size, config.words_drawn, config.ema_decay) == (32, 18, 0.0)
        options = config.dfgan
        assert (options.peak_generator, options.peak_discriminator, options.b1, options.b2) == (1e-4, 4e-4, 0.0, 0.9)
        assert (options.gradient_penalty, options.power, options.mismatched) == (2.0, 6.0, 0.5)
    wanted = {
        "cub256": (7_084_592, 6_313_730, 19_424_002, 71_858_946),
        "coco256": (13_811_456, 13_304_450, 42_800_258, 160_774_274),
    }
    for data_name, counts in wanted.items():
        config = config_lib.get_config(f"attngan_{data_name}")
        names = ("paint", "judge_64", "judge_128", "judge_256")
        assert _counts(config) == dict(zip(names, counts, strict=True))
        lengths = (config.batch_size, config.attngan.damsm, config.words_drawn, config.ema_decay)
        assert lengths == ((20, 5.0, 18, 0.999) if data_name == "cub256" else (14, 50.0, 12, 0.999))
        assert (config.attngan.peak, config.attngan.b1, config.attngan.b2) == (2e-4, 0.5, 0.999)
    config = config_lib.get_config("damsm_cub256")
    assert (config.batch_size, config.damsm.peak, config.damsm.clip_norm) == (48, 2e-3, 0.25)
    vocabulary = Vocabulary(tuple(map(str, range(5448))))
    made = nnx.eval_shape(lambda: encoders.networks(config, vocabulary, nnx.Rngs(0)))
    assert isinstance(made["images"], InceptionEncoder)
    shapes = made["text"].embed.embedding.shape, made["text"].forward.of_state.shape
    assert shapes == ((5450, 300), (128, 512))


def test_every_preset_can_be_built_but_detectors_of_other_data():
    for preset in config_lib.PRESETS:
        config = config_lib.get_config(preset)
        assert preset == f"{config.system}_{preset.split('_')[1]}" and config.num_steps > 0
    with pytest.raises(ValueError, match="preset must be one of .*got 'detector_cub256'"):
        config_lib.get_config("detector_cub256")


def _folder(root, rows, name="captions.csv"):
    for row in rows:
        quarters(root / row["file"], 8, 8)
    header = list(rows[0])
    write(root / name, "\n".join([",".join(header), *(",".join(row[key] for key in header) for row in rows)]) + "\n")


def _config(root, **changes):
    config = config_lib.get_config("dfgan_folder64")
    config.update_from_flattened_dict({"data_dir": str(root), "image_size": 8, "batch_size": 2} | changes)
    return config


def test_a_folder_of_ones_own_finds_its_table_its_columns_and_its_split(tmp_path, capsys):
    rows = [{"file": f"p/{n}.png", "caption": f"hat {n}", "split": "val" if n < 2 else "train"} for n in range(6)]
    _folder(tmp_path, rows)
    found = data.load(_config(tmp_path))
    assert (len(found.train), len(found.test), found.held_out) == (4, 2, None)
    assert data.said(found.test, found.vocabulary, 2) == ["hat 0", "hat 1"]
    assert data.stream(_config(tmp_path), found.train)[0]["image"].shape == (2, 8, 8, 3)
    # Without a column that says it, a part is for testing; the same one each time.
    found = data.load(_config(tmp_path, **{"folder.split": "part"}))
    assert (len(found.train), len(found.test)) == (4, 2)
    assert "does not say" not in capsys.readouterr().err
    data.load(_config(tmp_path, **{"folder.split": "caption"}))
    assert "its column 'caption' does not say train and test; a tenth is for testing" in capsys.readouterr().err
    # Names may go on, and rows without a picture be left out if that is said.
    named = [row | {"split": f"{row['split']}2017"} for row in rows]
    _folder(tmp_path, [*named, {"file": "p/gone.png", "caption": "hat", "split": "train2017"}])
    (tmp_path / "p" / "gone.png").unlink()
    found = data.load(_config(tmp_path, **{"folder.missing": "leave out"}))
    assert (len(found.train), len(found.test)) == (4, 2)
    assert "1 rows whose picture is not in" in capsys.readouterr().err
    _folder(tmp_path, rows)
    # Words of another encoder are taken as they are, and those that it lacks are said.
    told = data.load(_config(tmp_path), vocabulary=Vocabulary(("hat",)))
    assert data.said(told.test, told.vocabulary, 1) == ["hat ?"]
    assert "words that the vocabulary lacks" in capsys.readouterr().err


def test_pages_show_texts_of_a_folder_as_they_are_written(tmp_path):
    texts = ("A Red hat.", "The BLUE hat!", "Shoes", "Bag", "Bag", "Bag")
    extra = '{"caption": "a text of no picture", "split": "extra"}'
    rows = [
        {"file": f"{max(n, 1)}.png", "caption": text, "split": "test" if n < 3 else "train"}
        for n, text in enumerate(texts)
    ]
    _folder(tmp_path, rows)
    config = _config(tmp_path)
    found = data.load(config, vocabulary=Vocabulary(("hat", "the", "red")))
    # The first two are of one picture; words that the vocabulary lacks are written all the same.
    assert data.said(found.test, found.vocabulary, 3) == ["? red hat", "the ? hat", "?"]
    assert data.written(config, found.test, found.vocabulary, 9, split="test") == list(texts[:3])
    # Rows that are of no picture, which nothing asks for, are no hindrance.
    write(tmp_path / "captions.jsonl", "\n".join([*map(json.dumps, rows), extra]))
    config.folder.table = "captions.jsonl"
    assert data.written(config, found.test, found.vocabulary, 9, split="test") == list(texts[:3])


def test_faults_of_a_folder_of_ones_own_are_named(tmp_path):
    def refused(error, match, **changes):
        with pytest.raises(error, match=match):
            data.load(_config(tmp_path, **changes))

    refused(ValueError, "config.data_dir must name the folder of folder", data_dir="")
    refused(FileNotFoundError, "config.data_dir: there is no folder .*gone", data_dir=str(tmp_path / "gone"))
    refused(FileNotFoundError, r"must hold a table of texts, captions.csv.*\(found: none\)")
    _folder(tmp_path, [{"file": f"{n}.png", "name": "hat"} for n in range(3)], "some.csv")
    refused(ValueError, "has none of the columns caption.*but file, name; give config.folder.texts")
    refused(ValueError, "has 3 pictures with texts; at least 4 are needed", **{"folder.texts": "name"})
    refused(ValueError, "has no column 'title'", **{"folder.texts": "title"})
    (tmp_path / "0.png").unlink()
    refused(FileNotFoundError, "names 1 pictures that are not in .*: 0.png", **{"folder.texts": "name"})
    write(tmp_path / "other.json", "[]")
    refused(FileNotFoundError, r"\(found: other.json, some.csv\); or give config.folder.table")


def test_published_sets_are_prepared_once_with_their_words(birds, capsys):  # noqa: F811
    config = config_lib.get_config("damsm_cub256")
    config.update({"data_dir": str(birds), "image_size": 8, "load_scale": 1.25, "max_words": 6, "batch_size": 2})
    found = data.load(config)
    assert (len(found.train), len(found.test), found.max_words) == (2, 1, 6)
    assert found.train.fields["image"].shape == (10, 10, 3) and found.test.fields["image"].shape == (8, 8, 3)
    assert data.said(found.test, found.vocabulary, 1) == ["a b c d"]
    assert "fewer than 10 texts" in capsys.readouterr().err
    batch = data.stream(config, found.train, *damsm.columns(config))[0]
    assert batch["image"].shape == (2, 8, 8, 3) and batch["label"].tolist() == [0, 0]
    assert batch["caption"].values.shape == (2, 6)
    # The second time nothing of the original is read.
    shutil.rmtree(birds / "CUB_200_2011")
    again = data.load(config)
    np.testing.assert_array_equal(again.train[1]["image"], found.train[1]["image"])
    assert again.vocabulary == found.vocabulary and not capsys.readouterr().err
    # Other words are another preparation.
    with pytest.raises(FileNotFoundError, match=r"CUB_200_2011"):
        data.load(config, vocabulary=Vocabulary(("a",)))
    config = config_lib.get_config("dfgan_cub256")
    assert int(config.image_size * config.load_scale) == 304
    with pytest.raises(ValueError, match="config.data_dir must name the folder of cub"):
        data.load(config)
    config.update({"data_dir": str(birds), "load_scale": 0.5})
    with pytest.raises(ValueError, match=r"config.load_scale must be from 1 to 4, got 0.5"):
        data.load(config)
    config.update({"load_scale": 1.0, "prepared": "/proc/none"})
    with pytest.raises(app.UsageError, match="config.prepared: cannot write to '/proc/none'"):
        data.load(config, vocabulary=found.vocabulary)


def test_a_folder_of_ones_own_is_decoded_once_where_a_place_is_named(tmp_path, monkeypatch):
    root, place = tmp_path / "own", tmp_path / "prepared"
    for number in range(6):
        quarters(root / f"{number}.png", 8 + number, 8)
    lines = [f"{number}.png,a red thing,{('hat', 'bag')[number % 2]}" for number in range(6)]
    write(root / "captions.csv", "\n".join(["file,caption,kind", *lines]))
    config = config_lib.get_config("probe_folder64")
    config.update({"data_dir": str(root), "image_size": 4, "folder": {"attributes": "kind", "least": 1}})
    plain = data.load(config)
    config.prepared = str(place)
    first = data.load(config)
    written = list(place.glob("folder_*"))
    assert len(written) == 1 and list(place.rglob("*array_record*"))
    for one, other in ((plain.train, first.train), (plain.test, first.test)):
        assert one.fields == other.fields and list(one.names) == list(other.names)
        for row in range(len(one)):
            for name in one.fields:
                np.testing.assert_array_equal(one[row][name], other[row][name])
    assert first.attributes == plain.attributes and first.vocabulary == plain.vocabulary
    # No picture is decoded again; another picture, or another text, is another preparation.
    with monkeypatch.context() as patched:
        patched.setattr("gentoolkit.data._builder.write", None)
        np.testing.assert_array_equal(data.load(config).train[0]["image"], first.train[0]["image"])
    quarters(root / "0.png", 4, 4)
    data.load(config)
    write(root / "captions.csv", (root / "captions.csv").read_text().replace("0.png,a red", "0.png,a blue"))
    assert data.load(config).vocabulary != first.vocabulary
    assert len(list(place.glob("folder_*"))) == 3


def _small_coco(root):
    """Captions of both splits of 2014, and their pictures; nothing of objects."""
    for split, number, text in (("train2014", 7, "a red car"), ("val2014", 9, "two dogs, two cars")):
        name = f"COCO_{split}_{number:012d}.jpg"
        quarters(root / split / name, 16, 8)
        held = {
            "images": [{"id": number, "file_name": name, "width": 16, "height": 8}],
            "annotations": [{"id": 1, "image_id": number, "caption": text}],
        }
        write(root / "annotations" / f"captions_{split}.json", json.dumps(held))


def test_flowers_and_coco_are_found_where_their_readers_look(flowers, tmp_path):  # noqa: F811
    _small_coco(tmp_path / "coco")
    for name, root, said, kinds in (
        ("flowers", flowers, "flower 01", ("label",)),
        ("coco", tmp_path / "coco", "two dogs two cars", ()),
    ):
        config = config_lib.get_config(f"attngan_{name}256")
        prepared = {"prepared": str(tmp_path / "elsewhere"), "image_size": 4, "load_scale": 1.25, "batch_size": 1}
        config.update({"data_dir": str(root), **prepared})
        found = data.load(config)
        assert data.said(found.test, found.vocabulary, 1) == [said]
        assert damsm.columns(config) == kinds and set(kinds) <= found.train.fields.keys()
        assert data.stream(config, found.train, *kinds)[0]["image"].shape == (1, 4, 4, 3)
        assert not (root / "prepared").exists()


def test_drawn_pictographs_take_the_language_that_is_asked_for(monkeypatch):
    asked = []

    def loaded(split, *, languages, vocabularies, image_size, num_captions, max_words, keywords):
        asked.append((split, languages, vocabularies, image_size, num_captions, max_words, keywords))
        return scenes.load("train", 3, image_size=16)

    words = Vocabulary(("rotes", "herz"))
    monkeypatch.setattr(data.openmoji_texts, "load", loaded)
    monkeypatch.setattr(data.openmoji_texts, "read_vocabulary", lambda language, *, keywords: words)
    config = config_lib.get_config("dfgan_openmoji64")
    config.language, config.keywords = "de", True
    found = data.load(config)
    assert [one[:2] for one in asked] == [("train", ("de",)), ("test", ("de",))] and asked[0][2] == {"de": words}
    assert asked[0][3:] == (64, 2, 12, True) and found.vocabulary == words and found.credit == openmoji.CREDIT


def test_scenes_of_training_lack_some_combinations_unless_all_are_asked_for():
    config = config_lib.get_config("dfgan_scenes32")
    config.update({"num_train": 200, "num_test": 8, "image_size": 16})
    for hold_out in (True, False):
        config.hold_out = hold_out
        found = data.load(config).train.select("objects", "colours").take(np.arange(200))
        rare = scenes.held_out(found["objects"].values, found["colours"].values)[:, 0]
        assert rare.any() != hold_out


def test_scenes_are_told_in_their_own_words():
    config = config_lib.get_config("vae_scenes32")
    config.keywords = True
    with pytest.raises(ValueError, match="config.keywords are OpenMoji's; scenes has none"):
        data.load(config)
    with pytest.raises(ValueError, match="Scenes are told in words of their own"):
        data.load(config_lib.get_config("vae_scenes32"), vocabulary=Vocabulary(("a",)))


@pytest.mark.parametrize("preset", ["damsm_scenes32", "damsm_openmoji64"])
def test_a_folder_where_the_data_are_drawn_is_refused(preset):
    config = config_lib.get_config(preset)
    config.data_dir = "photographs"
    with pytest.raises(ValueError, match="needs no folder, got config.data_dir = 'photographs'.*folder64"):
        data.load(config)


def test_pictures_of_one_kind_are_no_negatives_of_each_other():
    words, valid = jax.random.normal(jax.random.key(0), (3, 4, 5)), np.ones((3, 4), bool)
    texts = Encoded(words, words[:, 0], valid)
    seen = Seen(jax.random.normal(jax.random.key(1), (3, 6, 5)), words[:, 1])
    options = config_lib.get_config().damsm
    groups = (None, np.array([0, 1, 2]), np.array([7, 7, 7]))
    plain, apart, alike = jax.jit(lambda: [damsm.loss(seen, texts, options, groups=of) for of in groups])()
    assert float(apart) == pytest.approx(float(plain)) and apart > 0.1
    assert float(alike) == pytest.approx(0.0, abs=1e-5)


def test_inception_stays_as_its_file_has_it_while_its_maps_learn(monkeypatch, tmp_path):
    config = config_lib.get_config("damsm_cub256")
    with pytest.raises(ValueError, match=r"config.damsm.inception must be a file of weights: torchvision's"):
        damsm.system(config, Vocabulary(("a",)))
    config.damsm.inception = str(tmp_path / "gone.pth")
    with pytest.raises(FileNotFoundError, match="no weights at .*gone.pth"):
        damsm.system(config, Vocabulary(("a",)))
    monkeypatch.setattr(damsm.damsm_models, "read_trunk", lambda path: nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    made = damsm.system(config, Vocabulary(("a",)))
    assert made.columns == ("label",) and made.initial.into == ("images/trunk",)
    assert made.initial.source.keys() == {"images/trunk/kernel", "images/trunk/bias"}
    params = {name: np.ones(2, np.float32) for name in ("images/trunk/kernel", "images/regions/kernel", "text/embed")}
    optimizer = made.players["encoders"].optimizer
    state = optimizer.init(params)
    updates, _ = optimizer.update({name: np.full(2, 3.0, np.float32) for name in params}, state, params)
    moved = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(moved["images/trunk/kernel"], 1)
    assert all(np.all(moved[name] < 1) for name in ("images/regions/kernel", "text/embed"))
    # Adam keeps nothing of what stays.
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) < 12


def test_attngan_needs_an_encoder_of_pictures():
    config = config_lib.get_config("attngan_scenes32")
    told = encoders.Pretrained(None, None, scenes.VOCABULARY, 18, 128, 0)
    with pytest.raises(ValueError, match="trained by an encoder of pictures too, and .*image_encoder"):
        build.build(config, None, told)


def test_an_encoder_that_is_not_there_is_said_before_the_data_are_read(tmp_path):
    config = config_lib.get_config("dfgan_cub256")
    config.encoder = str(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="no folder .*gone"):
        experiment.run(config, tmp_path / "run", training.make_mesh(num_devices=1))
