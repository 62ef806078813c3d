"""The public names that callers rely on: a change of one is a change here, and in the changelog."""

import importlib
import inspect

import pytest

# Names that stay, with the positional parameters they begin with.
CONTRACT = {
    "distances": {
        "sorting": {"sort": "y", "ranks": "y"},
        "directions": {"random": "key num dim", "orthogonal": "key num dim", "sobol": "key num dim"},
        "normality": {
            "wasserstein": "y",
            "cramer_wold": "y",
            "cramer_von_mises": "y",
            "kolmogorov_smirnov": "y",
            "anderson_darling": "y",
            "epps_pulley": "y",
            "shapiro_francia": "y",
            "null_mean": "statistic n",
            "p_value": "statistic value n",
        },
        "normality.tails": {"tail": "z", "density": "z", "hazard": "z", "log_tail": "z"},
        "products": {"matmul": "a b", "transpose": "a"},
        "two_sample": {"wasserstein": "y w", "energy": "y w", "cramer_von_mises": "y w", "kolmogorov_smirnov": "y w"},
        "sliced": {"project": "x directions", "distance": "statistic", "maximal": "key statistic"},
        "cramer_wold": {"to_normal": "x", "between": "x z"},
        "mmd": {
            "squared": "x z kernel",
            "gaussian": "bandwidth",
            "inverse_multiquadric": "scales",
            "laplacian": "",
            "rational_quadratic": "",
            "energy": "",
        },
        "gaussian": {
            "frechet": "mean_a cov_a mean_b cov_b",
            "kl_divergence": "mean_a cov_a mean_b cov_b",
            "mardia": "x",
            "Mardia": "skewness kurtosis",
        },
    },
    "gaussianization": {
        "marginal": {
            "Compensated": "forward inverse",
            "Marginal": "fit forward inverse",
            "quantile": "",
            "histogram": "",
            "kernel_density": "",
            "mixture": "",
            "dither": "key y",
        },
        "rotation": {
            "Rotation": "fit forward inverse",
            "pca": "",
            "random": "",
            "ica": "",
            "max_sliced": "",
        },
        "univariate_entropy": {"spacing": "y", "histogram": "y"},
        "persistence": {"save": "path d", "load": "path"},
        "rbig": {
            "fit": "key x",
            "apply_layer": "marginal layer x",
            "layers": "d x",
            "from_uniform": "d u",
            "forward": "d x",
            "inverse": "d z",
            "log_prob": "d x",
            "sample": "key d num",
            "to_uniform": "d x",
        },
    },
    "information": {
        "total_correlation": {"total_correlation": "key x"},
        "mutual_information": {"mutual_information": "key x z"},
        "conditional": {"conditional_mutual_information": "key x z given"},
        "entropy": {"entropy": "key x", "negentropy": "key x"},
        "divergence": {"kl_divergence": "key x z"},
        "estimate": {
            "Estimate": "value standard_error null_mean null_std p_value trace",
            "with_doubt": "key statistic",
            "permuted": "key x",
            "permuted_columns": "key x",
            "p_value": "value null",
            "jackknife": "statistic",
        },
        "nearest_neighbors": {
            "entropy": "x",
            "total_correlation": "x",
            "mutual_information": "x z",
            "conditional_mutual_information": "x z given",
            "local_nonuniformity": "",
            "kl_divergence": "x z",
        },
        "exponential_family": {
            "entropy": "x",
            "total_correlation": "x",
            "mutual_information": "x z",
            "conditional_mutual_information": "x z given",
            "kl_divergence": "x z",
        },
        "von_mises": {
            "entropy": "x",
            "total_correlation": "x",
            "mutual_information": "x z",
            "kl_divergence": "x z",
            "likeliest_bandwidth": "x candidates",
        },
        "elliptical": {"fit": "z", "forward": "fitted z"},
        "mixture": {"fit": "key z num_components", "refit": "fitted z", "forward": "fitted z", "log_ratio": "fitted z"},
        "student_t": {
            "entropy": "scatter",
            "total_correlation": "scatter",
            "mutual_information": "scatter",
            "sample": "key scatter",
        },
        "gaussian": {
            "entropy": "cov",
            "total_correlation": "cov",
            "mutual_information": "cov",
            "conditional_mutual_information": "cov",
            "kl_divergence": "mean_a cov_a mean_b cov_b",
        },
    },
    "gaussian_process": {
        "covariance": {
            "register": "cls",
            "squared_exponential": "lengthscale variance",
            "matern32": "lengthscale variance",
            "matern52": "lengthscale variance",
            "rational_quadratic": "lengthscale variance",
        },
        "posterior": {"condition": "covariance x y", "mean": "p x", "variance": "p x", "sample": "key p x"},
        "sparse": {"condition": "covariance x y"},
        "evidence": {"log_marginal_likelihood": "", "elbo": "", "leave_one_out": "", "fit": "key"},
        "kmeans": {
            "kmeans": "key x num_clusters",
            "kmeans_plus_plus": "key x num_clusters",
            "minibatch": "key x num_clusters",
            "assign": "x centers",
        },
        "cholesky": {"factorize": "matrix", "solve": "lower b", "inverse": "lower", "log_det": "lower"},
        "coregionalization": {
            "coregionalized": "covariance outputs",
            "condition": "covariance x y",
            "mean": "p x",
            "variance": "p x",
        },
        "conjugate_gradients": {
            "solve": "covariance x b",
            "pivoted_cholesky": "covariance x",
            "log_det": "covariance x probes",
        },
    },
    "imaging": {
        "color": {
            "luma": "image",
            "rgb_to_ycbcr": "image",
            "ycbcr_to_rgb": "image",
            "luma_gain": "old new",
            "replace_luma": "image y",
            "value": "image",
            "scale_value": "image new",
            "rgb_to_hsv": "image",
            "hsv_to_rgb": "image",
            "srgb_to_linear": "image",
            "linear_to_srgb": "image",
        },
        "patches": {"extract": "image size", "neighborhoods": "image size", "fold": "patches shape size"},
        "filters": {
            "box": "image radius",
            "gaussian": "image sigma",
            "guided": "image guide",
            "bilateral": "image",
            "closing": "image radius",
        },
        "clahe": {"clahe": "image"},
        "pyramid": {"laplacian_pyramid": "image num_levels", "collapse": "levels"},
        "solvers": {
            "differences": "u",
            "adjoint_differences": "field",
            "solve_neumann": "b",
            "solve_periodic": "b",
            "solve_weighted": "b",
            "conjugate_gradients": "operator b",
        },
        "quality": {"psnr": "image reference", "ssim": "image reference", "lpips_input": "image"},
        "degradation": {
            "gamma_levels": "",
            "darken": "image gamma",
            "quantize": "image",
            "poisson_gaussian": "key image",
            "color_cast": "image gammas",
        },
        "keypoints": {
            "detect": "image",
            "score_geometry": "detected truth",
            "score_descriptors": "detected truth",
            "compare": "image reference",
        },
        "gp_enhancement.tone_map": {
            "fit": "key image reference",
            "cluster": "key image reference",
            "condition": "key pairs",
            "apply": "tone_map image",
        },
        "gp_enhancement.published": {
            "luminance": "key image reference",
            "rgb": "key image reference",
            "unique_pairs": "key image reference",
            "fit_unique_pairs": "key image reference",
        },
        "gp_enhancement.improved": {
            "fit": "key image reference",
            "default_departure": "mean",
            "curves": "found",
            "rebalance": "table exponents",
            "apply": "table image",
        },
        "gp_enhancement.power_law": {"brighten": "dark gamma", "fit": "dark bright"},
        "gp_enhancement.white_balance": {"exponents": "image", "apply": "image exponents"},
        "gp_enhancement.shrinkage": {"noise_level": "image", "shrink": "image variance"},
        "retinex.fbe": {"enhance": "image"},
        "retinex.wvm": {"enhance": "image"},
        "retinex.lime": {"enhance": "image"},
        "retinex.srrm": {"enhance": "image"},
        "retinex.gradient_based": {"enhance": "image"},
    },
    "nn": {
        "bijections.affine": {"Affine": ""},
        "bijections.bijection": {"Chain": ""},
        "bijections.divisive_normalization": {"DivisiveNormalization": ""},
        "bijections.householder": {"Householder": ""},
        "bijections.mixture_marginal": {"MixtureMarginal": ""},
        "bijections.spline_coupling": {"SplineCoupling": ""},
        "convolution": {"TransposedConvolution": ""},
    },
    "models": {
        "autoencoder": {"Autoencoder": "", "dense": "", "shallow": "", "strided": ""},
        "classifier": {"Classifier": ""},
        "discriminator": {"LatentDiscriminator": ""},
        "flow": {"gaussianization": "num_features", "spline_coupling": "num_features"},
        "weights": {
            "Weights": "arrays",
            "read": "path",
            "Entry": "names shapes make",
            "same": "name",
            "permuted": "name axes",
            "convolution": "name",
            "linear": "name",
            "linear_of_image": "name image_shape",
            "normalized_convolution": "kernel norm",
            "under": "prefix table",
            "problems": "module table weights",
            "assign": "module table weights",
            "random": "module rngs",
            "Origin": "name sha256 published",
            "of_file": "name weights",
            "of_random": "name",
        },
    },
    "data": {
        "fields": {
            "Ragged": "values lengths",
            "Field": "",
            "Label": "",
            "Image": "",
            "Mask": "",
            "Boxes": "",
            "Tokens": "",
            "Sound": "",
        },
        "columns": {
            "Columns": "num fields read",
            "from_values": "fields values",
            "images": "values labels",
            "split": "source",
            "in_memory": "source",
        },
        "digits": {"load": "split"},
        "mnist": {"load": "split"},
        "cifar10": {"load": "split", "prepare": ""},
        "celeb_a": {"load": "split", "prepare": ""},
        "folder": {"load": "directory"},
        "prepared": {"load": "directory split"},
        "preparation": {"prepare": "sources directory"},
        "pipeline": {"Stream": "source", "EvaluationPass": "source", "scale": "fields batch image_range"},
        "pairs": {"Together": ""},
        "text": {"Vocabulary": "words", "words": "text"},
        "transform": {"horizontal_flip": "fields batch words", "RandomCrop": "size"},
    },
    "evaluation": {
        "measure": {"measure": "batches", "Statistic": "init update merge finish"},
        "statistics": {"mean": "of", "moments": "of", "rows": "of"},
        "frechet": {
            "feature_moments": "features batches",
            "frechet_distance": "samples images",
            "prior": "key",
            "decoded_prior": "key decode",
        },
        "latent": {"codes": "encode batches", "mardia": "z", "normality": "z directions"},
        "reconstruction": {"reconstruction_error": "reconstruct batches", "squared_error": "image rebuilt"},
    },
}


@pytest.mark.fast
@pytest.mark.parametrize("room", list(CONTRACT))
def test_the_names_of_the_contract_stand(room):
    told = []
    for module_name, names in CONTRACT[room].items():
        module = importlib.import_module(f"gentoolkit.{room}.{module_name}")
        for name, positional in names.items():
            value = getattr(module, name, None)
            if value is None:
                told.append(f"{module.__name__}.{name} is missing")
                continue
            given = [*inspect.signature(value).parameters][: len(positional.split())]
            if given != positional.split():
                told.append(f"{module.__name__}.{name} begins with {given}, not {positional.split()}")
    assert not told, "\n" + "\n".join(told)
