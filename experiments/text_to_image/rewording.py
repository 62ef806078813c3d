"""Texts of users about scenes in words that painters have learned, where both mean the same."""

from collections.abc import Sequence

from experiments.text_to_image.painters import Painter
from gentoolkit.data import scenes


def reworded(painter: Painter, said: Sequence[str], *, literal: bool) -> tuple[list[str], list[str]]:
    """Says texts in words that the painter has learned, where they mean the same.

    Args:
      painter: of scenes; texts of others stay.
      said: of a user.
      literal: leaves all as they are.

    Returns:
      The texts to paint from, and lines on what was made of those of the user.
    """
    worded, told = list(said), []
    if painter.config.dataset != "scenes":
        return worded, told
    for place, text in enumerate(said):
        try:
            asked = scenes.read(text)
        except ValueError:
            continue
        if asked.unread:
            told.append(
                f"{text!r}: says where something lies in a way that is not understood, by {', '.join(asked.unread)}"
            )
        nowhere = [word for word in asked.others if not painter.vocabulary.unknown(word)]
        if nowhere:
            told.append(f"{text!r}: not read as part of a scene, so no judge looks for it: {', '.join(nowhere)}")
        again = "" if literal else scenes.reworded(text)
        if again:
            worded[place] = again
            told.append(f'{text!r}: read as "{again}" (--literal paints the words as they are)')
        if painter.name == "vae_scenes32" and any(
            scenes.TEXTURES[one.get("texture", 0)] != "plain" for one in asked.objects
        ):
            told.append(f"{text!r}: {painter.name} does not paint stripes and dots, and they spoil the colour.")
    return worded, told
