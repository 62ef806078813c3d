"""The command for files of weights: what it says, what it writes, what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest
from absl import app, flags
from absl.testing import flagsaver
from flax import nnx

from experiments.weights import classify, main, networks, translation
from gentoolkit.models import clip, weights
from gentoolkit.models.extractors import squeezenet
from gentoolkit.models.translation import bicyclegan, cyclegan, munit, patches, unit
from gentoolkit.models.translation.blocks import Scheme

pytestmark = pytest.mark.fast
HEADS = {f"lin{i}": np.full(n, 0.5, np.float32) for i, n in enumerate(squeezenet.TRUNK_CHANNELS)}


@pytest.fixture(autouse=True)
def parsed():
    with flagsaver.flagsaver():
        flags.FLAGS.mark_as_parsed()
        yield


def run(*words):
    return main.main(["main", *map(str, words)])


@pytest.fixture
def heads(tmp_path):
    np.savez(tmp_path / "heads-00000000.npz", **HEADS)
    return tmp_path / "heads-00000000.npz"


def test_show_says_what_a_file_is(heads, capsys):
    assert run("show", heads) == 0
    said = capsys.readouterr().out
    assert "npz, 7 arrays, 2,240 numbers" in said and "lin3  float32[384]" in said
    assert "its name says 00000000" in said
    assert "Fits lpips.Lpips on SqueezeNet, its heads: not a file whose hash is known." in said


def test_show_names_the_nearest_network_and_what_differs(tmp_path, capsys):
    np.savez(tmp_path / "odd.npz", **(HEADS | {"lin6": np.zeros(3)}))
    assert run("show", tmp_path / "odd.npz") == 0
    said = capsys.readouterr().out
    assert "Fits none of our networks; the nearest is lpips.Lpips on SqueezeNet, its heads, with 1 differences" in said
    assert "lin6 has the shape [3] and should have [512]" in said


def test_every_network_is_compared_and_none_fits_nothing():
    file = weights.Weights({"a": np.zeros(1)}, path="", format="npz", sha256="")
    found = networks.compared(file)
    assert len(found) == len(networks.NETWORKS) and all(problems for _, problems in found)


def empty_file(network, table, *, sha256=""):
    """A file with a tensor for each name of a table, none of which takes memory."""
    shapes = {"/".join(map(str, p)): v.shape for p, v in nnx.to_flat_state(nnx.as_pure(nnx.state(network)))}
    arrays = {
        name: np.broadcast_to(np.float32(0), shape)
        for path, entry in table.items()
        for name, shape in zip(entry.names, entry.shapes(shapes[path]), strict=True)
    }
    return weights.Weights(arrays, path="", format="npz", sha256=sha256)


@pytest.mark.parametrize(("size", "naming"), [("VIT_B_32", "openai"), ("MINI", "hugging_face")])
def test_a_clip_is_told_with_its_size_and_whose_names_it_has(size, naming):
    architecture = getattr(clip, size)
    file = empty_file(clip.shapes(architecture), clip.table_of(architecture, naming))
    (network, problems), *others = networks.compared(file)
    assert network.name.startswith(f"clip.CLIP, clip.{size} ({naming} names") and not problems
    assert all(problems for _, problems in others)
    assert network.published == ((clip.PUBLISHED[size],) if size in clip.PUBLISHED else ())
    # One tensor less: it is still the nearest.
    less = weights.Weights(dict(list(file.items())[1:]), path="", format="npz", sha256="")
    (network, problems), *_ = networks.compared(less)
    assert f"clip.{size}" in network.name and len(problems) == 1


TRANSLATION = {
    "translation.cyclegan.Translator(3, 1, num_blocks=2, width 4)": (
        lambda rngs: cyclegan.Translator(3, 1, num_blocks=2, scheme=Scheme(width=4), rngs=rngs),
        cyclegan.table(2),
    ),
    "translation.bicyclegan.Painter(1, 3, code_dim=5, num_halvings=5, width=4": (
        lambda rngs: bicyclegan.Painter(1, 3, code_dim=5, num_halvings=5, width=4, dropout=0.0, rngs=rngs),
        bicyclegan.painter_table(5),
    ),
    "translation.bicyclegan.Encoder(1, code_dim=5, num_blocks=3, width=4)": (
        lambda rngs: bicyclegan.Encoder(1, code_dim=5, num_blocks=3, width=4, rngs=rngs),
        bicyclegan.encoder_table(3),
    ),
    "translation.patches.Patches(6, num_layers=2, width=4)": (
        lambda rngs: patches.Patches(6, num_layers=2, width=4, rngs=rngs),
        patches.table(2),
    ),
    "the discriminator of two scales of translation.bicyclegan, 2 layers, widths 8 and 4": (
        lambda rngs: patches.Scales([patches.Patches(3, num_layers=2, width=w, rngs=rngs) for w in (8, 4)]),
        bicyclegan.judge_table(2),
    ),
}


@pytest.mark.parametrize("name", TRANSLATION)
def test_networks_of_translation_are_told_with_their_sizes(name):
    make, table = TRANSLATION[name]
    file = empty_file(nnx.eval_shape(lambda: make(nnx.Rngs(0))), table)
    (network,) = translation.networks(file)
    assert network.name.startswith(name)
    assert not weights.problems(nnx.eval_shape(network.make), network.table(file), file)


@pytest.mark.parametrize(("system", "domains"), [(munit, "ab"), (unit, "a")])
def test_what_munit_and_unit_save_of_both_domains_is_told(system, domains):
    made = nnx.eval_shape(lambda: system.networks(nnx.Rngs(0), width=4, num_blocks=2, num_scales=2))
    if system is munit:
        encode = weights.under("content", munit.content_table(2)) | weights.under("style", munit.style_table())
    else:
        encode = munit.content_table(2, "enc")
    tables = {"encode": encode, "paint": munit.painter_table(2, styled=system is munit)}
    judges = {"judge": munit.judge_table(num_scales=2)}
    for parts, name in ((tables, f"translation.{system.__name__.split('.')[-1]}.networks"), (judges, "discriminators")):
        arrays = {
            (f"{domain}.{tensor}" if len(domains) > 1 else tensor): value
            for domain in domains
            for part, table in parts.items()
            for tensor, value in empty_file(made[f"{part}_{'xy'['ab'.index(domain)]}"], table).items()
        }
        file = weights.Weights(arrays, path="", format="npz", sha256="")
        (network,) = translation.networks(file)
        assert name in network.name and ("both" if len(domains) > 1 else "one") in network.name
        assert not weights.problems(nnx.eval_shape(network.make), network.table(file), file, ignore=network.ignored)
        less = weights.Weights(dict(list(arrays.items())[:-1]), path="", format="npz", sha256="")
        (network,) = translation.networks(less)
        assert len(weights.problems(nnx.eval_shape(network.make), network.table(less), less)) == 1


@pytest.mark.parametrize(
    "mark",
    [
        "model.1.weight",
        "model.10.conv_block.1.weight",
        "model.down.0.weight",
        "fcVar.0.weight",
        "enc_content.model.0.conv.weight",
        "a.enc.model.0.conv.weight",
        "cnns.0.0.conv.weight",
    ],
)
def test_files_of_other_networks_with_such_names_are_no_error(mark):
    marks = {mark: np.zeros(3), "model.0.weight": np.zeros((4, 3, 4, 4)), "model_0.0.weight": np.zeros(())}
    file = weights.Weights(marks, path="", format="npz", sha256="")
    for network in translation.networks(file):
        assert weights.problems(nnx.eval_shape(network.make), network.table(file), file)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_convert_keeps_names_types_and_bits(suffix, tmp_path, capsys):
    arrays = {"a": np.arange(6, dtype=np.float16).reshape(2, 3).T, "b/c": np.asarray([1, -2]), "d": np.asarray(3.5)}
    np.savez(tmp_path / "in.npz", **arrays)
    out = tmp_path / f"out.{suffix}"
    assert run("convert", tmp_path / "in.npz", out) == 0
    read = weights.read(out)
    assert read.keys() == arrays.keys() and read.sha256 in capsys.readouterr().out
    for name, x in arrays.items():
        assert read[name].dtype == x.dtype
        np.testing.assert_array_equal(read[name], x)
    assert run("convert", tmp_path / "in.npz", out) == 1
    assert "is there already" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["in.npz", out.name])


def test_bfloat16_goes_into_safetensors_and_not_into_npz(tmp_path, capsys):
    from safetensors import numpy as safetensors

    safetensors.save_file({"a": np.asarray([1.5, -2], jnp.bfloat16)}, tmp_path / "in.safetensors")
    assert run("convert", tmp_path / "in.safetensors", tmp_path / "out.safetensors") == 0
    assert weights.read(tmp_path / "out.safetensors")["a"].dtype == jnp.bfloat16
    assert run("convert", tmp_path / "in.safetensors", tmp_path / "out.npz") == 1
    assert "a is bfloat16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "absent.pth"), "no weights at 'absent.pth'"),
        (("convert", "absent.pth", "out.h5"), "must end in .safetensors or .npz"),
    ],
)
def test_what_cannot_be_done_is_one_line(words, said, capsys):
    assert run(*words) == 1
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and not captured.out


@pytest.mark.parametrize("words", [(), ("show",), ("shows", "a"), ("show", "a", "b")])
def test_other_commands_are_told_the_right_ones(words):
    with pytest.raises(app.UsageError, match="show FILE"):
        run(*words)


def test_labels_are_a_thousand_lines(tmp_path):
    (tmp_path / "labels.txt").write_text("cat\n" * 999)
    with pytest.raises(ValueError, match="999 lines"):
        classify.labels(str(tmp_path / "labels.txt"))


def test_the_likeliest_classes_come_first_and_images_are_squeezed_into_the_range_of_the_network():
    class Toy(nnx.Module):
        def __call__(self, x, taps):
            assert x.shape == (1, 224, 224, 3)
            return {"logits": jnp.stack([x.min(), 2 * x.max(), jnp.zeros(())])[None]}

    image = np.zeros((40, 50, 3), np.uint8)
    image[:, 25:] = 255
    found = classify.top(Toy(), {"a": image}, num=2)["a"]
    assert [i for i, _ in found] == [1, 2]
    np.testing.assert_allclose([share for _, share in found], np.exp([2, 0]) / np.exp([-1, 2, 0]).sum(), rtol=1e-5)
