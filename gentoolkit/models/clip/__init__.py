"""CLIP: images and texts in one space, with the published weights or to be trained.

    model = clip.load("ViT-B-32.pt", clip.VIT_B_32)                  # or .safetensors, .bin, .msgpack, .npz
    tokenizer = clip_tokens.read("bpe_simple_vocab_16e6.txt.gz")     # gentoolkit.data
    of_images = model.encode_image(clip.preprocess(images, image_range=(0, 1)))  # [b, h, w, 3]
    of_texts = model.encode_text(tokenizer.encode(["a red square"]))
    loss = clip.guidance(model, images, of_texts, image_range=(0, 1)).mean()  # with a gradient in the images

| size | patches, images | parameters | |
|---|---|---|---|
| `VIT_B_32`, `VIT_B_16` | 32 and 16, 224 | 151 and 150 million | OpenAI; OpenCLIP's own trainings with "gelu" |
| `VIT_L_14`, `VIT_L_14_336` | 14, 224 and 336 | 428 million | the same |
| `VIT_H_14`, `VIT_SMALL_G_14` | 14, 224 | 986 and 1,367 million | OpenCLIP's ViT-H-14 and ViT-g-14, not ViT-bigG-14 |
| `MINI` | 8, 64 | 3.6 million | ours, to train on a desk |

`model.origin` says which weights it has: its size, the SHA-256 of the file, and whether the hash is OpenAI's.
"""

from gentoolkit.models.clip.architecture import MINI as MINI
from gentoolkit.models.clip.architecture import VIT_B_16 as VIT_B_16
from gentoolkit.models.clip.architecture import VIT_B_32 as VIT_B_32
from gentoolkit.models.clip.architecture import VIT_H_14 as VIT_H_14
from gentoolkit.models.clip.architecture import VIT_L_14 as VIT_L_14
from gentoolkit.models.clip.architecture import VIT_L_14_336 as VIT_L_14_336
from gentoolkit.models.clip.architecture import VIT_SMALL_G_14 as VIT_SMALL_G_14
from gentoolkit.models.clip.architecture import Architecture as Architecture
from gentoolkit.models.clip.architecture import Tower as Tower
from gentoolkit.models.clip.images import guidance as guidance
from gentoolkit.models.clip.images import preprocess as preprocess
from gentoolkit.models.clip.images import preprocess_bytes as preprocess_bytes
from gentoolkit.models.clip.model import CLIP as CLIP
from gentoolkit.models.clip.model import shapes as shapes
from gentoolkit.models.clip.model import unit as unit
from gentoolkit.models.clip.names import IGNORED as IGNORED
from gentoolkit.models.clip.names import PUBLISHED as PUBLISHED
from gentoolkit.models.clip.names import from_weights as from_weights
from gentoolkit.models.clip.names import load as load
from gentoolkit.models.clip.names import naming_of as naming_of
from gentoolkit.models.clip.names import nearest_size as nearest_size
from gentoolkit.models.clip.names import save as save
from gentoolkit.models.clip.names import table_of as table_of
from gentoolkit.models.clip.towers import Features as Features
from gentoolkit.models.clip.towers import TextTower as TextTower
from gentoolkit.models.clip.towers import VisionTower as VisionTower
from gentoolkit.models.clip.towers import run as run
