"""What tests of captioned data sets share: little pictures with a colour in each corner, and what they say."""

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(path, width, height):
    """Writes a picture that is red, green (right), blue (below) and white, exactly (PNG inside, whatever the name)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, WHITE
    Image.fromarray(pixels).save(path, format="PNG")
    return pixels


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def letters(image):
    """Of each pixel the nearest of the four colours, rows of "rgbw": resizing mixes them along the borders."""
    distance = [np.abs(image.astype(int) - colour).sum(-1) for colour in (RED, GREEN, BLUE, WHITE)]
    return ["".join("rgbw"[number] for number in row) for row in np.argmin(distance, axis=0)]
