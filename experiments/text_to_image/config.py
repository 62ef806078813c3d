r"""Configurations of text to picture, chosen as `config.py:SYSTEM_DATA`.

Every value can be set from the command line, e.g. `--config.num_steps=2000 --config.dfgan.gradient_penalty=0`.

Systems: encoders of texts and pictures (`damsm`, `clip`), a `detector` of objects, a
`probe` of attributes, and what paints: `vae`, `dfgan`,
`attngan`. What paints needs an encoder: `--config.encoder=` the folder of a damsm run, or one with the published files
of AttnGAN's encoders.

| data | what | sizes of the systems |
|---|---|---|
| `scenes32`, `scenes64` | drawn scenes, no download | small, ours |
| `openmoji64` | drawn pictographs with their names, no download; `--config.language=de` and others | small |
| `folder64` | pictures of one's own with a table of texts, `--config.data_dir=FOLDER` | small |
| `cub256`, `flowers256`, `coco256` | published sets; the folder is `--config.data_dir` | published |

Sizes of 256 pixels are those of the authors' public code (tobran/DF-GAN, `code/cfg/{bird,coco,flower}.yml` and
`code/src/train.py`; taoxugit/AttnGAN, `code/cfg/{bird,coco}_attn2.yml` and `code/cfg/DAMSM/*.yml`), epochs turned into
steps. AttnGAN has no flowers: those are as birds. The VAE and CLIP are ours at every size.
"""

from ml_collections import ConfigDict

from gentoolkit import study
from gentoolkit.models.text_to_image import attngan

ENCODERS = ("damsm", "clip")
PAINTERS = ("vae", "dfgan", "attngan")
SYSTEMS = (*ENCODERS, "detector", "probe", *PAINTERS)
# Words of scenes that exclude each other: sides and shapes.
_EXCLUDING = {
    "opposites": "above below, over under, left right, circle square triangle star cross diamond heart ring, "
    "circles squares triangles stars crosses diamonds hearts rings"
}
_REAL = {"image_size": 256, "flip": True, "load_scale": 76 / 64, "words_drawn": 18}  # as the authors' code
DATA = {
    "scenes32": {"dataset": "scenes", "image_size": 32, **_EXCLUDING},
    "scenes64": {"dataset": "scenes", "image_size": 64, **_EXCLUDING},
    "openmoji64": {"dataset": "openmoji", "image_size": 64, "max_words": 12, "num_captions": 2},
    "folder64": {"dataset": "folder", "image_size": 64, "num_captions": 1},
    "cub256": {"dataset": "cub", **_REAL, "num_captions": 10},
    "flowers256": {"dataset": "flowers", **_REAL, "num_captions": 10},
    "coco256": {"dataset": "coco", **_REAL, "num_captions": 5},
}
_ONLY = {"detector": "scenes", "probe": "folder"}  # data that say what these learn
PRESETS = tuple(f"{system}_{data}" for data in DATA for system in SYSTEMS if data.startswith(_ONLY.get(system, "")))
_STEPS = {"damsm": 6000, "clip": 6000, "detector": 6000, "probe": 3000, "vae": 20000, "dfgan": 20000, "attngan": 20000}
# Pictures of a training split: an epoch of the authors.
_PICTURES = {"cub256": 8855, "flowers256": 7034, "coco256": 82783}
# Epochs and batches of the authors; encoders are taken after 200 and 100 epochs, as their file names say.
_EPOCHS = {
    "damsm": {"cub256": (200, 48), "flowers256": (200, 48), "coco256": (100, 48)},
    "dfgan": {"cub256": (1301, 32), "flowers256": (1001, 32), "coco256": (301, 32)},
    "attngan": {"cub256": (600, 20), "flowers256": (600, 20), "coco256": (120, 14)},
}
_PUBLISHED = {
    "text": {"features": 256, "embedding": 300},
    "damsm": {"images": "inception", "decay": "exponential", "final_fraction": 0.1},
    "clip": {"patch_size": 32, "width": 256, "num_layers": 4},
    "dfgan": {"width": 32, "noise_dim": 100},
    "attngan": {**attngan.CUB, "num_stages": 3, "noise_dim": 100, "condition_dim": 100},
}
_COCO = {"damsm": 50.0, **attngan.COCO}  # of attngan


def get_config(preset: str = "dfgan_scenes32") -> ConfigDict:
    """Returns the configuration of a preset."""
    system, data = study.choose("preset", preset, PRESETS).split("_")
    chosen = DATA[data]
    config = ConfigDict(
        {
            "preset": preset,
            "system": system,
            "data_dir": "",  # folder of the data, where they are not drawn
            "num_captions": 5,  # of a picture; scenes have always five
            "max_words": 32,  # of a text; scenes have their own
            "words_drawn": 0,  # words of a longer text that a training step sees, others each time; 0: all
            # Groups of words; a text in which one stands for another of its group is a wrong one to learn from. None if
            # empty.
            # What paints must be told by an encoder that was trained with the same, or the sentences hardly differ.
            "opposites": "",
            "load_scale": 1.0,  # training pictures of the real sets are larger so many times; windows are cut out
            "flip": False,  # whether to mirror pictures in training: not where texts say left and right
            "language": "en",  # of OpenMoji's names: also de, fr, es, ...
            # Whether its keywords are one more text (en, de); they take --config.max_words=16 to be hardly ever cut.
            "keywords": False,
            # Folder that pictures are decoded to, once. If empty it is data_dir/prepared for the published sets, and a
            # folder of one's own is decoded as it is read.
            "prepared": "",
            "folder": {
                "table": "",  # of the texts; captions.csv, .tsv, .jsonl or .json, or the only one there, if empty
                "key": "",  # under which a list of JSON stands
                "image": "",  # where a picture is, by columns of its row: "{split}/{id}.jpg"; "{file}" if empty
                "texts": "",  # columns of texts, with commas; caption, captions, text or title if empty
                # Column that says train... and test... or val...; a tenth is for testing where there is none.
                "split": "split",
                "attributes": "",  # columns that a probe reads off pictures, with commas
                "least": 50,  # training pictures of a value; rarer ones are not asked for
                "missing": "refuse",  # or "leave out": rows whose picture is not there
            },
            **chosen,
            "num_train": 50000,  # scenes
            "hold_out": True,  # combinations of shape and colour, of which training sees none; else all are trained on
            "num_test": 2000,
            "max_objects": 4,  # of a scene
            "seed": 0,
            "num_steps": _STEPS[system],
            "batch_size": 48 if system == "damsm" else 64,
            # What frozen encoder painters are told by: the folder of a damsm run, a file that `export` wrote of one,
            # "damsm_scenes32", the shipped one (scenes of at most two objects), or the folder of published files.
            "encoder": "",
            # Networks that training begins with: of a run of the same system, a file that `export` wrote of one, or one
            # that is shipped. A file has no discriminator, which begins anew.
            "initial": "",
            "compute_dtype": "float32",  # or "bfloat16" on accelerators
            "ema_decay": 0.999 if system in PAINTERS else 0.0,
            "train": {"log_every": 100, "checkpoint_every": 1000, "evaluate_every": 2000},
            "text": {
                "network": "lstm",  # in both directions, as published; or "transformer", of its own kind
                "features": 128,
                "embedding": 64,
                "num_layers": 2,  # of a transformer
                "num_heads": 4,
                "dropout": 0.0 if chosen.get("opposites") else 0.5,
                "unknown": "read",  # or "pass over", as the published encoders do
            },
            "damsm": {
                "images": "small",  # or "inception", which needs weights
                "inception": "",  # file of torchvision's Inception v3, or of the authors' image encoder
                "width": 32,  # of the small one
                "gamma_1": 4.0,
                "gamma_2": 5.0,
                "gamma_3": 10.0,
                "opposites": 3.0,  # weight of telling a text from the one with the opposite word
                "scale": "public",  # or "paper", whose scores are gamma_2 times smaller
                "peak": 2e-3,
                "decay": "cosine",
                "final_fraction": 0.01,
                "clip_norm": 0.25,  # of the text encoder's gradient
            },
            "clip": {"width": 96, "num_layers": 2, "num_heads": 4, "patch_size": 4, "features": 64, "peak": 1e-3},
            "detector": {"width": 32, "num_blocks": 2, "peak": 2e-3},
            "probe": {"width": 16, "num_blocks": 2, "peak": 2e-3},
            "vae": {
                "width": 24,
                "noise_dim": 48,
                "trains_text": True,  # from where the encoder stands; False leaves it as it is
                "flow_width": 160,  # of the network that carries noise to codes; 0 takes the normal law of the prior
                "scale": 0.2,  # of the Laplace law of a pixel in [-1, 1]: a smaller one makes codes say more
                "peak": 2e-3,
            },
            "dfgan": {
                "width": 16,
                "noise_dim": 32,
                "gradient_penalty": 2.0,  # its strength; 0 leaves it out
                "power": 6.0,
                "bounded": True,  # colours by tanh, as published; without it a light page cannot blind the painter
                "damsm": 0.0,  # weight of DAMSM's word on painted pictures, as in AttnGAN; not in what was published
                "mismatched": 0.5,  # weight of real pictures with the text of others, and of painted ones
                "peak_generator": 1e-4,
                "peak_discriminator": 4e-4,
                "b1": 0.0,
                "b2": 0.9,
            },
            "attngan": {
                "width": 24,
                "judge_width": 24,
                "num_stages": 2,
                "noise_dim": 64,
                "condition_dim": 32,
                "num_residual": 2,
                "damsm": 5.0,  # lambda
                "divergence": 1.0,
                "peak": 2e-4,
                "b1": 0.5,
                "b2": 0.999,
            },
        }
    )
    if data in _PICTURES:
        config.update(_PUBLISHED)
        if data == "coco256":
            config.attngan.update(_COCO)
            config.words_drawn = {"damsm": 15, "attngan": 12}.get(system, 18)
        config.update(_lengths(system, data))
    if data in ("openmoji64", "folder64"):
        config.clip.patch_size = 8
    return config


def _lengths(system: str, data: str) -> dict:
    """Batch and steps of the authors, and how often to look; ours where a system is not theirs."""
    often = {"log_every": 100, "checkpoint_every": 2000, "evaluate_every": 10000}
    if system not in _EPOCHS:
        return {"train": often}
    epochs, batch = _EPOCHS[system][data]
    lengths = {"batch_size": batch, "num_steps": epochs * (_PICTURES[data] // batch), "train": often}
    return lengths | ({"ema_decay": 0.0} if system == "dfgan" else {})  # their code keeps no average
