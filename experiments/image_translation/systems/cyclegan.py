"""CycleGAN: two translators, each of which undoes the other."""

import functools

import jax
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.image_translation.systems import judges
from experiments.image_translation.systems.system import Domain, Models, System, mean, way_back
from gentoolkit.models.translation import cyclegan
from gentoolkit.nn import pools
from gentoolkit.objectives import adversarial, reconstruction
from gentoolkit.training import Player


def system(config: ConfigDict, optimizer: optax.GradientTransformation) -> System:
    """Builds the system of a configuration."""
    options, form, num_layers = config.cyclegan, judges.FORMS[config.adversarial](), config.judge_layers or 3

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        made = cyclegan.networks(
            rngs, image_size=config.image_size, channels=tuple(config.channels), width=config.width,
            num_blocks=options.num_blocks or None, num_layers=num_layers, upsample=config.upsample,
        )  # fmt: skip
        for domain, channels in zip("xy", config.channels, strict=True):
            shape = (config.image_size, config.image_size, channels)
            made[f"pool_judge_{domain}"] = pools.ImagePool(config.pool, shape)
        return made

    painters = functools.partial(
        translating, form=form, cycle=options.cycle, identity=options.identity, noise=config.way_back_noise
    )
    pairs = [(f"judge_{domain}", domain, f"painters/{domain}") for domain in "xy"]
    return System(
        models=models,
        players={
            "painters": Player(painters, optimizer, ("to_x", "to_y")),
            "judges": judges.player(optimizer, form=form, pairs=pairs, weight=config.judge_weight),
        },
        translate=translate,
        least=judges.least_of_patches(num_layers),
    )


def translate(models: Models, images: jax.Array, code: jax.Array | None, to: Domain) -> jax.Array:
    """Paints images of the other domain; there is no code."""
    del code
    return models[f"to_{to}"](images)


def translating(models: Models, batch, turn, *, form: adversarial.Form, cycle: float, identity: float, noise: float):
    """Objective of the translators; `identity` is a share of the weight `cycle`, 0 where domains differ in colour."""
    x, y = batch["x"]["image"], batch["y"]["image"]
    to_x, to_y = models["to_x"], models["to_y"]
    painted_x, painted_y = to_x(y), to_y(x)
    fooled = judges.fooling(form, models["judge_x"], painted_x) + judges.fooling(form, models["judge_y"], painted_y)
    seen_x, seen_y = (way_back(jax.random.fold_in(turn.key, n), z, noise) for n, z in enumerate((painted_x, painted_y)))
    returned = mean(reconstruction.absolute(to_x(seen_y), x)) + mean(reconstruction.absolute(to_y(seen_x), y))
    total, metrics = fooled + cycle * returned, {"fooling": fooled, "image": returned}
    if identity:
        kept = mean(reconstruction.absolute(to_x(x), x)) + mean(reconstruction.absolute(to_y(y), y))
        total, metrics = total + cycle * identity * kept, metrics | {"identity": kept}
    return total, metrics, {"x": painted_x, "y": painted_y}
