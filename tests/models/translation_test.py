"""Networks of image translation: sizes of the public code, what a code and a colour can reach, tables of public files.

Outputs are compared with the public code by `python -m benchmarks.translation_parity`, where that is at hand.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gentoolkit.models import weights
from gentoolkit.models.translation import bicyclegan, cyclegan, decoders, dsvib, encoders, munit, patches, unit
from gentoolkit.models.translation.blocks import Scheme
from tests import rounding

SYSTEMS = {
    # Parameters as counted in the public code, or from the tables of the papers.
    "cyclegan 256": (cyclegan.networks, {}, {"to_y": 11_378_179, "judge_x": 2_764_737}),
    "cyclegan 128": (cyclegan.networks, {"image_size": 128}, {"to_x": 7_837_699, "judge_y": 2_764_737}),
    "dsvib": (dsvib.networks, {}, {"encode_x": 3_918_976 + 5_248_272, "paint_y": 4_527_235, "judge_y": 662_977}),
    "dsvib two layers": (dsvib.networks, {"num_shared": 2}, {"encode_x": 3_918_976 + 1_313_424}),
    "dsvib literal": (dsvib.networks, {"inject": "literal", "share": "activations"}, {"paint_x": 4_152_627}),
    "unit": (unit.networks, {}, {"encode_x": 5_385_856, "paint_x": 5_754_627, "judge_y": 3 * 2_757_057}),
    **{
        f"unit 2017, {form}": (
            unit.networks_2017,
            {"form": form},
            {"encode_x": 3_918_976, "shared_paint": 1_180_160, "paint_y": 3_909_507, "judge_x": 1_551_489},
        )
        for form in ("leaky", "norms")
    },
    "munit": (munit.networks, {}, {"encode_y": 5_385_856 + 2_764_936, "paint_x": 6_875_395}),
    "bicyclegan": (
        bicyclegan.networks,
        {"channels": (1, 3)},
        {"paint_y": 54_792_579, "encode_y": 2_590_032, "judge_drawn": 3_458_978},
    ),
    "bicyclegan 128": (bicyclegan.networks, {"channels": (1, 3), "image_size": 128}, {"encode_y": 1_344_080}),
}
ROW = np.random.default_rng(0)


@pytest.mark.fast
@pytest.mark.parametrize("name", SYSTEMS)
def test_published_sizes(name):
    make, options, expected = SYSTEMS[name]
    made = nnx.eval_shape(lambda: make(nnx.Rngs(0), **options))
    counts = {k: sum(x.size for x in jax.tree.leaves(nnx.state(made[k], nnx.Param))) for k in expected}
    assert counts == expected


@pytest.mark.fast
@pytest.mark.parametrize("num_layers,grid,field", [(1, 62, 16), (2, 30, 34), (3, 14, 70), (4, 6, 142)])
def test_patches_have_the_published_grid_and_field(num_layers, grid, field):
    judge = patches.Patches(
        1, num_layers=num_layers, width=1, norm=lambda features, rngs: lambda x: x, rngs=nnx.Rngs(0)
    )
    shape = jax.eval_shape(judge, jax.ShapeDtypeStruct((1, 128, 128, 1), jnp.float32)).shape
    assert shape == (1, grid, grid, 1)
    # What one logit sees, from kernels and strides alone.
    seen, step = 1, 1
    for layer in judge.layers:
        seen, step = seen + (layer.kernel_size[0] - 1) * step, step * layer.strides[0]
    assert seen == field


def drawn(make):
    """Structure and weights of modules, as after some training: kernels of 0.02 let hardly anything through."""
    graphdef, state = nnx.split(nnx.eval_shape(make))
    return graphdef, jax.tree.map(lambda x: jnp.asarray(ROW.normal(scale=0.3, size=x.shape), x.dtype), state)


@pytest.fixture(scope="module")
def reach():
    """How images depend on each feature of a code, for each way in which it comes in."""
    forms = {"fuse": {}, "adain": {"inject": "adain"}, "literal": {"inject": "literal", "upsample": "nearest"}}
    scheme = Scheme(width=4)
    graphdef, state = drawn(
        lambda: {
            name: decoders.Styled(16, 3, 2, scheme=scheme, num_blocks=1, hidden=8, rngs=nnx.Rngs(0), **form)
            for name, form in forms.items()
        }
    )
    content = ROW.normal(size=(1, 4, 4, 16)).astype(np.float32)

    @jax.jit
    def slopes(state, code):
        made = nnx.merge(graphdef, state)
        return {name: jax.jacrev(lambda z, p=painter: p(content, z))(code) for name, painter in made.items()}

    found = slopes(state, ROW.normal(size=(1, 3)).astype(np.float32))
    return {name: np.abs(slope).max((0, 1, 2, 3, 4)) for name, slope in found.items()}


def test_a_code_reaches_the_image_unless_a_norm_takes_it_off(reach):
    # A code that is repeated over the map and meets a norm behind every convolution is deleted exactly: the paper's
    # words read literally, with doublings that do not make a lattice.
    assert (reach["fuse"] > 1e-2).all() and (reach["adain"] > 1e-2).all()
    assert (reach["literal"] < 1e-4 * reach["fuse"].max()).all()


def test_codes_come_through_at_the_initial_weights():
    """A painter that begins by passing codes over learns to do without them."""
    content = ROW.normal(size=(1, 4, 4, 64)).astype(np.float32)
    scheme, codes = Scheme(width=16), ROW.normal(size=(2, 1, 8)).astype(np.float32)

    @jax.jit
    def paint(codes):
        painters = {
            inject: decoders.Styled(64, 8, 3, scheme=scheme, num_blocks=1, inject=inject, rngs=nnx.Rngs(0))
            for inject in ("fuse", "adain")
        }
        return {inject: [painter(content, code) for code in codes] for inject, painter in painters.items()}

    for inject, (one, other) in paint(codes).items():
        assert jnp.abs(one - other).mean() > 0.1 * jnp.abs(one).mean(), inject


@pytest.mark.fast
def test_what_reads_a_code_begins_with_weights_of_its_own():
    """Of He's law over the code alone, and nothing else is drawn otherwise for it."""

    @functools.partial(jax.jit, compiler_options=rounding.AS_USERS)
    def drawn_twice():
        options = {"scheme": Scheme(width=4), "num_blocks": 1}
        inits = (nnx.initializers.kaiming_normal(), None)
        made = [decoders.Styled(16, 8, 3, code_init=init, rngs=nnx.Rngs(0), **options) for init in inits]
        return [nnx.to_pure_dict(nnx.state(painter, nnx.Param)) for painter in made]

    own, same = (
        {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(m)} for m in drawn_twice()
    )
    assert "['fuse']['kernel']" in own
    for path, one in own.items():
        other = same[path]
        if path == "['fuse']['kernel']":
            np.testing.assert_array_equal(one[:, :, :16], other[:, :, :16])
            one, other = one[:, :, 16:], other[:, :, 16:]
            assert abs(one.std() / np.sqrt(2 / (9 * 8)) - 1) < 0.1 and abs(other.std() / 0.02 - 1) < 0.1
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.fast
@pytest.mark.parametrize("init", ["he", "normal"])
def test_painters_of_the_bound_read_codes_as_they_are_told(init, monkeypatch):
    seen = []
    styled = decoders.Styled
    monkeypatch.setattr(dsvib, "Styled", lambda *a, code_init, **b: seen.append(code_init) or styled(*a, **b))
    nnx.eval_shape(lambda: dsvib.networks(nnx.Rngs(0), image_size=16, width=2, num_blocks=1, code_init=init))
    assert len(seen) == 2 and all((one is None) == (init == "normal") for one in seen)


def test_a_norm_in_the_trunk_hides_colour_from_the_style():
    images = ROW.uniform(-0.5, 0.5, (1, 16, 16, 3)).astype(np.float32)
    shares = ("weights", "activations", "none")
    graphdef, state = drawn(
        lambda: {
            share: encoders.ContentAndStyle(
                3, 2, scheme=Scheme(width=4), share=share, num_blocks=1, num_style_halvings=1, rngs=nnx.Rngs(1)
            )
            for share in shares
        }
    )

    @jax.jit
    def run(state, images):
        return {share: encoder(images) for share, encoder in nnx.merge(graphdef, state).items()}

    before, after = run(state, images), run(state, images + np.float32([0.3, -0.2, 0.4]))
    for share in shares:
        content, style = before[share]
        moved = np.abs(style.mean - after[share][1].mean).max() / np.abs(style.mean).max()
        assert (moved < 1e-3) if share == "activations" else (moved > 1e-2), (share, moved)
        assert content.shape == (1, 4, 4, 16) and style.mean.shape == style.log_variance.shape == (1, 2)
        # Content is behind norms in every form: that is what makes it content.
        np.testing.assert_allclose(content, after[share][0], atol=2e-3)


TABLES = {
    "cyclegan": (lambda r: cyclegan.Translator(num_blocks=6, rngs=r), cyclegan.table(6), "model.16.weight"),
    "patches": (lambda r: patches.Patches(3, rngs=r), patches.table(), "model.11.bias"),
    "u-net": (
        lambda r: bicyclegan.Painter(num_halvings=7, dropout=0.0, rngs=r),
        bicyclegan.painter_table(7),
        "model.submodule.submodule.down.1.weight",
    ),
    "bicyclegan encoder": (lambda r: bicyclegan.Encoder(rngs=r), bicyclegan.encoder_table(4), "conv.4.conv.5.0.weight"),
    "bicyclegan judge": (lambda r: bicyclegan.networks(r)["judge_drawn"], bicyclegan.judge_table(), "model_1.8.weight"),
    "munit content": (
        lambda r: munit.Content(3, scheme=munit.scheme(), num_blocks=4, rngs=r),
        munit.content_table(),
        "enc_content.model.3.model.3.model.1.conv.bias",
    ),
    "munit style": (
        lambda r: munit.StyleEncoder(3, 8, scheme=munit.scheme(), rngs=r),
        munit.style_table(),
        "enc_style.model.6.weight",
    ),
    "munit painter": (lambda r: munit.networks(r)["paint_x"], munit.painter_table(), "mlp.model.2.fc.weight"),
    "munit judge": (lambda r: munit.networks(r)["judge_x"], munit.judge_table(), "cnns.2.4.weight"),
    "unit painter": (
        lambda r: unit.networks(r)["paint_x"],
        munit.painter_table(styled=False),
        "dec.model.5.conv.weight",
    ),
    **{
        f"unit 2017, {name}": (lambda r, name=name: unit.networks_2017(r)[name], unit.tables_2017("y")[name], member)
        for name, member in (
            ("encode_y", "encode_B.5.model.3.weight"),
            ("shared_encode", "enc_shared.0.model.0.bias"),
            ("shared_paint", "dec_shared.0.model.3.weight"),
            ("paint_y", "decode_B.5.weight"),
            ("judge_y", "model_B.3.model.0.weight"),
        )
    },
}


@pytest.mark.fast
@pytest.mark.parametrize("name", TABLES)
def test_tables_have_an_entry_for_every_parameter(name):
    make, table, member = TABLES[name]
    module = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    shapes = {"/".join(map(str, p)): tuple(x.shape) for p, x in nnx.to_flat_state(nnx.as_pure(nnx.split(module)[1]))}
    arrays = {}
    for path, entry in table.items():
        for tensor, shape in zip(entry.names, entry.shapes(shapes[path]), strict=True):
            assert tensor not in arrays
            arrays[tensor] = np.broadcast_to(np.float32(0), shape)
    assert member in arrays
    held = weights.Weights(arrays, path="file.pth", format="npz", sha256="")
    assert weights.problems(module, table, held) == []
    del arrays[member]
    held = weights.Weights(arrays, path="file.pth", format="npz", sha256="")
    assert len(weights.problems(module, table, held)) == 1


def test_wrong_options_are_refused():
    rngs = nnx.Rngs(0)
    with pytest.raises(ValueError, match="inject must be 'fuse', 'literal' or 'adain'"):
        nnx.eval_shape(lambda: dsvib.networks(nnx.Rngs(0), inject="add"))
    with pytest.raises(ValueError, match="image_size must be at least 8"):
        dsvib.networks(rngs, image_size=4)
    with pytest.raises(ValueError, match="image_size must be a power of two"):
        bicyclegan.networks(rngs, image_size=96)
    with pytest.raises(ValueError, match="form must be 'leaky' or 'norms'"):
        unit.networks_2017(rngs, form="relu")
    painter = nnx.eval_shape(lambda: bicyclegan.Painter(num_halvings=3, width=2, dropout=0.0, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="must divide by 8"):
        painter(jnp.zeros((1, 12, 16, 3)), jnp.zeros((1, 8)))
