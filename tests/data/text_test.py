"""Words to numbers and back, whatever the script; nothing is cut off unasked."""

import pickle

import numpy as np
import pytest

from gentoolkit.data import columns, text
from gentoolkit.data.fields import Tokens

pytestmark = pytest.mark.fast
CAPTIONS = ["A small red circle.", "a RED square, above the circle!", "", "Ein grüner Kreis - rot", "it's 2 o'clock"]


def test_words_of_any_script_in_small_letters():
    assert text.words("A RED square: above_it, don't!") == ["a", "red", "square", "above", "it", "don't"]
    assert text.words("Große КРУГ 红色 \uff21\uff22") == ["grosse", "круг", "红色", "ab"]
    assert text.words("\x00 \t?! ' ''") == []
    assert text.words("'quoted' हिन्दी, שָׁלוֹם; 2\u2764\ufe0f cafe\u0301") == [
        "quoted",
        "हिन्दी",
        "שָׁלוֹם",
        "2",
        "\u2764",
        "\ufe0f",
        "café",
    ]


def test_plain_english_is_split_as_every_other_text():
    """Texts of ASCII go a shorter way, which a letter in front that is not of it closes."""
    signs = [chr(number) for number in range(128)]
    for first in signs:
        some = " ".join(f"x{first}{second}Y {second}" for second in signs)
        assert text.words(some) == text.words(f"é {some}")[1:]


def test_texts_come_back_and_lengths_are_theirs():
    vocabulary = text.Vocabulary.of(CAPTIONS)
    assert vocabulary.words[:3] == ("a", "circle", "red") and len(vocabulary) == len(vocabulary.words) + 2
    tokens = vocabulary.encode(CAPTIONS, max_length=6)
    assert tokens.lengths.tolist() == [4, 6, 0, 4, 3]
    assert tokens.values.dtype == np.int32 and not tokens.values[~tokens.valid].any()
    assert tokens.values[tokens.valid].min() >= 2
    assert vocabulary.decode(tokens) == [" ".join(text.words(caption)) for caption in CAPTIONS]
    source = columns.from_values({"caption": Tokens(max_length=6)}, {"caption": tokens})
    assert len(source) == 5 and source[0]["caption"].shape == (4,)


def test_unknown_words_are_kept_as_such_and_told():
    vocabulary = text.Vocabulary.of(CAPTIONS, max_words=3)
    tokens = vocabulary.encode(["red purple circle"], max_length=4)
    assert tokens.values.tolist() == [[4, text.UNKNOWN, 3, text.PADDING]]
    assert vocabulary.decode(tokens) == ["red ? circle"] and vocabulary.unknown("red purple circle") == ["purple"]
    assert text.Vocabulary.of(CAPTIONS, min_count=2).words == ("a", "circle", "red")


def test_long_texts_are_refused_or_cut_as_told():
    vocabulary = text.Vocabulary.of(CAPTIONS)
    with pytest.raises(ValueError, match="Text 1 has 6 words, more than max_length = 4: 'a RED"):
        vocabulary.encode(CAPTIONS, max_length=4)
    cut = vocabulary.encode(CAPTIONS, max_length=4, too_long="cut")
    assert cut.lengths.tolist() == [4, 4, 0, 4, 3] and vocabulary.decode(cut)[1] == "a red square above"
    with pytest.raises(ValueError, match="'longest'"):
        vocabulary.encode(CAPTIONS, max_length=4, too_long="longest")
    with pytest.raises(ValueError, match="'red' twice"):
        text.Vocabulary(("red", "blue", "red"))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_the_vocabulary_of_attngan_has_the_authors_order(tmp_path, protocol):
    path, numbers = tmp_path / "captions.pickle", {"<end>": 0, "bird": 1, "a": 2, "red": 3}
    held = [[[2, 3, 1]], [[2, 1]], {number: word for word, number in numbers.items()}, numbers]
    path.write_bytes(pickle.dumps(held, protocol))
    vocabulary = text.of_attngan(path)
    assert vocabulary.words == ("bird", "a", "red")
    assert (vocabulary.encode(["a red bird"], max_length=3).values - 1).tolist() == [[2, 3, 1]]
    for wrong in ([1, 2], [[], [], {5: "a"}, {}], [[], [], {"a": 0}, {}]):
        path.write_bytes(pickle.dumps(wrong))
        with pytest.raises(ValueError, match="captions.pickle' is no captions.pickle of AttnGAN"):
            text.of_attngan(path)
