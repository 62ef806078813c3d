"""What a text about a scene asks for: objects, how often, with which attributes, and how they lie to one another.

Reads the texts of `scenes.texts` and others of their kind that people write, not English at large: nouns of one colour
and one shape ("a small red circle", "two striped blue stars", "the circle"), between them a relation or a list.
"""

import re
from typing import Any, NamedTuple

from gentoolkit.data.scenes.law import COLOURS, RELATIONS, SHAPES, SIZES, TEXTURES


class Asked(NamedTuple):
    """What a picture must show to be of a text.

    Attributes:
      objects: the places in `SHAPES`, `COLOURS`, ... of what is said of each object, by "shape", "colour", "size" and
        "texture"; what is not said is absent, and an object that is named twice stands here once.
      relations: `(object, relation, object)`: places in `objects`, in `RELATIONS` and in `objects`.
    """

    objects: tuple[dict[str, int], ...]
    relations: tuple[tuple[int, int, int], ...]


_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4}
_WORDS: dict[str, tuple[str, int]] = {}
for _name, _known in (("colour", COLOURS), ("size", SIZES), ("texture", TEXTURES), ("shape", SHAPES)):
    _WORDS |= {word: (_name, place) for place, word in enumerate(_known)}
_WORDS |= {f"{word}s": ("shape", place) for place, word in enumerate(SHAPES)} | {"crosses": _WORDS["cross"]}
_BEHIND = {"with stripes": "striped", "with dots": "dotted"}
_SAID = {"left of": 0, "right of": 1, "above": 2, "over": 2, "below": 3, "under": 3, "beneath": 3}
_SAID |= {said: place for place, said in enumerate(RELATIONS)}
_RELATION = re.compile(r"\b(" + "|".join(sorted(_SAID, key=len, reverse=True)) + r")\b")


def read(text: str) -> Asked:
    """Reads a text.

    Args:
      text: in any letters; words that say nothing of objects are passed over.

    Returns:
      What it asks for.

    Raises:
      ValueError: no shape is named.
    """
    found: list[tuple[list[int], int, int]] = []  # objects, first and last word
    objects: list[dict[str, int]] = []
    # Full stops stay, so that nothing is related across them.
    words = re.findall(r"[^\W_]+|[.,;]", text.casefold())
    begin, said, count = 0, dict[str, int](), 0
    for place, word in enumerate(words):
        if word in _COUNTS or word == "the" or word in (".", ",", ";", "and"):
            said, count, begin = {}, _COUNTS.get(word, 0), place
        elif word in _WORDS:
            name, value = _WORDS[word]
            said[name] = value
            if name == "shape":
                end = place
                behind = _BEHIND.get(" ".join(words[place + 1 : place + 3]))
                if behind:
                    said["texture"], end = TEXTURES.index(behind), place + 2
                again = _named_before(objects, found, said) if words[begin] == "the" else None
                members = again or list(range(len(objects), len(objects) + max(count, 1)))
                if not again:
                    objects += [dict(said) for _ in members]
                found.append((members, begin, end))
                said, count, begin = {}, 0, place + 1
    if not objects:
        raise ValueError(f"No shape is named in {text[:80]!r}; there are {', '.join(SHAPES)}.")
    relations = []
    for (one, _, end), (other, start, _) in zip(found[:-1], found[1:], strict=True):
        between = " ".join(words[end + 1 : start + 1])
        match = None if re.search(r"[.;]", between) else _RELATION.search(between)
        if match:
            relations += [(i, _SAID[match[1]], j) for i in one for j in other if i != j]
    return Asked(tuple(objects), tuple(relations))


def _named_before(objects: list[dict[str, int]], found: list[Any], said: dict[str, int]) -> list[int] | None:
    """The group of objects that "the ..." means: the first that has all that is said."""
    for members, _, _ in found:
        if all(objects[members[0]].get(name) == value for name, value in said.items()):
            return members
    return None
