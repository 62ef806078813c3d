"""The domain-specific variational information bound: two cycles, each with a bound on what a style says of its source.

Signs and readings are those of the loss that is minimised; what the paper leaves open has an option in the
configuration (`config.dsvib`), where the choice is explained.
"""

import functools

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from ml_collections import ConfigDict

from experiments.image_translation import judgement
from experiments.image_translation.systems import judges
from experiments.image_translation.systems.system import Domain, Models, System, mean, other, way_back
from gentoolkit import training
from gentoolkit.distances import mmd
from gentoolkit.models.translation import dsvib
from gentoolkit.nn import pools
from gentoolkit.objectives import adversarial, reconstruction, variational
from gentoolkit.training import Player


def system(config: ConfigDict, optimizer: optax.GradientTransformation) -> System:
    """Builds the system of a configuration."""
    options, image_shape = config.dsvib, (config.image_size, config.image_size)
    form = judges.FORMS[config.adversarial]()

    def models(rngs: nnx.Rngs) -> dict[str, nnx.Module]:
        made = dsvib.networks(
            rngs, image_size=config.image_size, channels=tuple(config.channels), width=config.width,
            num_blocks=options.num_blocks, num_layers=config.judge_layers or None, code_dim=options.code_dim,
            inject=options.inject, share=options.share, num_shared=options.num_shared, norm=options.norm,
            upsample=config.upsample, up_norm=options.up_norm, init=options.init, code_init=options.code_init,
        )  # fmt: skip
        for domain, channels in zip("xy", config.channels, strict=True):
            made[f"pool_judge_{domain}"] = pools.ImagePool(config.pool, (*image_shape, channels))
            made[f"bank_{domain}"] = pools.CodeBank(max(options.bank, config.batch_size), options.code_dim)
        return made

    painters = functools.partial(translating, form=form, options=options, noise=config.way_back_noise)
    trained = ("encode_x", "encode_y", "paint_x", "paint_y")
    pairs = [(f"judge_{domain}", domain, f"painters/{domain}") for domain in "xy"]
    return System(
        models=models,
        players={
            "painters": Player(painters, optimizer, trained),
            "judges": judges.player(optimizer, form=form, pairs=pairs, weight=config.judge_weight),
        },
        translate=translate,
        style=style,
        restyle=restyle,
        code_dim=options.code_dim,
        least=judges.least_of_patches(config.judge_layers or dsvib.num_judge_layers(config.image_size)),
    )


def translate(models: Models, images: jax.Array, code: jax.Array | None, to: Domain) -> jax.Array:
    """Paints the content of images of the other domain in a style of this one."""
    return models[f"paint_{to}"](models[f"encode_{other(to)}"].content(images), code)


def style(models: Models, images: jax.Array, of: Domain) -> jax.Array:
    """The mean of the law of a style."""
    return models[f"encode_{of}"].style(images).mean


def restyle(models: Models, images: jax.Array, code: jax.Array, of: Domain) -> jax.Array:
    """Paints images anew in another style of their own domain."""
    return models[f"paint_{of}"](models[f"encode_{of}"].content(images), code)


def translating(models: Models, batch, turn, *, form: adversarial.Form, options: ConfigDict, noise: float):
    """Objective of encoders and painters: both cycles, eq. (12); hands the translated images on."""
    total, metrics, handed = 0.0, {}, {}
    for number, source in enumerate("xy"):
        key = jax.random.fold_in(turn.key, number)
        images = [batch[domain]["image"] for domain in (source, other(source))]
        terms, painted = cycle(key, models, *images, source, form=form, options=options, noise=noise)
        handed[other(source)] = painted
        weights = weights_of(options)
        total = total + sum(weights[name] * value for name, value in terms.items() if name in weights)
        metrics |= {f"{source}_{name}": value for name, value in terms.items()}
    return total, metrics, handed


def weights_of(options: ConfigDict) -> dict[str, float]:
    """The weight of each term: alpha_1 ... alpha_4 and lambda_1 ... lambda_3 of the paper."""
    alpha = options.alpha_information
    return {
        "information": alpha,
        "image": options.alpha_reconstruction * options.lambda_image,
        "code": options.alpha_reconstruction * options.lambda_code,
        "content": options.alpha_reconstruction * options.lambda_content,
        "fooling": options.alpha_adversarial,
        "reference": options.alpha_reference,
        "prior": options.beta * options.alpha_prior,
        "likelihood": options.beta * options.alpha_prior,
    }


def cycle(
    key: jax.Array,
    models: Models,
    images: jax.Array,
    references: jax.Array,
    source: Domain,
    *,
    form: adversarial.Form,
    options: ConfigDict,
    noise: float = 0.0,
) -> tuple[dict[str, jax.Array], jax.Array]:
    """One cycle: an image to the other domain in a style drawn from N(0, I), and back in its own style.

    Args:
      key: draws both styles.
      models: the networks.
      images: `[b, h, w, c]` of the domain `source`.
      references: `[b, h, w, c]` of the other domain.
      source: "x" or "y".
      form: what is asked of logits.
      options: of the configuration.
      noise: as of `way_back`.

    Returns:
      The terms by name, each a mean over the batch, and the translated images that the discriminator is to see: with
      `options.alpha_reference` those in the style of a reference, too, behind the others.
    """
    target = other(source)
    own_key, drawn_key, again_key, prior_key = jax.random.split(key, 4)
    mixture_key, reference_key = jax.random.split(jax.random.fold_in(key, 4))
    content, own = models[f"encode_{source}"](images)
    own_code = variational.sample(own_key, *own)
    count, many = images.shape[0], options.num_codes
    drawn = jax.random.normal(drawn_key, (count * many, options.code_dim))
    painted = models[f"paint_{target}"](_repeat(content, many), drawn)
    seen = way_back(jax.random.fold_in(key, 5), painted, noise)
    content_again, again = models[f"encode_{target}"](seen)
    sent_back = again
    if options.code_cycle_updates == "generator":
        sent_back = training.constant(models[f"encode_{target}"]).style(seen)
    code_again = sent_back.mean if options.code_from == "mean" else variational.sample(again_key, *sent_back)
    goal = jax.lax.stop_gradient(content) if options.fixed_content else content
    returned = models[f"paint_{source}"](content_again, _repeat(own_code, many))
    known = {
        "absolute": reconstruction.absolute,
        "euclidean": reconstruction.euclidean,
        "squared": reconstruction.squared,
    }
    distance, of_latents = known[options.image_distance], known[options.latent_distance]
    # Summed over the code, as the bound is: with a mean the bound would weigh code_dim times as much, and where it
    # does, codes are best ignored. The Euclidean distance is a sum as it is.
    whole_code = options.code_dim if options.latent_distance == "squared" else 1
    terms = {
        "fooling": judges.fooling(form, models[f"judge_{target}"], painted),
        "image": mean(distance(returned, _repeat(images, many))),
        "code": whole_code * mean(of_latents(code_again, drawn)),
        "content": mean(of_latents(content_again, _repeat(goal, many))),
        "information": information(mixture_key, again, count, options),
        "prior": prior(prior_key, models[f"bank_{source}"](own_code), own, options),
    }
    if options.likelihood != "off":
        direct = options.likelihood == "direct"
        likely = _repeat(models[f"paint_{source}"](content, own_code), many) if direct else returned
        terms["likelihood"] = mean(reconstruction.absolute(likely, _repeat(images, many)))
    shown = painted[::many]
    if options.alpha_reference:
        code_of_reference = variational.sample(reference_key, *models[f"encode_{target}"].style(references))
        referred = models[f"paint_{target}"](content, code_of_reference)
        terms["reference"] = judges.fooling(form, models[f"judge_{target}"], referred)
        # Or the painter would fool a discriminator that never learned what such images look like.
        shown = jnp.concatenate([shown, referred])
    if count > 1:  # a single code has no spread
        spread = jnp.std(own.mean.astype(jnp.float32), axis=0)
        terms["code_spread"] = jnp.mean(spread)
        terms["active_units"] = jnp.sum(spread > judgement.ACTIVE).astype(jnp.float32)
    return terms, shown


def information(key: jax.Array, again, count: int, options: ConfigDict) -> jax.Array:
    """The bound on what the style of a translated image says of its source.

    "each" is the paper's eq. (11), which also punishes what the code says of the style that was drawn; "mixture" that
    of the mixture over several drawn styles, which does not; "matched" the same by the mixture's first two moments.
    """
    laws = [part.astype(jnp.float32) for part in again]
    if options.bound == "each":
        return mean(variational.kl_to_standard(*laws))
    grouped = [part.reshape(count, options.num_codes, -1) for part in laws]
    if options.bound == "mixture":
        return mean(variational.kl_of_mixture(key, *grouped))
    return mean(variational.kl_of_matched_normal(*grouped))


def prior(key: jax.Array, codes: jax.Array, own, options: ConfigDict) -> jax.Array:
    """How far the encoded styles are from N(0, I): the paper's discrepancy, or the divergence it is set against."""
    if options.code_prior == "divergence":
        return mean(variational.kl_to_standard(*[part.astype(jnp.float32) for part in own]))
    dim = options.code_dim
    if options.kernel == "median":
        draws = jax.random.normal(key, codes.shape)
        bandwidth = mmd.median_bandwidth(codes.astype(jnp.float32), draws)
        return variational.gaussian_mmd_to_standard(codes.astype(jnp.float32), bandwidth=bandwidth)
    if options.kernel == "laplace":
        kernel = mmd.laplacian(variational.prior_bandwidth(dim))
        return variational.mmd_to_standard(key, codes.astype(jnp.float32), kernel)
    if options.kernel == "multiquadric":
        kernel = mmd.inverse_multiquadric(mmd.wae_scales(dim))
        return variational.mmd_to_standard(key, codes.astype(jnp.float32), kernel)
    bandwidth = variational.prior_bandwidth(dim, reading=options.kernel)
    return variational.gaussian_mmd_to_standard(codes.astype(jnp.float32), bandwidth=bandwidth)


def _repeat(rows: jax.Array, times: int) -> jax.Array:
    """Each row `times` times, one after another."""
    return rows if times == 1 else jnp.repeat(rows, times, axis=0)
