"""BicycleGAN: pairs, a code that comes back from the image, and an image that comes back from its code."""

import functools

import jax
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.image_translation.systems import judges
from experiments.image_translation.systems.system import Domain, Models, System, mean
from gentoolkit import training
from gentoolkit.models.translation import bicyclegan
from gentoolkit.objectives import adversarial, reconstruction, variational


def system(config: ConfigDict, optimizer: optax.GradientTransformation) -> System:
    """Builds the system of a configuration; rows of x and y are pairs, and an even number of them."""
    options, form = config.bicyclegan, judges.FORMS[config.adversarial]()
    if config.batch_size % 2:
        raise ValueError(f"config.batch_size must be even for bicyclegan, got {config.batch_size}.")

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        return bicyclegan.networks(
            rngs, image_size=config.image_size, channels=tuple(config.channels), code_dim=options.code_dim,
            width=config.width, dropout=options.dropout,
        )  # fmt: skip

    objective = functools.partial(translating, form=form, options=options)
    pairs = [
        ("judge_encoded", "painter/real_first", "painter/encoded"),
        ("judge_drawn", "painter/real_second", "painter/drawn"),
    ]
    return System(
        models=models,
        players={
            "painter": training.Player(objective, optimizer, ("paint_y", "encode_y")),
            "judges": judges.player(optimizer, form=form, pairs=pairs),
        },
        translate=translate,
        style=style,
        code_dim=options.code_dim,
        directions=("y",),
        multiple=config.image_size,
    )


def translate(models: Models, images: jax.Array, code: jax.Array | None, to: Domain) -> jax.Array:
    """Paints images of y in a style."""
    del to
    return models["paint_y"](images, code)


def style(models: Models, images: jax.Array, of: Domain) -> jax.Array:
    """The mean of the law of a style of y."""
    del of
    return models["encode_y"](images).mean


def translating(models: Models, batch, turn, *, form: adversarial.Form, options: ConfigDict):
    """Objective of painter and encoder; the first half of the rows is painted in its own style, and both in drawn ones.

    The code that must come back from a drawn one reaches the painter alone: the encoder is held constant there.
    """
    own_key, drawn_key = jax.random.split(turn.key)
    half = batch["x"]["image"].shape[0] // 2
    x, y = batch["x"]["image"][:half], batch["y"]["image"][:half]
    law = models["encode_y"](y)
    encoded = models["paint_y"](x, variational.sample(own_key, *law))
    drawn_code = jax.random.normal(drawn_key, (half, options.code_dim))
    drawn = models["paint_y"](x, drawn_code)
    again = training.constant(models["encode_y"])(drawn).mean
    terms = {
        "fooling_encoded": judges.fooling(form, models["judge_encoded"], encoded),
        "fooling_drawn": judges.fooling(form, models["judge_drawn"], drawn),
        "image": mean(reconstruction.absolute(encoded, y)),
        "code": mean(reconstruction.absolute(again, drawn_code)),
        # Summed over the batch, as in public code.
        "divergence": half * mean(variational.kl_to_standard(*law)),
    }
    weights = {
        "fooling_encoded": 1.0,
        "fooling_drawn": 1.0,
        "image": options.image,
        "code": options.code,
        "divergence": options.divergence,
    }
    handed = {
        "encoded": encoded,
        "drawn": drawn,
        "real_first": {"image": y},
        "real_second": {"image": batch["y"]["image"][half:]},
    }
    return sum(weights[name] * value for name, value in terms.items()), terms, handed
