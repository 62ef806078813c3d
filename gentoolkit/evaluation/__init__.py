"""Metrics over a model and a stream, handed as functions and batches; each returns a dict of floats.

A function of a model (`encode`, `decode`, `features`) is called as it is, once for each batch, and all batches have one
shape: hand over compiled functions and nothing compiles twice. `batches` is anything that can be iterated anew, of
dicts with `"image"` `[b, h, w, c]` in [0, 1] and, where the last batch is filled up, `"counts"` `[b]` bool, False for
the rows that do not count::

    encode = training.jit(lambda models, images: models["autoencoder"].encode(images))

    def held_out(models, step):
        z = evaluation.codes(lambda images: encode(models, images), batches)
        return evaluation.normality(z, directions)

Sums are kept on the host in float64. With several processes, each is to be handed the whole pass and gets the same
numbers.
"""

from gentoolkit.evaluation.frechet import FeatureMoments as FeatureMoments
from gentoolkit.evaluation.frechet import decoded_prior as decoded_prior
from gentoolkit.evaluation.frechet import feature_moments as feature_moments
from gentoolkit.evaluation.frechet import frechet_distance as frechet_distance
from gentoolkit.evaluation.latent import codes as codes
from gentoolkit.evaluation.latent import kolmogorov_smirnov as kolmogorov_smirnov
from gentoolkit.evaluation.latent import mardia as mardia
from gentoolkit.evaluation.latent import normality as normality
from gentoolkit.evaluation.latent import sliced_wasserstein as sliced_wasserstein
from gentoolkit.evaluation.reconstruction import reconstruction_error as reconstruction_error
