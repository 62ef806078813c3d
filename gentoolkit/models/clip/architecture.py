"""How large a CLIP is: the published sizes, and a small one to train on a desk."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Tower:
    """One of the two transformers.

    Attributes:
      num_features: of a token.
      num_layers: blocks.
      num_heads: of each block's attention.
      hidden_features: of each block's hidden layer; four times `num_features` if None.
    """

    num_features: int
    num_layers: int
    num_heads: int
    hidden_features: int | None = None


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A vision tower and a text tower with one space of embeddings.

    Attributes:
      image_size: height and width of the images, in pixels.
      patch_size: height and width of the square that becomes a token, a divisor of `image_size`.
      vision: the vision tower.
      text: the text tower.
      embedding_features: of the common space.
      vocabulary_size: how many tokens there are; the one with the highest number ends a text.
      context_length: tokens that a text has room for, its start and end included.
      activation: of the hidden layers. No file says which it was, and the wrong one gives embeddings that look right
        and are not: OpenAI's networks have "quick_gelu", those that OpenCLIP trained (LAION, DataComp) "gelu" unless
        their name ends in "-quickgelu". For the latter: `dataclasses.replace(VIT_B_32, activation="gelu")`.

    Raises:
      ValueError: sizes or an activation outside these.
    """

    image_size: int
    patch_size: int
    vision: Tower
    text: Tower
    embedding_features: int
    vocabulary_size: int = 49408
    context_length: int = 77
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"

    def __post_init__(self):
        """Refuses what cannot be built."""
        if self.patch_size < 1 or self.image_size < 1 or self.image_size % self.patch_size:
            raise ValueError(
                f"patch_size must divide image_size = {self.image_size}, got patch_size = {self.patch_size}."
            )
        if self.activation not in ("quick_gelu", "gelu"):
            raise ValueError(f"activation must be 'quick_gelu' or 'gelu', got {self.activation!r}.")

    @property
    def grid_size(self) -> int:
        """Patches along each side of an image."""
        return self.image_size // self.patch_size


# Sizes of Radford et al. (2021), table 20; parameters 151,277,313, 149,620,737, 427,616,513 and 427,944,193.
VIT_B_32 = Architecture(224, 32, Tower(768, 12, 12), Tower(512, 12, 8), 512)
VIT_B_16 = dataclasses.replace(VIT_B_32, patch_size=16)
VIT_L_14 = Architecture(224, 14, Tower(1024, 24, 16), Tower(768, 12, 12), 768)
VIT_L_14_336 = dataclasses.replace(VIT_L_14, image_size=336)
# Sizes of OpenCLIP's ViT-H-14 and ViT-g-14, 986,109,441 and 1,366,678,273 parameters; ViT-bigG-14 is another network.
VIT_H_14 = Architecture(224, 14, Tower(1280, 32, 16), Tower(1024, 24, 16), 1024, activation="gelu")
VIT_SMALL_G_14 = dataclasses.replace(VIT_H_14, vision=Tower(1408, 40, 16, 6144))
# Of our own, for pictures of 64 pixels with short captions: 3,688,961 parameters.
MINI = Architecture(64, 8, Tower(192, 6, 3), Tower(128, 4, 2), 128, vocabulary_size=1024, context_length=32)
