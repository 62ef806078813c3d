"""Checkpoints of DF-GAN's and AttnGAN's authors, written here in their layout with random weights, as painters."""

import pickle

import jax
import numpy as np
import pytest
from flax import nnx

from experiments.text_to_image import encoders, measures, painters
from gentoolkit.models import weights
from gentoolkit.models.text import recurrent
from gentoolkit.models.text_to_image import attngan, damsm, dfgan
from tests.models.weights import torch_files

pytestmark = pytest.mark.fast
_WORDS = ("this", "bird", "is", "red", "blue", "small")
_FEATURES, _EMBEDDING, _NOISE = 6, 5, 4


def _state(made, table, *, seed=0):
    """Random tensors under the names and in the shapes that a table says the authors' files have."""
    shapes = {"/".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(nnx.as_pure(nnx.state(made)))}
    rng, found = np.random.default_rng(seed), {}
    for path, entry in table.items():
        for name, shape in zip(entry.names, entry.shapes(shapes[path]), strict=True):
            found[name] = np.abs(rng.standard_normal(shape)).astype(np.float32) * 0.3
    return found


class _File:
    """A file of `torch.save`: a state_dict, or dictionaries of them and of numbers."""

    def __init__(self):
        self.storages = {}

    def tree(self, value):
        if isinstance(value, np.ndarray):
            value, key = np.ascontiguousarray(value), str(len(self.storages))
            self.storages[key] = value.tobytes()
            return torch_files.array(key, value)
        if isinstance(value, dict):
            return torch_files.ordered({name: self.tree(one) for name, one in value.items()})
        return value

    def write(self, path, value):
        path.write_bytes(torch_files.archive(self.tree(value), self.storages))


def _save(path, value):
    _File().write(path, value)


def _shape(make):
    return nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))


def _text_encoder(folder, words=_WORDS, pickled="captions.pickle", features=_FEATURES):
    """The text encoder and its words, as `pretrain_DAMSM.py` and `datasets.py` of AttnGAN save them."""
    folder.mkdir(exist_ok=True)
    # Their numbers: 0 for the end, then the words; ours have one more, for words that are not known.
    made = _shape(lambda rngs: recurrent.Encoder(1 + len(_WORDS), features=features, embedding=_EMBEDDING, rngs=rngs))
    made.dropout = None
    state = _state(made, recurrent.table(), seed=1)
    _save(folder / "text_encoder200.pth", state)
    by_number = {0: "<end>"} | dict(enumerate(words, 1))
    captions = [[[1, 2, 3, 4]], [[5]], by_number, {word: number for number, word in by_number.items()}]
    (folder / pickled).write_bytes(pickle.dumps(captions, 2))
    return state


@pytest.fixture
def of_dfgan(tmp_path):
    """`state_epoch_1220.pth` as `lib/utils.py` of DF-GAN saves it, for pictures of 8 pixels, with its neighbours."""
    folder = tmp_path / "dfgan"
    _text_encoder(folder, pickled="captions_DAMSM.pickle")
    sizes = {"image_size": 8, "width": 2, "sentence_dim": _FEATURES}
    generator = _state(
        _shape(lambda rngs: dfgan.Generator(**sizes, noise_dim=_NOISE, rngs=rngs)), dfgan.generator_table(8, 2)
    )
    judge = _state(_shape(lambda rngs: dfgan.Discriminator(**sizes, rngs=rngs)), dfgan.discriminator_table(8, 2))
    networks = {
        "netG": generator,
        "netD": {name: value for name, value in judge.items() if not name.startswith("joint")},
        "netC": {name: value for name, value in judge.items() if name.startswith("joint")},
    }
    optimizers = {"optimizer_G": {"state": {}}, "optimizer_D": {"state": {}}}
    _save(folder / "state_epoch_1220.pth", {"model": networks, "optimizers": optimizers, "epoch": 1220})
    return folder, generator


@pytest.fixture
def of_attngan(tmp_path):
    """`bird_AttnGAN2.pth`, the generator alone, of two stages."""
    folder = tmp_path / "attngan"
    _text_encoder(folder)
    sizes = {"num_stages": 2, "num_residual": 3, "image_size": 128}
    made = _shape(
        lambda rngs: attngan.Generator(
            **sizes, width=2, noise_dim=_NOISE, condition_dim=3, text_dim=_FEATURES, rngs=rngs
        )
    )
    state = _state(made, attngan.generator_table(**sizes))
    counts = {name.replace("running_mean", "num_batches_tracked"): np.array(7) for name in state if "mean" in name}
    _save(folder / "bird_AttnGAN2.pth", state | counts)
    return folder, state


def test_a_checkpoint_of_dfgan_paints_what_its_text_says(of_dfgan, tmp_path):
    folder, state = of_dfgan
    painter = painters.load(folder)
    assert (painter.config.system, painter.config.image_size, painter.system.noise_dim) == ("dfgan", 8, _NOISE)
    assert painter.vocabulary.words == _WORDS
    placed = painter.models["generator"].last.kernel[...]
    np.testing.assert_array_equal(placed, state["to_rgb.1.weight"].transpose(2, 3, 1, 0))
    encoded, told = painter.read(["this bird is RED.", "this zebra bird is red", "small blue"])
    assert told == ["'this zebra bird is red': not known, and passed over: zebra"]
    np.testing.assert_array_equal(encoded.sentence[0], encoded.sentence[1])
    noise = np.repeat(painters.noise(painter, 1, seed=0, truncation=0.88), 3, axis=0)
    images = measures.paint(painter.system, painter.models, encoded, noise=noise)
    assert images.shape == (3, 8, 8, 3)
    np.testing.assert_allclose(images[0], images[1], rtol=1e-5)
    assert np.abs(images[0] - images[2]).max() > 1e-4
    # It goes into one small file as our own painters do.
    painters.save(tmp_path / "bird.npz", painter)
    again = painters.load(tmp_path / "bird.npz")
    encoded, told = again.read(["this zebra bird is red"])
    assert "passed over: zebra" in told[0]
    painted = measures.paint(again.system, again.models, encoded, noise=noise[:1])
    np.testing.assert_allclose(painted[0], images[1], atol=5e-3)


def test_a_checkpoint_of_attngan_has_its_sizes_from_its_weights(of_attngan):
    folder, state = of_attngan
    painter = painters.load(folder)
    options = painter.config.attngan
    assert (painter.config.system, painter.config.image_size, painter.system.noise_dim) == ("attngan", 128, _NOISE + 3)
    assert (options.num_stages, options.num_residual, options.width) == (2, 3, 2)
    placed = painter.models["paint"].next[0].look.project.kernel[...]
    np.testing.assert_array_equal(placed, state["h_net2.att.conv_context.weight"][:, :, 0, 0].T)
    encoded, _ = painter.read(["small blue bird"])
    assert encoded.valid.sum() == 3
    shapes = jax.eval_shape(painter.system.draw, painter.models, encoded, np.zeros((1, _NOISE + 3), np.float32))
    assert shapes.shape == (1, 128, 128, 3)


def test_published_encoders_tell_our_own_painters(of_dfgan):
    found = encoders.find(of_dfgan[0])
    assert (found.features, found.image_size, found.images, found.vocabulary.words) == (_FEATURES, 0, None, _WORDS)
    encoders.check(found, found.vocabulary, image_size=64, source="x")


def test_the_encoder_of_pictures_is_read_beside_that_of_texts(of_dfgan, monkeypatch):
    read = []

    def load(path):
        read.append(path.name)
        return nnx.eval_shape(lambda: damsm.InceptionEncoder(features=_FEATURES, rngs=nnx.Rngs(0)))

    monkeypatch.setattr(encoders.InceptionEncoder, "load", load)
    (of_dfgan[0] / "image_encoder200.pth").write_bytes(b"")
    assert encoders.find(of_dfgan[0]).images is not None and read == ["image_encoder200.pth"]
    monkeypatch.setattr(
        encoders.InceptionEncoder, "load", lambda path: nnx.eval_shape(lambda: damsm.InceptionEncoder(rngs=nnx.Rngs(0)))
    )
    with pytest.raises(ValueError, match="its text encoder has 6 features, its image encoder others"):
        encoders.find(of_dfgan[0])


def test_inception_is_read_from_files_of_torchvision_and_of_the_authors(monkeypatch):
    """By names alone: 22 million numbers would take a while. Heads and counts are passed by, others are refused."""
    made = _shape(lambda rngs: damsm.InceptionEncoder(features=4, rngs=rngs))
    shapes = {"/".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(nnx.as_pure(nnx.state(made)))}
    names = {}
    for path, entry in damsm.inception_table().items():
        for name, shape in zip(entry.names, entry.shapes(shapes[path]), strict=True):
            names[name] = np.broadcast_to(np.float32(0), shape)
    counts = {"Conv2d_1a_3x3.bn.num_batches_tracked": np.zeros((), np.int64)}
    found = {}
    monkeypatch.setattr(damsm.weights, "read", lambda path: found[path])

    def file(name, **arrays):
        found[name] = weights.Weights({**names, **counts, **arrays}, path=name, format="torch zip", sha256="")
        return name

    made = damsm.InceptionEncoder.load(file("image_encoder200.pth"))
    assert made.picture.out_features == 4
    heads = {"fc.weight": np.zeros((1000, 2048), np.float32), "AuxLogits.conv0.conv.weight": np.zeros(1, np.float32)}
    damsm.read_trunk(file("inception_v3.pth", **heads))
    with pytest.raises(weights.WeightsError, match="extra .* belongs to no part of the network"):
        damsm.read_trunk(file("other.pth", extra=np.zeros(1, np.float32)))


def test_files_that_do_not_belong_together_are_refused(of_dfgan, of_attngan):
    folder = of_dfgan[0]

    def refused(match, where=folder):
        with pytest.raises(ValueError, match=match):
            painters.load(where)

    _text_encoder(folder, words=(*_WORDS, "green"), pickled="captions_DAMSM.pickle")
    refused(r"text_encoder200.pth reads 7 words.* and captions_DAMSM.pickle beside it has 8: they are of two encoders")
    _text_encoder(folder, features=8, pickled="captions_DAMSM.pickle")
    refused("told by sentences of 6 features, and the text encoder beside it has 8")
    _text_encoder(folder, pickled="captions_DAMSM.pickle")
    (of_attngan[0] / "bird_AttnGAN2.pth").rename(folder / "bird_AttnGAN2.pth")
    refused(r"must have one file \*.pth; it has bird_AttnGAN2.pth, state_epoch_1220.pth")
    (folder / "bird_AttnGAN2.pth").unlink()
    (folder / "state_epoch_1220.pth").unlink()
    refused(r"must have one file \*.pth; there is none")
    _save(folder / "other.pth", {"a.weight": np.zeros(2, np.float32)})
    refused(r"other.pth is neither a generator of DF-GAN nor of AttnGAN; it has a.weight, ...")
    _save(folder / "other.pth", {"to_rgb.1.weight": np.zeros((3, 2, 3, 3), np.float32)})
    refused("has no fc.weight, which its authors' generators have")
    (folder / "text_encoder200.pth").unlink()
    refused(r"must have one file text_encoder\*.pth; there is none")
    _save(folder / "text_encoder200.pth", {"a": np.zeros(2, np.float32)})
    refused("does not hold the text encoder of AttnGAN")
