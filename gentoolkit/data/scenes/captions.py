"""Texts of a scene: five that all say the truth, in other words."""

import itertools

from gentoolkit.data import text
from gentoolkit.data.scenes import law
from gentoolkit.data.scenes.law import COLOURS, RELATIONS, SHAPES, SIZES, TEXTURES, Scenes

NUM_TEXTS, MAX_WORDS = 5, 36
_COUNTS = ("one", "two", "three", "four")
_PLURALS = {"cross": "crosses"}
_OPENINGS = ("", "a picture of ", "we see ", "this shows ", "an image with ")
_CONNECTIVES = {
    0: ("to the left of", "left of"),
    1: ("to the right of", "right of"),
    2: ("above", "over"),
    3: ("below", "under"),
}


def write(scenes: Scenes, row: int) -> tuple[str, ...]:
    """Writes the texts of a scene.

    The first names all objects and, where it holds clearly, how the first two lie; the second says the same from the
    other object; the third takes it apart in two sentences; the fourth lists objects alone; the fifth leaves out all
    adjectives but colours. Sizes other than medium and textures other than plain are said.

    Args:
      scenes: a batch.
      row: which scene of it.

    Returns:
      `NUM_TEXTS` texts in small letters, at most `MAX_WORDS` words each.
    """
    choice = int(scenes.wording[row])
    groups = _groups(scenes, row)
    full = [_noun(scenes, row, members, choice, adjectives=True) for members in groups]
    plain = [_noun(scenes, row, members, choice, adjectives=False) for members in groups]
    relation = _relation(scenes, row, groups)
    return phrased(full, plain, relation, choice, several=len(groups[0]) > 1)


def phrased(full: list[str], plain: list[str], relation: int | None, choice: int, *, several: bool) -> tuple[str, ...]:
    """The five texts of `write`, of nouns.

    Args:
      full: the nouns, with all that is said of them.
      plain: the same without sizes and textures.
      relation: how the first lies to the second, a place in `RELATIONS`, or None.
      choice: non-negative, decides on words.
      several: whether the first noun is of several objects.

    Returns:
      The texts.
    """
    first, second = (_CONNECTIVES[r][choice >> 3 & 1] if r is not None else None for r in _both(relation))
    rest = full[2:]
    opening = _OPENINGS[choice % len(_OPENINGS)]
    exist, lie = ("there are", "are") if several else ("there is", "is")
    if len(full) == 1:
        name, bare = full[0], plain[0]
        return (
            name,
            f"a picture of {name}",
            f"{exist} {name}",
            f"{name} on a background",
            f"{'an image with' if choice & 1 else 'we see'} {bare}",
        )
    if first is None:
        listed = _listed(full)
        return (
            listed,
            _listed(full[::-1]),
            f"{exist} {full[0]} . there is also {_listed(full[1:])}",
            f"a picture of {listed}",
            _listed(plain),
        )
    # A sentence of their own: "left of a and b" would say that it lies left of both.
    also = f" . there is also {_listed(rest)}" if rest else ""
    return (
        f"{full[0]} {first} {full[1]}{also}",
        f"{opening}{full[1]} {second} {full[0]}{also}",
        f"{exist} {_listed(full)} . {_definite(plain[0])} {lie} {first} {_definite(plain[1])}",
        f"{_listed(full)}",
        f"{plain[0]} {first} {plain[1]}" + (f" . there is also {_listed(plain[2:])}" if rest else ""),
    )


def _groups(scenes: Scenes, row: int) -> list[list[int]]:
    """Objects that are alike are named together."""
    names: dict[tuple[int, ...], list[int]] = {}
    for place in range(scenes.num[row]):
        attributes = (scenes.shape, scenes.colour, scenes.size, scenes.texture)
        names.setdefault(tuple(int(of[row, place]) for of in attributes), []).append(place)
    return list(names.values())


def _relation(scenes: Scenes, row: int, groups: list[list[int]]) -> int | None:
    """How the first group lies to the second: only where it holds clearly for each of its objects."""
    if len(groups) < 2:
        return None
    holds = {(one, other): relation for one, relation, other in law.relations(scenes, row)}
    holds |= {(other, one): law.opposite(relation) for (one, other), relation in list(holds.items())}
    found = {holds.get(pair) for pair in itertools.product(groups[0], groups[1])}
    return found.pop() if len(found) == 1 else None


def _both(relation: int | None) -> tuple[int | None, int | None]:
    return relation, None if relation is None else law.opposite(relation)


def _noun(scenes: Scenes, row: int, members: list[int], choice: int, *, adjectives: bool) -> str:
    """What objects that are alike are called: "a small striped red circle", "two red circles"."""
    place = members[0]
    shape, colour = SHAPES[scenes.shape[row, place]], COLOURS[scenes.colour[row, place]]
    size, texture = SIZES[scenes.size[row, place]], TEXTURES[scenes.texture[row, place]]
    return noun(
        len(members), shape, colour,
        size="" if size == "medium" or not adjectives else size,
        texture="" if texture == "plain" or not adjectives else texture,
        behind=bool(choice >> 4 & 1),
    )  # fmt: skip


def noun(num: int, shape: str, colour: str, *, size: str = "", texture: str = "", behind: bool = False) -> str:
    """What objects that are alike are called.

    Args:
      num: of the objects, 1 to 4.
      shape: of `SHAPES`.
      colour: of `COLOURS`, or "", as for what follows.
      size: of `SIZES`.
      texture: of `TEXTURES`.
      behind: whether "with stripes" stands behind the noun, not "striped" before it.

    Returns:
      "a small striped red circle", "two red circles".
    """
    tail = {"striped": " with stripes", "dotted": " with dots"}.get(texture, "") if behind else ""
    said = [word for word in (size, "" if tail else texture, colour) if word]
    if num > 1:
        return " ".join([_COUNTS[num - 1], *said, _PLURALS.get(shape, f"{shape}s")]) + tail
    article = "an" if [*said, shape][0][0] in "aeiou" else "a"
    return " ".join([article, *said, shape]) + tail


def _definite(noun: str) -> str:
    return "the " + noun.split(" ", 1)[1]


def _listed(nouns: list[str]) -> str:
    return nouns[0] if len(nouns) == 1 else ", ".join(nouns[:-1]) + " and " + nouns[-1]


def _words() -> text.Vocabulary:
    """Every word that a text can have, so that numbers of words do not depend on what was drawn."""
    known = [*SHAPES, *(_PLURALS.get(shape, f"{shape}s") for shape in SHAPES), *COLOURS, *SIZES, *TEXTURES, *_COUNTS]
    known += [
        word for said in (*RELATIONS, *itertools.chain(*_CONNECTIVES.values()), *_OPENINGS) for word in said.split()
    ]
    known += "a an the and also is are there on background with stripes dots we see this shows image picture of".split()
    return text.Vocabulary(tuple(dict.fromkeys(known)))


VOCABULARY = _words()
