"""Texts of users in the words of `scenes.texts`, which are the only ones that what is trained on scenes has read."""

from gentoolkit.data import text as text_lib
from gentoolkit.data.scenes import captions, law
from gentoolkit.data.scenes.law import COLOURS, RELATIONS, SHAPES, SIZES, TEXTURES
from gentoolkit.data.scenes.reading import BESIDE, Asked, read


def reworded(text: str) -> str:
    """Says a text in words of `scenes.texts`: "above a blue square there is a red circle" as "a red circle above ...".

    Args:
      text: of a user.

    Returns:
      A text that is read (`read`) as asking for the same; "" where the text has such words already, or where not all of
      it is understood ("next to" and the like may be: they say nothing of sides), or no text of scenes says the same.

    Raises:
      ValueError: no shape is named.
    """
    asked = read(text)
    if asked.others or not BESIDE.issuperset(asked.unread):
        return ""
    groups = _groups(asked)
    if groups is None:
        return ""
    ordered, relation = groups
    known = [text_lib.words(said) for said in _all(asked, ordered, relation)]
    if text_lib.words(text) in known:
        return ""
    said = captions.phrased(*_nouns(asked, ordered, 0), relation, 0, several=len(ordered[0]) > 1)[0]
    return said if _meaning(read(said)) == _meaning(asked) else ""


def _groups(asked: Asked) -> tuple[list[list[int]], int | None] | None:
    """Objects that are alike, those first that a relation is said of, and the relation; None for what no text says."""
    alike: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for place, said in enumerate(asked.objects):
        alike.setdefault(tuple(sorted(said.items())), []).append(place)
    groups = list(alike.values())
    if len(asked.objects) > law.MOST:
        return None
    if not asked.relations:
        return groups, None
    group_of = {place: number for number, group in enumerate(groups) for place in group}
    related = {(group_of[i], relation, group_of[j]) for i, relation, j in asked.relations}
    if len(related) != 1:
        return None
    ((one, relation, other),) = related  # of each in a group to each in another, or it is none of these texts
    if len(asked.relations) != len(groups[one]) * len(groups[other]):
        return None
    return [groups[one], groups[other], *(g for i, g in enumerate(groups) if i not in (one, other))], relation


def _nouns(asked: Asked, groups: list[list[int]], choice: int) -> tuple[list[str], list[str]]:
    full, plain = [], []
    for group in groups:
        one = asked.objects[group[0]]
        shape, colour = SHAPES[one["shape"]], COLOURS[one["colour"]] if "colour" in one else ""
        size, texture = (
            known[one[name]] if name in one else "" for name, known in (("size", SIZES), ("texture", TEXTURES))
        )
        behind = bool(choice >> 4 & 1)
        full.append(captions.noun(len(group), shape, colour, size=size, texture=texture, behind=behind))
        plain.append(captions.noun(len(group), shape, colour))
    return full, plain


def _all(asked: Asked, groups: list[list[int]], relation: int | None) -> set[str]:
    """Every text that scenes have for this, from either side."""
    found: set[str] = set()
    for order, said in (
        (groups, relation),
        ([*groups[1::-1], *groups[2:]], None if relation is None else law.opposite(relation)),
    ):
        for choice in range(32 * 5):
            found |= {*captions.phrased(*_nouns(asked, order, choice), said, choice, several=len(order[0]) > 1)}
    return found


def _meaning(asked: Asked) -> tuple[list, list]:
    """What is asked for, whatever the order of words."""
    objects = [tuple(sorted(one.items())) for one in asked.objects]
    return sorted(objects), sorted((objects[i], RELATIONS[r], objects[j]) for i, r, j in asked.relations)
