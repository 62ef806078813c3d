"""MUNIT: content and a code of style, both of which must come back from a translated image."""

import functools

import jax
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.image_translation.systems import judges
from experiments.image_translation.systems.system import Domain, Models, System, mean, other, way_back
from gentoolkit.models.translation import munit
from gentoolkit.objectives import adversarial, reconstruction
from gentoolkit.training import Player


def system(config: ConfigDict, optimizer: optax.GradientTransformation) -> System:
    """Builds the system of a configuration."""
    options, form = config.munit, judges.FORMS[config.adversarial]()

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        return munit.networks(
            rngs, channels=tuple(config.channels), code_dim=options.code_dim, width=config.width,
            num_blocks=options.num_blocks, num_scales=options.num_scales,
        )  # fmt: skip

    painters = functools.partial(translating, form=form, options=options, noise=config.way_back_noise)
    pairs = [(f"judge_{domain}", domain, f"painters/{domain}") for domain in "xy"]
    return System(
        models=models,
        players={
            "painters": Player(painters, optimizer, ("encode_x", "encode_y", "paint_x", "paint_y")),
            "judges": judges.player(optimizer, form=form, pairs=pairs, weight=options.adversarial),
        },
        translate=translate,
        least=judges.least(options.num_scales),
        style=style,
        restyle=restyle,
        code_dim=options.code_dim,
    )


def translate(models: Models, images: jax.Array, code: jax.Array | None, to: Domain) -> jax.Array:
    """Paints the content of images of the other domain in a style of this one."""
    return models[f"paint_{to}"](models[f"encode_{other(to)}"].content(images), code)


def style(models: Models, images: jax.Array, of: Domain) -> jax.Array:
    """The code of a style."""
    return models[f"encode_{of}"].style(images)


def restyle(models: Models, images: jax.Array, code: jax.Array, of: Domain) -> jax.Array:
    """Paints images anew in another style of their own domain."""
    return models[f"paint_{of}"](models[f"encode_{of}"].content(images), code)


def translating(models: Models, batch, turn, *, form: adversarial.Form, options: ConfigDict, noise: float):
    """Objective of encoders and painters; all distances are absolute."""
    keys = dict(zip("xy", jax.random.split(turn.key), strict=True))
    images = {domain: batch[domain]["image"] for domain in "xy"}
    codes = {domain: models[f"encode_{domain}"](images[domain]) for domain in "xy"}
    total, metrics, handed = 0.0, {}, {}
    for source, target in ("xy", "yx"):
        content, own = codes[source]
        drawn = jax.random.normal(keys[target], own.shape, own.dtype)
        painted = models[f"paint_{target}"](content, drawn)
        content_again, drawn_again = models[f"encode_{target}"](
            way_back(jax.random.fold_in(keys[target], 1), painted, noise)
        )
        terms = {
            "fooling": judges.fooling(form, models[f"judge_{target}"], painted),
            "own": mean(reconstruction.absolute(models[f"paint_{source}"](content, own), images[source])),
            "content": mean(reconstruction.absolute(content_again, content)),
            "code": mean(reconstruction.absolute(drawn_again, drawn)),
        }
        weights = {
            "fooling": options.adversarial,
            "own": options.own,
            "content": options.content,
            "code": options.code,
        }
        if options.cycle:
            returned = models[f"paint_{source}"](content_again, own)
            terms["image"] = mean(reconstruction.absolute(returned, images[source]))
            weights["image"] = options.cycle
        total = total + sum(weights[name] * value for name, value in terms.items())
        metrics |= {f"{source}_{name}": value for name, value in terms.items()}
        handed[target] = painted
    return total, metrics, handed
