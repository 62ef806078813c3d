"""UNIT: one code for both domains, a map to which training adds N(0, I); in the forms of 2018 and of 2017."""

import functools

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.image_translation.systems import judges
from experiments.image_translation.systems.system import Domain, Models, System, mean, other, way_back
from gentoolkit.models.translation import unit
from gentoolkit.objectives import adversarial, reconstruction
from gentoolkit.training import Player

# As published: of the loss of both players, of what comes back in the own domain, of both cycles, of the maps.
_WEIGHTS = {
    "2018": {"adversarial": 1.0, "own": 10.0, "cycle": 10.0, "divergence": 0.01},
    "2017": {"adversarial": 10.0, "own": 100.0, "cycle": 100.0, "divergence": 0.1},
}


def system(config: ConfigDict, optimizer: optax.GradientTransformation) -> System:
    """Builds the system of a configuration."""
    options = config.unit.copy_and_resolve_references()
    for name, weight in _WEIGHTS[options.form[:4]].items():
        if options[name] is None:
            options[name] = weight
    shared = ("shared_encode", "shared_paint") if options.form != "2018" else ()
    form = judges.FORMS[config.adversarial]()

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        channels, width = tuple(config.channels), config.width
        if options.form == "2018":
            return unit.networks(
                rngs, channels=channels, width=width, num_blocks=options.num_blocks, num_scales=options.num_scales
            )
        return unit.networks_2017(rngs, channels=channels, width=width, form=options.form.removeprefix("2017_"))

    painters = functools.partial(translating, form=form, options=options, noise=config.way_back_noise)
    pairs = [(f"judge_{domain}", domain, f"painters/{domain}") for domain in "xy"]
    return System(
        models=models,
        players={
            "painters": Player(painters, optimizer, ("encode_x", "encode_y", "paint_x", "paint_y", *shared)),
            "judges": judges.player(optimizer, form=form, pairs=pairs, weight=options.adversarial),
        },
        translate=translate,
        least=judges.least(options.num_scales if options.form == "2018" else 1),
    )


def translate(models: Models, images: jax.Array, code: jax.Array | None, to: Domain) -> jax.Array:
    """Paints the code of images of the other domain, without noise; there is no style."""
    del code
    return paint(models, encode(models, images, other(to)), to)


def encode(models: Models, images: jax.Array, of: Domain) -> jax.Array:
    """The map of images."""
    code = models[f"encode_{of}"](images)
    return models["shared_encode"](code) if "shared_encode" in models else code


def paint(models: Models, code: jax.Array, to: Domain) -> jax.Array:
    """The images of a map."""
    return models[f"paint_{to}"](models["shared_paint"](code) if "shared_paint" in models else code)


def translating(models: Models, batch, turn, *, form: adversarial.Form, options: ConfigDict, noise: float):
    """Objective of encoders and painters; a map's "divergence" from N(0, I) is its mean square, as in public code."""
    keys = dict(zip(("x", "y", "xy", "yx"), jax.random.split(turn.key, 4), strict=True))
    images = {domain: batch[domain]["image"] for domain in "xy"}
    codes = {domain: encode(models, images[domain], domain) for domain in "xy"}
    noisy = {domain: _noisy(keys[domain], codes[domain]) for domain in "xy"}
    total, metrics, handed = 0.0, {}, {}
    for source, target in ("xy", "yx"):
        painted = paint(models, noisy[source], target)
        again = encode(models, way_back(jax.random.fold_in(keys[source + target], 1), painted, noise), target)
        terms = {
            "fooling": judges.fooling(form, models[f"judge_{target}"], painted),
            "own": mean(reconstruction.absolute(paint(models, noisy[source], source), images[source])),
            "image": mean(
                reconstruction.absolute(paint(models, _noisy(keys[source + target], again), source), images[source])
            ),
            "divergence": _mean_square(codes[source]),
            "divergence_again": _mean_square(again),
        }
        weights = {
            "fooling": options.adversarial,
            "own": options.own,
            "image": options.cycle,
            "divergence": options.divergence,
            "divergence_again": options.divergence,
        }
        total = total + sum(weights[name] * value for name, value in terms.items())
        metrics |= {f"{source}_{name}": value for name, value in terms.items()}
        handed[target] = painted
    return total, metrics, handed


def _noisy(key: jax.Array, code: jax.Array) -> jax.Array:
    return code + jax.random.normal(key, code.shape, code.dtype)


def _mean_square(code: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(code.astype(jnp.float32)))
