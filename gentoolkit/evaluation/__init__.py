"""Metrics over a model and a stream, handed as functions and batches.

`measure` takes any number of statistics in one pass: `extract` is called once for each batch and hands on several
arrays, which all statistics share; rows that only fill up the last batch are left out. All batches have one shape, so
hand over a compiled function and nothing compiles twice::

    @training.jit
    def look(models, images):
        z = models["autoencoder"].encode(images)
        return {"codes": z, "rebuilt": models["autoencoder"].decode(z)}

    def held_out(models, step):
        found = evaluation.measure(
            batches,                     # {"image": [b, h, w, c] in [0, 1], "counts": [b] bool}, iterable anew
            extract=lambda batch: look(models, batch["image"]),
            statistics={
                "error": evaluation.squared_error("image", "rebuilt"),
                "law": statistics.rows("codes", finish=lambda z: evaluation.normality(z, directions)),
            },
        )
        return found["error"] | found["law"]

Images of a model are compared with real ones by features of a network, whose name goes with every figure::

    prepare = preprocessing.clean()  # as clean-fid; legacy_pytorch(), legacy_tensorflow()
    def inception(batch):
        return {"pool": network(prepare(batch["image"]), ("2048",))["2048"]}

    of_images = evaluation.measure(batches, extract=inception, statistics={"pool": statistics.blocks("pool")})["pool"]
    names = {"network": "inception-v3-fid", "preprocessing": prepare.name}
    generated = features.of(of_images, **names)
    evaluation.fid(features.load("real.npz", **names), generated)  # value, standard error, numbers of images, names

`statistics.rows` in place of `statistics.blocks` keeps the features, as `kid`, `precision_recall`, `density_coverage`
and `inception_score` need them. Pairs of images go to `lpips` and `diversity`, embeddings of images and texts to
`clip_score`.

The functions named after one metric (`reconstruction_error`, `codes`, `feature_moments`) are such passes with one
statistic. Sums are kept on the host in float64.

With `mesh=` every device takes part of each batch, and every process is handed its part of the stream. Without it each
process is to be handed the whole pass, and gets the same numbers.
"""

from gentoolkit.evaluation.caption_score import clip_score as clip_score
from gentoolkit.evaluation.class_score import inception_score as inception_score
from gentoolkit.evaluation.features import Features as Features
from gentoolkit.evaluation.frechet import decoded_prior as decoded_prior
from gentoolkit.evaluation.frechet import feature_moments as feature_moments
from gentoolkit.evaluation.frechet import frechet_distance as frechet_distance
from gentoolkit.evaluation.frechet import prior as prior
from gentoolkit.evaluation.frechet_inception import fid as fid
from gentoolkit.evaluation.kernel_inception import kid as kid
from gentoolkit.evaluation.latent import codes as codes
from gentoolkit.evaluation.latent import kolmogorov_smirnov as kolmogorov_smirnov
from gentoolkit.evaluation.latent import mardia as mardia
from gentoolkit.evaluation.latent import normality as normality
from gentoolkit.evaluation.latent import sliced_wasserstein as sliced_wasserstein
from gentoolkit.evaluation.measure import Statistic as Statistic
from gentoolkit.evaluation.measure import measure as measure
from gentoolkit.evaluation.neighbors import density_coverage as density_coverage
from gentoolkit.evaluation.neighbors import precision_recall as precision_recall
from gentoolkit.evaluation.perceptual import diversity as diversity
from gentoolkit.evaluation.perceptual import lpips as lpips
from gentoolkit.evaluation.reconstruction import reconstruction_error as reconstruction_error
from gentoolkit.evaluation.reconstruction import squared_error as squared_error
from gentoolkit.evaluation.result import Result as Result
from gentoolkit.evaluation.statistics import FeatureMoments as FeatureMoments
