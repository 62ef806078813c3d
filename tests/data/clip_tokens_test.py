"""CLIP's byte pairs: a tiny vocabulary whose merges are worked out by hand, every form of file, and the real one."""

import gzip
import json

import numpy as np
import pytest

from gentoolkit.data import clip_tokens

pytestmark = pytest.mark.fast
pytest.importorskip("tokenizers")
pytest.importorskip("ftfy")

MERGES = [("l", "o"), ("lo", "w</w>"), ("e", "r</w>"), ("lo", "w"), ("\u00c3", "\u00a9</w>")]
MERGES += [("m", "o"), ("mo", "d"), ("mod", "e"), ("mode", "l")]  # a token as OpenAI's has, and a key of tokenizer.json
BYTES = [*range(33, 127), *range(161, 173), *range(174, 256), *range(33), *range(127, 161), 173]  # OpenAI's order
NUMBER = {byte: number for number, byte in enumerate(BYTES)}
START, END = 512 + 9, 512 + 10


@pytest.fixture(scope="module")
def tiny():
    return clip_tokens.Tokenizer(clip_tokens.numbered(MERGES), MERGES)


def within(signs):
    return [NUMBER[byte] for byte in signs.encode()]


def last(sign):
    return NUMBER[ord(sign)] + 256


def test_pairs_are_merged_by_rank_within_words(tiny):
    assert len(tiny) == END + 1
    assert tiny.tokens("low") == [513]  # l o w</w>: lo, low</w>
    assert tiny.tokens("LOWER") == [515, 514]  # lo w e r</w>: lo, er</w>, low
    assert tiny.tokens("lo w") == [NUMBER[ord("l")], last("o"), last("w")]  # a merge does not reach the end of a word
    assert tiny.tokens("caf\u00e9") == [*within("caf"), 516]
    assert tiny.tokens("it's 42!?") == [
        *within("i"),
        last("t"),
        *within("'"),
        last("s"),
        last("4"),
        last("2"),
        *within("!"),
        last("?"),
    ]
    assert tiny.tokens("  \t\n ") == []


def test_texts_are_cleaned_as_openai_does():
    assert clip_tokens.clean("  Two\u00a0 Caf\u00c3\u00a9s &amp;lt;3\n\u201cso\u201d  ") == 'two caf\u00e9s <3 "so"'
    with pytest.raises(TypeError, match="must be a str, got bytes"):
        clip_tokens.clean(b"low")


def test_rows_have_start_and_end_and_zeros(tiny):
    rows = tiny.encode(["low", "", "low lower"], context_length=5)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[START, 513, END, 0, 0], [START, END, 0, 0, 0], [START, 513, 515, 514, END]]
    assert (rows.argmax(axis=1) == [2, 1, 4]).all()  # the end has the highest number
    assert tiny.decode(rows) == ["low", "", "low lower"]
    assert tiny.decode(tiny.encode(["It's  a caf\u00e9 &amp; 7"], context_length=30)) == ["it 's a caf\u00e9 & 7"]


def test_long_texts_are_refused_or_cut_before_their_end(tiny):
    with pytest.raises(ValueError, match="Text 1 has 5 tokens, start and end included, more than context_length = 4"):
        tiny.encode(["low", "low low low"], context_length=4)
    cut = tiny.encode(["low", "low low lower"], context_length=4, too_long="cut")
    assert cut.tolist() == [[START, 513, END, 0], [START, 513, 513, END]]
    with pytest.raises(ValueError, match=r"a list of texts, got one text; write \['low'\]"):
        tiny.encode("low")
    with pytest.raises(ValueError, match="'refuse' or 'cut', got 2 and 'trim'"):
        tiny.encode(["low"], context_length=2, too_long="trim")


def test_an_end_that_is_written_out_is_one_as_with_openai(tiny):
    assert tiny.tokens("low <|endoftext|> low") == [513, END, 513]
    assert END not in tiny.tokens("!<|endoftext|>")  # signs before it take its beginning with them


def test_every_form_of_file_is_the_same_vocabulary(tmp_path, tiny):
    lines = "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in MERGES) + "\n"
    vocabulary = clip_tokens.numbered(MERGES)
    (tmp_path / "merges.txt").write_text(lines, encoding="utf-8")
    (tmp_path / "bpe.txt.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    model = {"type": "BPE", "vocab": vocabulary, "end_of_word_suffix": "</w>"}
    for name, pairs in (("tokenizer", [" ".join(pair) for pair in MERGES]), ("newer", MERGES)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"model": {**model, "merges": pairs}, "added_tokens": []}))
    for name in ("merges.txt", "bpe.txt.gz", "vocab.json", "tokenizer.json", "newer.json", ""):
        assert clip_tokens.read(tmp_path / name) == tiny, name


def test_other_files_are_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no vocabulary at .*none.json"):
        clip_tokens.read(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match="no vocabulary in .*; wanted is one of tokenizer.json"):
        clip_tokens.read(tmp_path)
    wrong = {
        "vocab.json": (b"{}", "its merges are not beside it"),
        "gpt2.json": (b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}', "another kind, with 'BPE' and None"),
        "broken.json": (b'{"model": ', "does not hold the vocabulary of a CLIP"),
        "text.txt": (b"version\nthree small words\n", "no pair of tokens: 'three small words'"),
        "other.txt": (b"version\nqq zz\n", "merges must be pairs of tokens that make a token"),
        "cut.gz": (gzip.compress(b"version\na b\n")[:-9], "cannot be read as a vocabulary"),
        "photo.png": (b"\x89PNG\r\n\x1a\n\xff", "cannot be read as a vocabulary"),
    }
    for name, (content, told) in wrong.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=told) as caught:
            clip_tokens.read(tmp_path / name)
        assert name in str(caught.value)


def test_the_end_must_have_the_highest_number():
    vocabulary = clip_tokens.numbered(MERGES)
    with pytest.raises(ValueError, match=f"must end in .*, numbers {START + 1} and {END + 1}, got {START} and {END}"):
        clip_tokens.Tokenizer({**vocabulary, "more": END + 1}, MERGES)
    with pytest.raises(ValueError, match="a token for each byte"):
        clip_tokens.Tokenizer({"<|startoftext|>": 0, "<|endoftext|>": 1}, [])


def test_openai_s_vocabulary_gives_the_published_numbers(genuine):
    name = "weights/bpe_simple_vocab_16e6.txt.gz"
    tokenizer = clip_tokens.read(genuine(name) / name)
    assert len(tokenizer) == 49408
    # Of huggingface/transformers, pull request 39821.
    assert tokenizer.encode(["hello world"])[0, :5].tolist() == [49406, 3306, 1002, 49407, 0]
    # As OpenAI's own code gives them (`python -m benchmarks.clip_parity` compares a thousand).
    assert tokenizer.tokens("\U0001f600 \u00c9t\u00e9 &amp;amp; THEY'RE \u0345 100") == [
        *(7334, 3459, 39694, 261, 889, 982),
        *(272, 271, 271),
    ]


def test_pairs_of_ones_own_texts_are_learned_from_the_most_frequent_on(tmp_path):
    # Words a-a-b (three times) and a-b (once): "ab" ends four words, then "a" before it three; "aa" went into these.
    own = clip_tokens.train(["aab  AAB", "aab ab"], num_tokens=600)
    assert own.merges == [("a", "b</w>"), ("a", "ab</w>")] and len(own) == 516
    assert own.tokens("aab ab b") == [513, 512, last("b")] and own.decode(own.encode(["aab ab"])) == ["aab ab"]
    assert clip_tokens.train(["ab aab", "aab aab"], num_tokens=600).merges == own.merges  # in whatever order
    assert len(clip_tokens.train(["aab aab aab ab"], num_tokens=515)) == 515
    assert not clip_tokens.train(["aab ab"], num_tokens=600, min_count=3).merges
    assert own.decode(own.encode(["\u043a\u043e\u0442 zoo"])) == ["\u043a\u043e\u0442 zoo"]  # bytes say every text
    assert ("<", "|") not in clip_tokens.train(["<|endoftext|> a"] * 3, num_tokens=600).merges
    for name in ("own.txt.gz", "own.txt"):
        clip_tokens.write(tmp_path / name, own)
        again = clip_tokens.read(tmp_path / name)
        assert (again.vocabulary, again.merges) == (own.vocabulary, own.merges)


def test_faults_of_training_are_named(tiny, tmp_path):
    for texts, options, match in (
        ("a text", {"num_tokens": 600}, "texts must be several texts, got one"),
        (["a"], {"num_tokens": 513}, "num_tokens must be at least 514 and min_count at least 1, got 513 and 2"),
        (["a"], {"num_tokens": 600, "min_count": 0}, "min_count at least 1"),
        ([], {"num_tokens": 600}, "texts must have a word"),
        (["", "<|endoftext|>"], {"num_tokens": 600}, "texts must have a word"),
    ):
        with pytest.raises(ValueError, match=match):
            clip_tokens.train(texts, **options)
    with pytest.raises(TypeError, match="A text must be a str, got int"):
        clip_tokens.train([1], num_tokens=600)
    moved = dict(tiny.vocabulary) | {"!": NUMBER[ord('"')], '"': NUMBER[ord("!")]}
    with pytest.raises(ValueError, match="tokenizer must number its tokens as OpenAI does"):
        clip_tokens.write(tmp_path / "x.txt", clip_tokens.Tokenizer(moved, MERGES))
