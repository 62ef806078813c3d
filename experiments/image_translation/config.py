r"""Configurations of image translation, chosen as `config.py:PRESET`; the method is `--config.method`.

Every value can be set from the command line, e.g. `--config.method=munit --config.dsvib.lambda_code=0`.
Methods: dsvib, cyclegan, unit, bicyclegan (pairs), munit.
"""

from ml_collections import ConfigDict, config_dict

from gentoolkit import study

METHODS = ("dsvib", "cyclegan", "unit", "bicyclegan", "munit")
# Channels of x (outlines, edges, labels, sketches) and of y, what y is painted from.
PRESETS = {
    "polygons": {"image_size": 32, "channels": (3, 3), "width": 16, "batch_size": 8, "num_steps": 5000},
    "openmoji": {"image_size": 64, "channels": (1, 3), "width": 32, "batch_size": 8, "num_steps": 20000},
    "facades": {"image_size": 128, "channels": (3, 3), "width": 64, "batch_size": 8, "num_steps": 100000},
    "edges2shoes": {"image_size": 128, "channels": (3, 3), "width": 64, "batch_size": 8, "num_steps": 100000},
    "edges2handbags": {"image_size": 128, "channels": (3, 3), "width": 64, "batch_size": 8, "num_steps": 100000},
    "cufs": {"image_size": 128, "channels": (3, 3), "width": 64, "batch_size": 8, "num_steps": 50000},
    "cycle_gan": {"image_size": 128, "channels": (3, 3), "width": 64, "batch_size": 8, "num_steps": 100000},
    "folders": {"image_size": 128, "channels": (3, 3), "width": 64, "batch_size": 8, "num_steps": 100000},
}


def get_config(preset: str = "openmoji") -> ConfigDict:
    """Returns the configuration of a preset."""
    chosen = study.choose("preset", preset, PRESETS)
    small = preset in ("polygons", "openmoji")
    return ConfigDict(
        {
            "dataset": preset,
            "data_dir": "",  # of the data sets that are not embedded
            "pairs": "auto",  # whether files of one name are pairs, of folders: or "names" (they are), "none"
            "unpair": "disjoint",  # without pairs: each half of the pairs gives one side; or "shuffle", all give both
            "fit": "stretch",  # of pictures from files; or "cover", which keeps proportions and cuts off the overhang
            "load_scale": 1.0,  # pictures from files are read so many times larger and cropped at random, in training
            "method": "dsvib",
            "seed": 0,
            **chosen,
            "adversarial": "least_squares",  # or "logistic" (the paper's eq. 1), "hinge"
            "upsample": "transposed",  # or "nearest", without checkerboards; of dsvib and cyclegan
            "judge_weight": 0.5,  # of the discriminators' loss; of dsvib and cyclegan, as in CycleGAN's public code
            # Of stride 2 in their discriminators; 0: as published, 3, but for dsvib 2 below 256 pixels.
            "judge_layers": 2 if small else 0,
            # Standard deviation of noise on translated images before they are encoded again; 0: none, as published.
            # Against pages that look blank and hide the picture. Of all but bicyclegan, which does not go back.
            "way_back_noise": 0.0,
            "pool": 50,  # past images that discriminators see; 0 for none; of dsvib and cyclegan
            "compute_dtype": "float32",  # or "bfloat16" on accelerators: of layers; losses and updates stay float32
            "ema_decay": 0.0,  # of the moving average of what paints, which is measured and saved then; 0 keeps none
            "optimizer": {
                # None: 2e-4 and 0, as in CycleGAN's public code; of unit and munit 1e-4 both, as in theirs. The decay
                # is added to the gradient.
                "peak": config_dict.placeholder(float),
                "weight_decay": config_dict.placeholder(float),
                "b1": 0.5,
                "b2": 0.999,
                "clip_norm": 0.0,  # gradients of a larger norm are scaled down to it; 0: none are, as published
            },
            "train": {
                "log_every": 50 if small else 200,
                "checkpoint_every": 500 if small else 2000,
                "evaluate_every": 500 if small else 2000,
            },
            # What the paper leaves open, and its parts one by one.
            "dsvib": {
                "code_dim": 8,
                "num_blocks": 3,
                "inject": "fuse",  # or "literal" (a norm takes the code off again), "adain"
                "share": "weights",  # or "activations" (hides colour from the style), "none"
                "num_shared": 3,  # first layers that are shared; or 2, without the second of stride 2
                "norm": "instance",  # or "batch"
                "init": "he",  # or "normal", N(0, 0.02), which starves a narrow style encoder
                # Of what reads codes: "he", with which they are soon in use, or "normal", which keeps plain outlines.
                "code_init": "normal" if preset == "polygons" else "he",
                "up_norm": "instance",  # of the doublings; or "layer", which keeps more of a colour
                "alpha_information": 1.0,  # the bound, eq. (8) to (11); 0 leaves it out
                "alpha_reconstruction": 1.0,
                "alpha_adversarial": 1.0,
                "alpha_prior": 1.0,
                "beta": 1.0,  # times alpha_prior: the paper's alpha_4 / alpha_1
                "lambda_image": 10.0,
                "lambda_code": 1.0,
                "lambda_content": 1.0,
                # Or "mixture" (over several styles, from draws: a bound that leaves out what the code says of the drawn
                # style), "matched" (the mixture's moments: no bound, but no noise).
                "bound": "each",
                "num_codes": 1,  # styles painted of one content in each step; 2 at least for a mixture
                "code_prior": "discrepancy",  # or "divergence" (Kullback-Leibler)
                # Or, by its width, "infovae", "literal", "literal_squared", "median"; or "laplace", "multiquadric".
                "kernel": "dim",
                "bank": 64,  # codes that the discrepancy is taken of, past ones among them
                "code_from": "mean",  # or "sample": what must come back of a drawn code
                "code_cycle_updates": "both",  # or "generator", as BicycleGAN: the encoder is held constant there
                # Or "euclidean", as printed in eq. (3): not squared, and a sum over all of an image, a code, a content.
                "image_distance": "absolute",
                "latent_distance": "squared",
                "likelihood": "cycle",  # or "direct" (in its own domain), "off"
                # Whether what comes back is drawn to the content and not both to one another: where both move, content
                # that says nothing is the cheapest, and one of three runs on polygons lost its outlines so.
                "fixed_content": True,
                "alpha_reference": 0.0,  # of fooling by translations in the style of a real image, not in a drawn one
            },
            # Residual blocks; 0: as published, 9 from 256 pixels on, else 6.
            "cyclegan": {"num_blocks": 3 if small else 0, "cycle": 10.0, "identity": 0.0},
            "unit": {
                "form": "2018",  # or "2017_leaky", "2017_norms"
                "num_blocks": 2 if small else 4,  # of 2018; the forms of 2017 have their own
                "num_scales": 1 if small else 3,  # of 2018
                # Weights; None: as published with the form, 1, 10, 10, 0.01 in 2018 and 10, 100, 100, 0.1 in 2017
                # (whose losses are --config.adversarial=logistic).
                "adversarial": config_dict.placeholder(float),
                "own": config_dict.placeholder(float),
                "cycle": config_dict.placeholder(float),
                "divergence": config_dict.placeholder(float),
            },
            "bicyclegan": {"code_dim": 8, "dropout": 0.5, "image": 10.0, "code": 0.5, "divergence": 0.01},
            "munit": {
                "code_dim": 8,
                "num_blocks": 2 if small else 4,
                "num_scales": 1 if small else 3,
                "adversarial": 1.0,
                "own": 10.0,
                "content": 1.0,
                "code": 1.0,
                # 0 as published on edges; the authors advise 10 where domains agree pixel by pixel, as drawn ones do.
                "cycle": 10.0 if small else 0.0,
            },
        }
    )
