"""What a text about a scene asks for: objects, how often, with which attributes, and how they lie to one another.

Reads the texts of `scenes.texts` and others of their kind that people write, not English at large: nouns of one colour
and one shape ("a small red circle", "two striped blue stars", "the circle"), and what says where they lie: between
them ("... above ..."), before them ("above a blue square there is ..."), behind them ("..., a blue square below"), or
with "it" for one of them. What is not understood is handed back in the words of the text.
"""

import re
import unicodedata
from typing import NamedTuple

from gentoolkit.data.scenes.law import COLOURS, RELATIONS, SHAPES, SIZES, TEXTURES, opposite


class Asked(NamedTuple):
    """What a picture must show to be of a text.

    Attributes:
      objects: the places in `SHAPES`, `COLOURS`, ... of what is said of each object, by "shape", "colour", "size" and
        "texture"; what is not said is absent, and an object that is named twice stands here once.
      relations: `(object, relation, object)`: places in `objects`, in `RELATIONS` and in `objects`.
      unread: words that say where something lies, or that it is not so, from which no relation was read.
      others: further words that say something that was not read.
    """

    objects: tuple[dict[str, int], ...]
    relations: tuple[tuple[int, int, int], ...]
    unread: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4}
_WORDS: dict[str, tuple[str, int]] = {}
for _name, _known in (("colour", COLOURS), ("size", SIZES), ("texture", TEXTURES), ("shape", SHAPES)):
    _WORDS |= {word: (_name, place) for place, word in enumerate(_known)}
_WORDS |= {f"{word}s": ("shape", place) for place, word in enumerate(SHAPES)} | {"crosses": _WORDS["cross"]}
_NAMES = {value: word for word, value in reversed(_WORDS.items())}  # the singular of shapes
_BEHIND = {"with stripes": "striped", "with dots": "dotted"}
# Words of relations, and whether what they are relative to may be left out, and whether it may follow.
_ALONE, _TAKES = 1, 2
_SAID: dict[str, tuple[int, int]] = {said: (place, _TAKES) for place, said in enumerate(RELATIONS)}
for _words, _place in (("above over", 2), ("below under beneath underneath", 3)):
    _SAID |= {_word: (_place, _ALONE | _TAKES) for _word in _words.split()}
_SAID |= {"on top of": (2, _TAKES), "atop": (2, _TAKES), "on top": (2, _ALONE), "at the top": (2, _ALONE)}
_SAID |= {"at the bottom": (3, _ALONE), "on the bottom": (3, _ALONE), "on the top": (2, _ALONE)}
for _place, _word in enumerate(("left", "right")):
    for _at in ("to the ", "on the ", "at the ", "to its ", "on its ", ""):
        for _side in ("", " side"):
            _SAID |= {f"{_at}{_word}{_side} of": (_place, _TAKES), f"{_at}{_word}{_side}": (_place, _ALONE)}
_LONGEST = max(len(said.split()) for said in _SAID)
BESIDE = frozenset("next beside besides near nearby close alongside adjacent".split())  # side by side, nobody says how
_PLACES = BESIDE | set(
    """on in between among inside outside within behind front around beyond along touching overlapping opposite across
    against top bottom upper lower corner corners middle centre center edge left right higher lower diagonally
    surrounded not no never without neither nor isn aren""".split()
)
_STOPS, _COMMAS = (".", ";", "!", "?"), (",", ":", "and", "while", "but", "with", "plus")
_VERBS = """is are lies lie lying sits sit sitting stands stand standing was were be being placed put located positioned
    found drawn shown appears appear hovers hovering floats floating rests resting there we see has have""".split()
_AGAIN = ("it", "them", "which", "that")
_SILENT = {*_STOPS, *_COMMAS, *_VERBS, *_AGAIN} | set(
    """a an the this these shows show shown draw paint place put make render display give create generate i want me
    please image picture photo drawing of on in to background also its directly just right s coloured colored shape
    both""".split()
)
_GROUND = {"background", "picture", "image", "photo", "drawing"}  # what all is on or in


class _Item(NamedTuple):
    """A part of a text: "noun", "relation", "again" (it), "stop", "comma", "verb", "the" (filler), or "other"."""

    kind: str
    begin: int
    members: tuple[int, ...] = ()
    said: str = ""


def read(text: str) -> Asked:
    """Reads a text.

    Args:
      text: in any letters; words that say nothing of objects are passed over.

    Returns:
      What it asks for.

    Raises:
      ValueError: no shape is named.
    """
    # Full stops stay, so that nothing is related across them.
    words = re.findall(r"[^\W_]+|[.,;:!?]", unicodedata.normalize("NFKC", text).casefold())
    objects, items, loose = _parts(words)
    if not objects:
        raise ValueError(f"No shape is named in {text[:80]!r}; there are {', '.join(SHAPES)}.")
    relations, used = _related(items)
    unread = [item.said for place, item in enumerate(items) if item.kind == "relation" and place not in used]
    others = [item.said for item in items if item.kind == "other"] + loose
    return Asked(
        tuple(objects),
        relations,
        tuple(dict.fromkeys([*unread, *(word for word in others if word in _PLACES)])),
        tuple(dict.fromkeys(word for word in others if word not in _PLACES)),
    )


def _parts(words: list[str]) -> tuple[list[dict[str, int]], list[_Item], list[str]]:
    """Takes a text apart.

    Returns:
      Its objects; its parts in order; words that say something of no object ("a red and blue circle"), or of nobody
      knows how many ("circles").
    """
    objects: list[dict[str, int]] = []
    items: list[_Item] = []
    loose: list[str] = []
    said, count, definite = dict[str, int](), 0, False
    place = 0
    while place < len(words):
        word, relation = words[place], _relation_at(words, place)
        length = 1
        if relation or word in ("the", *_COUNTS, *_STOPS, *_COMMAS):
            loose += _behind(said, objects, items)
        if relation:
            said, count, definite = {}, 0, False
            length = len(relation.split())
            items.append(_Item("relation", place, said=relation))
        elif word == "the" or word in _COUNTS:
            definite = word == "the" or (definite and words[place - 1] == "the")
            said, count = {}, _COUNTS.get(word, 0)
            items.append(_Item("the", place, said=word))
        elif word in _WORDS:
            name, value = _WORDS[word]
            if name in said:
                loose.append(_NAMES[name, said[name]])
            said[name] = value
            if name == "shape":
                behind = _BEHIND.get(" ".join(words[place + 1 : place + 3]))
                if behind:
                    said["texture"], length = TEXTURES.index(behind), 3
                again = _named_before(objects, items, said) if definite else None
                members = again or tuple(range(len(objects), len(objects) + max(count, 1)))
                if not again:
                    loose += [word] if word != SHAPES[value] and not count else []  # "circles": nobody says how many
                    objects += [dict(said) for _ in members]
                items.append(_Item("noun", place, members))
                said, count, definite = {}, 0, False
        elif word in _STOPS or word in _COMMAS:
            said, count, definite = {}, 0, False
            items.append(_Item("stop" if word in _STOPS else "comma", place, said=word))
        elif word in _AGAIN:
            behind_relation = bool(items) and items[-1].kind == "relation"  # "below which there is ..."
            items.append(_Item("again" if word in ("it", "them") or behind_relation else "verb", place, said=word))
        elif word in _VERBS:
            items.append(_Item("verb", place, said=word))
        else:
            silent = word in _SILENT and not (word in ("on", "in") and not _GROUND & {*words[place + 1 : place + 4]})
            items.append(_Item("the" if silent else "other", place, said=word))
        place += length
    return objects, items, loose + _behind(said, objects, items)


def _behind(said: dict[str, int], objects: list[dict[str, int]], items: list[_Item]) -> list[str]:
    """Gives what no noun follows to the one before: "the circle is red". Returns the words that say nothing of any."""
    noun = _skip_back([item.kind for item in items], len(items) - 1, ("the", "verb"))
    members = items[noun].members if noun >= 0 and items[-1].kind == "verb" else ()
    lost = []
    for name, value in said.items():
        if not members or any(name in objects[i] for i in members):
            lost.append(_NAMES[name, value])
        else:
            for i in members:
                objects[i][name] = value
    return lost


def _relation_at(words: list[str], place: int) -> str:
    if words[place] == "right" and not {*words[place + 1 : place + 2]}.isdisjoint(_SAID.keys() | BESIDE):
        return ""  # "right above", "right next to"
    for length in range(_LONGEST, 0, -1):
        said = " ".join(words[place : place + length])
        if said in _SAID:
            return said
    return ""


def _named_before(objects: list[dict[str, int]], items: list[_Item], said: dict[str, int]) -> tuple[int, ...] | None:
    """The group of objects that "the ..." means: the first that has all that is said."""
    for item in items:
        if item.kind == "noun" and all(objects[item.members[0]].get(name) == value for name, value in said.items()):
            return item.members
    return None


def _related(items: list[_Item]) -> tuple[tuple[tuple[int, int, int], ...], set[int]]:
    """Reads where objects lie.

    Returns:
      The relations, and the places of the parts that say them.
    """
    found: list[tuple[int, int, int]] = []
    used, skipped = set[int](), set[int]()
    kinds = [item.kind for item in items]
    topic: _Item | None = None  # what "it" was, or what "below" alone was relative to
    subject: tuple[int, _Item] | None = None  # of the last relation, and the end of its sentence
    fronted: set[int] = set()  # ends of sentences in which "on the left" stands before what lies there

    for place, item in enumerate(items):
        if item.kind != "relation":
            continue
        end = next((i for i in range(place, len(items)) if kinds[i] == "stop"), len(items))
        value, form = _SAID[item.said]
        denied = any(items[i].said in ("not", "never", "no", "isn", "aren") for i in range(max(place - 3, 0), place))
        if denied or place in skipped:
            continue
        # "above and to the left of a square": the first is read, of the same square.
        after = place + 1
        while after < end and (
            kinds[after] == "relation"
            or (kinds[after] == "comma" and after + 1 < end and kinds[after + 1] == "relation")
        ):
            after += 1
        skipped |= {i for i in range(place + 1, after) if kinds[i] == "relation"}
        if after > place + 1:
            form |= _SAID[items[after - 1].said][1]
        after = _skip(kinds, after, end, ("the",))
        target = items[after] if after < end and kinds[after] in ("noun", "again") and form & _TAKES else None
        before = _skip_back(kinds, place - 1, ("the", "verb"))
        near = items[before] if before >= 0 and kinds[before] == "noun" else None
        if target is None and after < end and kinds[after] == "other":
            continue  # "above the table"
        earlier = [other for other in items[:place] if other.kind == "noun"]
        if before >= 0 and kinds[before] == "again" and "verb" in kinds[before:place]:  # "it is above a square"
            meant = [o for o in earlier if target is None or o.members != target.members]
            near = meant[-1] if meant else None
        if target is not None and target.kind == "noun" and end in fronted and near is None:
            target = None  # "above there is a circle, below a square"
        if target is not None:
            following = _next_noun(kinds, after + 1, end)
            if target.kind == "again":
                ahead_of_it = items[following] if following >= 0 else None
                if target.said in ("which", "that"):
                    target, who = (earlier[-1] if earlier else None), ahead_of_it
                else:
                    around = [other for other in earlier if other is not near]
                    target, who = topic or (around[-1] if around else None), near or ahead_of_it
                topic = target
            elif near is not None:
                who = near
            elif following >= 0 and (
                not earlier or _fronts(kinds, after + 1, following) or kinds[max(before, 0)] == "stop"
            ):
                who = items[following]
            elif subject is not None and subject[0] == end:
                who = subject[1]
            else:
                within = [other for other in earlier if not _stopped(items, other, place)]
                who = within[-1] if within else None
        elif form & _ALONE:
            following = _next_noun(kinds, place + 1, end)
            ahead = following >= 0 and all(k in ("the", "verb", "comma") for k in kinds[place + 1 : following])
            opens = near is None or (end in fronted and near is (subject[1] if subject else None))
            if ahead and opens:
                who = items[following]
                fronted.add(end)
            else:
                within = [other for other in earlier if not _stopped(items, other, place)]
                who = near or (within[-1] if within else None)
            around = [other for other in earlier if who is None or other.members != who.members]
            target = topic if topic and who and topic.members != who.members else (around[-1] if around else None)
            if target is None and who is not None:  # "on the left a circle, on the right a square"
                rest = [o for o in items[place:] if o.kind == "noun" and o.members != who.members]
                target = rest[0] if rest else None
            elif earlier:
                topic = target
        else:
            continue
        if who is None or target is None or who.members == target.members:
            continue
        used.add(place)
        subject = (end, who)
        for i in who.members:
            for j in target.members:
                if i != j and not {(i, value, j), (j, opposite(value), i)} & set(found):
                    found.append((i, value, j))
    return tuple(found), used


def _skip(kinds: list[str], place: int, end: int, passed: tuple[str, ...]) -> int:
    while place < end and kinds[place] in passed:
        place += 1
    return place


def _skip_back(kinds: list[str], place: int, passed: tuple[str, ...]) -> int:
    while place >= 0 and kinds[place] in passed:
        place -= 1
    return place


def _next_noun(kinds: list[str], begin: int, end: int) -> int:
    return next((i for i in range(begin, end) if kinds[i] == "noun"), -1)


def _fronts(kinds: list[str], begin: int, noun: int) -> bool:
    """Whether "is" or "there is" stands before a noun, and no further relation."""
    between = kinds[begin:noun]
    return "verb" in between and "relation" not in between


def _stopped(items: list[_Item], noun: _Item, place: int) -> bool:
    """Whether a sentence ends between a noun and a place."""
    return any(item.kind == "stop" and item.begin > noun.begin for item in items[:place])
