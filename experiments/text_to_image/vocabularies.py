"""The words of a run or of prepared data, as a file beside them."""

import hashlib
import json
import pathlib

from gentoolkit import report
from gentoolkit.data.text import Vocabulary


def save(path: pathlib.Path, vocabulary: Vocabulary, max_words: int) -> None:
    """Writes words, and how many of them a text may have."""
    report.write_text(path, written(vocabulary, max_words))


def written(vocabulary: Vocabulary, max_words: int) -> str:
    """What `save` writes."""
    return json.dumps({"max_words": max_words, "words": vocabulary.words}, ensure_ascii=False, indent=0)


def parse(text: str) -> tuple[Vocabulary, int]:
    """What `save` wrote: the words, and how many of them a text may have."""
    stored = json.loads(text)
    return Vocabulary(tuple(str(word) for word in stored["words"])), int(stored["max_words"])


def name(vocabulary: Vocabulary) -> str:
    """A short word that changes with any word or number of a vocabulary."""
    return "v" + hashlib.sha256("\n".join(vocabulary.words).encode()).hexdigest()[:12]
