"""Texts as the tokens of CLIP: byte pairs of a vocabulary file or of one's own texts, cleaned as OpenAI cleans them.

tokenizer = clip_tokens.read("bpe_simple_vocab_16e6.txt.gz")
tokens = tokenizer.encode(["a photo of a cat"])      # [1, 77] int32: start, text, end, zeros

own = clip_tokens.train(captions, num_tokens=4096)
clip_tokens.write("captions.txt.gz", own)            # for `read`, and for whatever reads OpenAI's file
"""

import dataclasses
import gzip
import html
import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

START, END = "<|startoftext|>", "<|endoftext|>"
_END_OF_WORD = "</w>"
# OpenAI's file goes on for five times as long; these merges fill its vocabulary of 49,408.
_MOST_MERGES = 49152 - 256 - 2
_LARGEST_FILE = 1 << 26  # bytes; the published ones have 3 million
# Clitics, runs of letters, single digits and runs of other signs; a start or end that is written out is one. The sign
# U+0345 (a Greek iota below a letter) is lost: the library that OpenAI's tokenizer splits with takes it for no letter,
# and for no other sign either. What counts as a letter in the newest scripts is for each library's tables to say.
_PIECES = r"<\|startoftext\|>|<\|endoftext\|>|(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+"


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """Byte pairs and their numbers; `read` makes one of a file.

    Attributes:
      vocabulary: from token to number; the end of a text must have the highest, by which CLIP finds it.
      merges: pairs of tokens that become one, the most frequent first.

    Raises:
      ImportError: `tokenizers` or `ftfy` is not installed.
      ValueError: start or end are missing or are not the last two, or a pair that makes no token.
    """

    vocabulary: Mapping[str, int]
    merges: Sequence[tuple[str, str]]
    _split: Any = dataclasses.field(init=False, repr=False, compare=False)
    _pairs: Any = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        """Builds splitter and merger."""
        tokenizers = _library("tokenizers")
        _library("ftfy")
        last = len(self.vocabulary) - 1
        if self.vocabulary.get(START) != last - 1 or self.vocabulary.get(END) != last:
            raise ValueError(
                f"vocabulary must end in {START} and {END}, numbers {last - 1} and {last}, got "
                f"{self.vocabulary.get(START)} and {self.vocabulary.get(END)}."
            )
        lost = next((token for token in _byte_tokens() if token not in self.vocabulary), None)
        if lost is not None:
            raise ValueError(
                f"vocabulary must have a token for each byte, alone and at the end of a word; no {lost!r}."
            )
        try:
            pairs = tokenizers.models.BPE(
                dict(self.vocabulary), list(self.merges), end_of_word_suffix=_END_OF_WORD, continuing_subword_prefix=""
            )
        except Exception as error:  # the library has no kinds of errors
            raise ValueError(f"merges must be pairs of tokens that make a token ({error}).") from None
        object.__setattr__(self, "_split", _splitter(tokenizers))
        object.__setattr__(self, "_pairs", pairs)

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self.vocabulary)

    def tokens(self, text: str) -> list[int]:
        """The numbers of a text of any length, without start and end."""
        found: list[int] = []
        for piece, _ in self._split.pre_tokenize_str(clean(text)):
            if piece in (START, END):
                found.append(self.vocabulary[piece])
            else:
                found.extend(token.id for token in self._pairs.tokenize(piece))
        return found

    def encode(
        self, texts: Sequence[str], *, context_length: int = 77, too_long: Literal["refuse", "cut"] = "refuse"
    ) -> np.ndarray:
        """Turns texts into rows of tokens.

        Args:
          texts: `n` texts. One that contains "<|endoftext|>" ends there for CLIP, as with OpenAI's tokenizer.
          context_length: tokens that a row has room for, start and end included.
          too_long: what becomes of a text with more tokens: an error, or its first ones and the end.

        Returns:
          `[n, context_length]` int32: start, text, end, and zeros.

        Raises:
          ValueError: a text with too many tokens, one text instead of several, or an option outside these.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts must be a list of texts, got one text; write [{texts[:20]!r}].")
        if context_length < 3 or too_long not in ("refuse", "cut"):
            raise ValueError(
                f"context_length must be >= 3 and too_long 'refuse' or 'cut', got {context_length} and {too_long!r}."
            )
        start, end = self.vocabulary[START], self.vocabulary[END]
        rows = np.zeros((len(texts), context_length), np.int32)
        for row, text in enumerate(texts):
            tokens = [start, *self.tokens(text), end]
            if len(tokens) > context_length:
                if too_long == "refuse":
                    raise ValueError(
                        f"Text {row} has {len(tokens)} tokens, start and end included, more than context_length = "
                        f"{context_length}: {text[:60]!r}. Shorten it, or give too_long='cut'."
                    )
                tokens = [*tokens[: context_length - 1], end]
            rows[row, : len(tokens)] = tokens
        return rows

    def decode(self, tokens: np.ndarray) -> list[str]:
        """Turns rows of tokens back into texts, cleaned as they are, up to the first end of each.

        Args:
          tokens: `[n, k]`, as `encode` makes them.

        Returns:
          `n` texts, with a blank between pieces.
        """
        names = {number: token for token, number in self.vocabulary.items()}
        of_byte = {sign: byte for byte, sign in enumerate(_signs())}
        texts = []
        for row in np.asarray(tokens).tolist():
            row = row[: row.index(self.vocabulary[END])] if self.vocabulary[END] in row else row
            joined = "".join(names[number] for number in row if number != self.vocabulary[START])
            words = (bytes(of_byte[sign] for sign in word if sign in of_byte) for word in joined.split(_END_OF_WORD))
            texts.append(" ".join(word.decode("utf-8", errors="replace") for word in words).strip())
        return texts


def clean(text: str) -> str:
    """Repairs wrong encodings, resolves HTML entities twice, takes white space together, and makes letters small.

    Args:
      text: any text.

    Returns:
      The text as OpenAI's tokenizer sees it.
    """
    if not isinstance(text, str):
        raise TypeError(f"A text must be a str, got {type(text).__name__}.")
    text = html.unescape(html.unescape(_library("ftfy").fix_text(text)))
    return " ".join(text.split()).lower()


def read(path: str | os.PathLike[str]) -> Tokenizer:
    """Reads the vocabulary of a CLIP; what a file is follows from its content.

    Args:
      path: OpenAI's `bpe_simple_vocab_16e6.txt.gz` (or unpacked), Hugging Face's `tokenizer.json`, or `vocab.json` or
        `merges.txt`, which lie side by side; or a folder with one of these.

    Returns:
      The tokenizer.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is something else, or the vocabulary of another kind of network.
      ImportError: `tokenizers` or `ftfy` is not installed.
    """
    where = pathlib.Path(path)
    if where.is_dir():
        where = vocabulary_in(where)
    text = _text(where)
    try:
        if text.lstrip()[:1] == "{":
            return Tokenizer(*_from_json(where, json.loads(text)))
        merges = _merges(text)
        return Tokenizer(numbered(merges), merges)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{os.fspath(where)!r} does not hold the vocabulary of a CLIP: {error}") from None


def train(texts: Iterable[str], *, num_tokens: int, min_count: int = 2) -> Tokenizer:
    """Learns byte pairs of texts: those that are most frequent become one token, again and again.

    Args:
      texts: such as all captions of a data set.
      num_tokens: the most tokens to have; 514 are there always: bytes inside and at the end of words, start, end.
      min_count: rarer pairs are left apart.

    Returns:
      The tokenizer; the same of the same texts, in whatever order they are.

    Raises:
      ImportError: `tokenizers` or `ftfy` is not installed.
      ValueError: no text with a word, or numbers that are too small.
      TypeError: something that is no text.
    """
    if isinstance(texts, str):
        raise ValueError(f"texts must be several texts, got one; write [{texts[:20]!r}].")
    singles = _byte_tokens()
    if num_tokens < len(singles) + 2 or min_count < 1:
        raise ValueError(
            f"num_tokens must be at least {len(singles) + 2} and min_count at least 1, got {num_tokens} and "
            f"{min_count}."
        )
    tokenizers = _library("tokenizers")
    learner = tokenizers.Tokenizer(tokenizers.models.BPE(end_of_word_suffix=_END_OF_WORD, continuing_subword_prefix=""))
    learner.pre_tokenizer = _splitter(tokenizers)
    # Given as special, single bytes have numbers that no order of words changes, and equal counts are told by numbers.
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=num_tokens - 2, min_frequency=min_count, end_of_word_suffix=_END_OF_WORD, special_tokens=singles,
        show_progress=False,
    )  # fmt: skip
    read = 0

    def cleaned() -> Iterator[str]:
        nonlocal read
        for text in texts:
            line = clean(text).replace(START, " ").replace(END, " ")
            read += bool(line.strip())
            yield line

    learner.train_from_iterator(cleaned(), trainer)
    if not read:
        raise ValueError("texts must have a word.")
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    return Tokenizer(numbered(merges), merges)


def write(path: str | os.PathLike[str], tokenizer: Tokenizer) -> None:
    """Writes byte pairs as OpenAI's file has them: a line that says so, then a pair a line.

    Args:
      path: of the file; packed where it ends in `.gz`.
      tokenizer: whose numbers are those of `numbered`, as of `read` and `train`.

    Raises:
      ValueError: its numbers are others, which the file could not say.
    """
    if dict(tokenizer.vocabulary) != numbered(tokenizer.merges):
        raise ValueError("tokenizer must number its tokens as OpenAI does (bytes, pairs in their order, start, end).")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in tokenizer.merges)]
    content = ("\n".join(lines) + "\n").encode()
    where = pathlib.Path(path)
    where.write_bytes(gzip.compress(content, mtime=0) if where.suffix == ".gz" else content)


def _splitter(tokenizers: Any) -> Any:
    """Splits a cleaned text into pieces, and each into the signs of its bytes."""
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(_PIECES), behavior="removed", invert=True)
    to_bytes = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return tokenizers.pre_tokenizers.Sequence([split, to_bytes])


def vocabulary_in(folder: str | os.PathLike[str]) -> pathlib.Path:
    """The file of a vocabulary in a folder, by its published names.

    Args:
      folder: where to look.

    Raises:
      FileNotFoundError: there is none.
    """
    names = ("tokenizer.json", "vocab.json", "bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt")
    found = [path for name in names if (path := pathlib.Path(folder) / name).is_file()]
    if not found:
        raise FileNotFoundError(
            f"There is no vocabulary in {os.fspath(folder)!r}; wanted is one of {', '.join(names)}."
        )
    return found[0]


def numbered(merges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Numbers tokens in OpenAI's order: bytes, bytes at the end of a word, what pairs make, start and end.

    Args:
      merges: pairs of tokens that become one, the most frequent first.

    Returns:
      Numbers by token.
    """
    tokens = [*_byte_tokens(), *(first + second for first, second in merges), START, END]
    return {token: number for number, token in enumerate(tokens)}


def _from_json(where: pathlib.Path, tree: dict) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = tree.get("model")
    if not isinstance(model, dict):  # vocab.json, where "model" is a token
        beside = where.with_name("merges.txt")
        if not beside.is_file():
            raise ValueError(f"its merges are not beside it, in {os.fspath(beside)!r}")
        return tree, _merges(_text(beside))
    if model.get("type", "BPE") != "BPE" or model.get("end_of_word_suffix") != _END_OF_WORD:
        raise ValueError(f"it is of another kind, with {model.get('type')!r} and {model.get('end_of_word_suffix')!r}")
    pairs = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in model["merges"]]
    added = {token["content"]: token["id"] for token in tree.get("added_tokens", ())}
    return {**model["vocab"], **added}, pairs


def _text(path: pathlib.Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"There is no vocabulary at {os.fspath(path)!r}.")
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ValueError(f"it has more than {_LARGEST_FILE} bytes")
        return content.decode("utf-8")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be read as a vocabulary: {error}.") from None


def _merges(text: str) -> list[tuple[str, str]]:
    """Pairs of a list of merges, whose first line is a version."""
    lines = [line for line in text.split("\n")[1 : _MOST_MERGES + 1] if line.strip()]
    pairs = [tuple(line.split()) for line in lines]
    wrong = next((line for line, pair in zip(lines, pairs, strict=True) if len(pair) != 2), None)
    if wrong is not None:
        raise ValueError(f"a line is no pair of tokens: {wrong[:40]!r}.")
    return pairs  # type: ignore[return-value]


def _signs() -> list[str]:
    """A visible character for each byte: itself where it is one, else one of those from number 256 on."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("\xa1"), ord("\xac") + 1), *range(ord("\xae"), 256)}
    hidden = iter(range(256, 512))
    return [chr(byte if byte in visible else next(hidden)) for byte in range(256)]


def _byte_tokens() -> list[str]:
    """Tokens of single bytes in OpenAI's order, visible ones first, inside a word and at its end."""
    ordered = sorted(_signs())
    return [*ordered, *(sign + _END_OF_WORD for sign in ordered)]


def _library(name: Literal["tokenizers", "ftfy"]) -> Any:
    try:
        if name == "ftfy":
            import ftfy

            return ftfy
        import tokenizers

        return tokenizers
    except ImportError:
        raise ImportError(f"CLIP's tokens need {name}: pip install gentoolkit[text].") from None
