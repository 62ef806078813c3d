"""Systems of image translation: who trains what, and the losses of the information bound, term by term."""

import functools
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.interpreters import partial_eval as pe

from experiments.image_translation import config as config_lib
from experiments.image_translation.systems import bicyclegan, build, cyclegan, dsvib, judges, munit, unit
from experiments.image_translation.systems.system import way_back
from gentoolkit import training

SYSTEMS = {
    "dsvib": dsvib.system,
    "cyclegan": cyclegan.system,
    "unit": unit.system,
    "bicyclegan": bicyclegan.system,
    "munit": munit.system,
}
SIZE, BATCH = 16, 4


def tiny(method="dsvib", **changes):
    config = config_lib.get_config("polygons")
    config.method, config.image_size, config.width, config.batch_size, config.pool = method, SIZE, 2, BATCH, 3
    config.dsvib.num_blocks, config.dsvib.code_dim, config.dsvib.bank = 1, 3, 6
    config.munit.num_blocks = config.unit.num_blocks = config.cyclegan.num_blocks = 1
    if method == "bicyclegan":
        config.image_size = 32  # its second discriminator sees half of it
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.fast
@pytest.mark.parametrize(
    ("method", "changes", "rate", "decay"),
    [
        ("munit", {}, 1e-4, 1e-4),
        ("unit", {"optimizer.weight_decay": 0.0}, 1e-4, 0.0),
        ("dsvib", {}, 2e-4, 0.0),
        ("cyclegan", {"optimizer.peak": 1e-3}, 1e-3, 0.0),
    ],
)
def test_a_method_trains_as_its_public_code_unless_told_otherwise(method, changes, rate, decay):
    config = build.resolved(tiny(method, **changes))
    assert (config.optimizer.peak, config.optimizer.weight_decay) == (rate, decay)
    optimizer, weights = build.optimizer(config), {"w": jnp.array([2.0, 0.0])}
    updates, _ = optimizer.update({"w": jnp.array([0.0, 3.0])}, optimizer.init(weights), weights)
    # A gradient beyond `clip_norm` is scaled down to it before anything else: sums of its squares are 1 and 0.01.
    clipped = build.optimizer(build.resolved(tiny(method, **changes, **{"optimizer.clip_norm": 1.0})))
    moments = [clipped.update({"w": jnp.array([0.0, norm])}, clipped.init(weights), weights)[1] for norm in (3.0, 1.0)]
    chex.assert_trees_all_close(*moments, rtol=1e-6)
    # The first step of Adam is as long as the rate, whatever the gradient, which is that of the decay alone or none.
    np.testing.assert_allclose(updates["w"], [-rate if decay else 0.0, -rate], rtol=1e-3, atol=1e-12)


def batch(side=SIZE):
    rng = np.random.default_rng(0)
    return {name: {"image": rng.uniform(-1, 1, (BATCH, side, side, 3)).astype(np.float32)} for name in "xy"}


@pytest.mark.fast
@pytest.mark.parametrize("method", SYSTEMS)
def test_players_train_their_own_and_together_everything(method):
    """Traced, not compiled: names, shapes and what is handed on fit for every method."""
    system, given = SYSTEMS[method](tiny(method), optax.sgd(1.0)), batch(tiny(method).image_size)
    assert system.models and list(system.players)[-1] == "judges"
    # The abstract state is found by tracing one step of all players.
    assert training.program(system.models, system.players, given).abstract.params
    models = nnx.eval_shape(lambda: system.models(nnx.Rngs(0)))
    trained = [set(player.trains) for player in system.players.values()]
    with_parameters = {name for name, m in models.items() if jax.tree.leaves(nnx.state(m, nnx.Param))}
    assert not trained[0] & trained[1] and trained[0] | trained[1] == with_parameters
    # How it is used once it is trained.
    code = jnp.zeros((BATCH, system.code_dim)) if system.code_dim else None
    for to in system.directions:
        painted = nnx.eval_shape(lambda m, to=to: system.translate(m, given["x"]["image"], code, to), models)
        assert painted.shape == given["x"]["image"].shape
    if system.style:
        styled = nnx.eval_shape(lambda m: system.style(m, given["y"]["image"], "y"), models)
        assert styled.shape == (BATCH, system.code_dim)


def draws(jaxpr) -> int:
    """How often a traced program draws at random, also in the programs that it calls."""
    called = [value.jaxpr for eqn in jaxpr.eqns for value in eqn.params.values() if hasattr(value, "jaxpr")]
    return sum(eqn.primitive.name == "random_bits" for eqn in jaxpr.eqns) + sum(map(draws, called))


@pytest.mark.fast
@pytest.mark.parametrize("method", ["dsvib", "cyclegan", "unit", "munit"])
def test_noise_comes_on_both_ways_back_and_nowhere_else(method):
    """Traced, not compiled: one draw more for each domain, and what the discriminators are handed is as without."""

    def drawn(noise):
        system = SYSTEMS[method](tiny(method, way_back_noise=noise), optax.sgd(1.0))
        graphdef, state = nnx.split(nnx.eval_shape(lambda: system.models(nnx.Rngs(0))))
        objective, turn = system.players["painters"].objective, types.SimpleNamespace(key=jax.random.key(0))

        def run(state):
            loss, _, handed = objective(nnx.merge(graphdef, state), batch(), turn)
            return loss, handed

        traced = jax.make_jaxpr(run)(state)
        handed = pe.dce_jaxpr(traced.jaxpr, [False] + [True] * (len(traced.jaxpr.outvars) - 1))[0]
        return draws(traced.jaxpr), draws(handed)

    (plain, plain_handed), (noisy, noisy_handed) = drawn(0.0), drawn(0.1)
    assert noisy == plain + 2
    assert noisy_handed == plain_handed


@pytest.mark.fast
def test_noise_on_the_way_back_has_the_deviation_asked_for():
    painted = jnp.linspace(-1, 1, 3 * 4096).reshape(1, 64, 64, 3)
    assert way_back(jax.random.key(0), painted, 0.0) is painted
    noise = way_back(jax.random.key(0), painted, 0.1) - painted
    # Of 12,288 draws the standard deviation is known to 0.1 / sqrt(2 * 12288) = 0.0006, the mean to 0.0009.
    np.testing.assert_allclose([noise.std(), noise.mean()], [0.1, 0.0], atol=0.004)


@pytest.fixture(scope="module")
def bound():
    """Both cycles of small networks and the slopes of the weighted sum of the first, compiled once."""
    options = tiny().dsvib
    weights = {name: weight for name, weight in dsvib.weights_of(options).items() if weight}
    graphdef, state = nnx.split(nnx.eval_shape(lambda: dsvib.system(tiny(), optax.sgd(1.0)).models(nnx.Rngs(0))))
    rng = np.random.default_rng(1)
    draw = lambda x: jnp.asarray(rng.normal(scale=0.2, size=x.shape), x.dtype) if x.dtype == jnp.float32 else x  # noqa: E731
    state = jax.tree.map(draw, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state))
    swapped = {"x": "y", "y": "x"}
    form = judges.FORMS["least_squares"]()

    @functools.partial(jax.jit)
    def run(state, weights):
        def total(params, rest):
            models = nnx.merge(graphdef, params, rest, copy=True)
            terms, painted = dsvib.cycle(key, models, images, images, "x", form=form, options=options)
            return sum(weights[name] * terms[name] for name in weights), (terms, painted)

        key, images = jax.random.key(3), batch()["x"]["image"]
        _, params, rest = nnx.split(nnx.merge(graphdef, state), nnx.Param, ...)
        (value, (terms, painted)), slopes = jax.value_and_grad(total, has_aux=True)(params, rest)
        models = nnx.merge(graphdef, state, copy=True)
        turned = {f"{name[:-1]}{swapped[name[-1]]}": model for name, model in models.items()}
        again, painted_again = dsvib.cycle(key, turned, images, images, "y", form=form, options=options)
        return value, terms, slopes, again, painted, painted_again

    return functools.partial(run, state), weights


def size(slopes, *path):
    for part in path:
        slopes = slopes[part]
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slopes))


def test_the_loss_is_the_weighted_sum_of_its_terms_in_both_directions(bound):
    run, weights = bound
    assert dsvib.weights_of(tiny().dsvib) == {
        "information": 1, "image": 10, "code": 1, "content": 1, "fooling": 1, "reference": 0, "prior": 1,
        "likelihood": 1,
    }  # fmt: skip
    value, terms, _, again, painted, painted_again = run(weights)
    by_hand = sum(float(weights[name]) * float(terms[name]) for name in weights)
    np.testing.assert_allclose(value, by_hand, rtol=1e-5)
    # The second cycle is the first with the domains changed over.
    np.testing.assert_allclose(painted_again, painted, atol=1e-5)
    for name, term in terms.items():
        np.testing.assert_allclose(again[name], term, rtol=1e-4, err_msg=name)


def test_each_term_reaches_what_it_should(bound):
    run, weights = bound
    none = dict.fromkeys(weights, 0.0)
    style = ("encode_y", "style_encoder", "mean")
    # The style that is read off a translated image is judged by the bound and by the code that must come back alone.
    _, _, slopes, *_ = run(none | {"image": 10.0, "content": 1.0, "fooling": 1.0, "prior": 1.0, "likelihood": 1.0})
    assert size(slopes, *style) == 0 < size(slopes, "encode_x", "style_encoder", "mean")
    for name in ("information", "code"):
        _, _, slopes, *_ = run(none | {name: 1.0})
        assert size(slopes, *style) > 0 and size(slopes, "paint_y") > 0 and size(slopes, "paint_x") == 0, name
    # The prior is of the encoder of its own domain.
    _, _, slopes, *_ = run(none | {"prior": 1.0})
    assert (
        size(slopes, "encode_x") > 0 == size(slopes, "encode_y") == size(slopes, "paint_x") == size(slopes, "paint_y")
    )


OTHER_READINGS = {
    # What each changes: the terms that have another value.
    "dsvib.code_cycle_updates=generator": set(),
    "dsvib.alpha_reference=1": {"reference"},
    "dsvib.bound=mixture": {"information"},
    "dsvib.bound=matched": {"information"},
    "dsvib.kernel=median": {"prior"},
    "dsvib.kernel=laplace": {"prior"},
    "dsvib.kernel=multiquadric": {"prior"},
    "dsvib.code_prior=divergence": {"prior"},
    "dsvib.code_from=sample": {"code"},
    "dsvib.image_distance=euclidean": {"image"},
    "dsvib.latent_distance=euclidean": {"code", "content"},
    "dsvib.likelihood=direct": {"likelihood"},
}


def test_other_readings_of_the_paper():
    """Of one set of weights: which terms they change, and what the code that must come back moves."""
    graphdef, state = nnx.split(nnx.eval_shape(lambda: dsvib.system(tiny(), optax.sgd(1.0)).models(nnx.Rngs(0))))
    rng = np.random.default_rng(1)
    draw = lambda x: jnp.asarray(rng.normal(scale=0.2, size=x.shape), x.dtype) if x.dtype == jnp.float32 else x  # noqa: E731
    state = jax.tree.map(draw, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state))
    images, form = batch()["x"]["image"], judges.FORMS["least_squares"]()
    readings = {"": {}} | {key: dict([key.split("=")]) for key in OTHER_READINGS}

    @jax.jit
    def run(state):
        _, params, rest = nnx.split(nnx.merge(graphdef, state), nnx.Param, ...)
        found, slopes = {}, {}
        for name, changes in readings.items():
            values = {key: float(value) if value.isdigit() else value for key, value in changes.items()}
            options = tiny(**values, **{"dsvib.num_codes": 2}).dsvib

            def code(params, options=options):
                models = nnx.merge(graphdef, params, rest, copy=True)
                terms, shown = dsvib.cycle(
                    jax.random.key(3), models, images, images[::-1], "x", form=form, options=options
                )
                return terms["code"], (terms, shown)

            _, found[name] = code(params)
            if name in ("", "dsvib.code_cycle_updates=generator"):
                slopes[name] = jax.grad(lambda params, code=code: code(params)[0])(params)["encode_y"]
        return found, slopes

    found, slopes = run(state)
    plain, shown = found.pop("")
    assert set(shown.shape[:1]) == {BATCH}
    for name, (terms, _) in found.items():
        differing = {term for term in terms if term not in plain or not np.isclose(terms[term], plain[term], rtol=1e-5)}
        assert differing == OTHER_READINGS[name], name
    assert [size(slopes[name]) > 0 for name in ("", "dsvib.code_cycle_updates=generator")] == [True, False]
    # The discriminator of y sees what is painted in the style of a reference behind what it sees anyway.
    terms, both = found["dsvib.alpha_reference=1"]
    assert terms["reference"] > 0 and both.shape[0] == 2 * BATCH
    np.testing.assert_allclose(both[:BATCH], shown, atol=1e-6)
    assert np.abs(both[BATCH:] - shown).max() > 1e-3
    # As printed: norms over whole images, neither squared nor means of SIZE x SIZE x 3 numbers. A norm is at least the
    # mean of absolute values times the root of their number.
    printed = found["dsvib.image_distance=euclidean"][0]["image"]
    assert np.sqrt(SIZE * SIZE * 3) * plain["image"] <= printed <= SIZE * SIZE * 3 * plain["image"]
    # Of a code the mean of norms is at most the root of the mean of squared ones, which the plain term is.
    printed = found["dsvib.latent_distance=euclidean"][0]["code"]
    assert 0.5 * np.sqrt(plain["code"]) < printed <= 1.0001 * np.sqrt(plain["code"])


def test_logits_of_zero():
    zeros = jnp.zeros((2, 3, 3, 1))
    models = {"judge_y": lambda images: [zeros, zeros]}
    given = {"y": {"image": zeros}, "painters/y": zeros}
    turn = training.Turn(jax.random.key(0))
    for name, expected in (("least_squares", 1.0), ("logistic", 2 * np.log(2)), ("hinge", 2.0)):
        form = judges.FORMS[name]()
        loss, metrics = judges.judging(
            models, given, turn, form=form, pairs=[("judge_y", "y", "painters/y")], weight=0.5
        )
        np.testing.assert_allclose([loss, metrics["judge_y"]], [expected, 2 * expected], rtol=1e-6)  # two scales
    # Painted images of two kinds, those in drawn styles and then those in the styles of references: 1 and 9 from 0.
    models = {"judge_y": lambda images: images}
    given = {"y": {"image": zeros + 1}, "painters/y": jnp.concatenate([zeros + 1, zeros + 3])}
    form = judges.FORMS["least_squares"]()
    loss, _ = judges.judging(models, given, turn, form=form, pairs=[("judge_y", "y", "painters/y")], weight=1.0)
    np.testing.assert_allclose(loss, 0 + (1 + 9) / 2)
    with pytest.raises(ValueError, match="batch_size must be even"):
        bicyclegan.system(tiny("bicyclegan", batch_size=3), optax.sgd(1.0))
