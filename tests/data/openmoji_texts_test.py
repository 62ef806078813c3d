"""Names of drawings in two languages; the package that has them is not needed here."""

import sys
import types

import numpy as np
import pytest

from gentoolkit.data import openmoji, openmoji_texts, record, text

pytestmark = pytest.mark.fast
_TWO_TONES = "1F469-1F3FB-200D-1F91D-200D-1F468-1F3FF"  # a woman and a man, hand in hand
_CODES = ["1F44B", "1F44B-1F3FD", "2764", "E000"]  # the last is OpenMoji's own
_DATA = {
    "\U0001f44b": {"en": ":waving_hand:", "alias": [":wave:", ":waving_hand:"], "de": ":winkende_hand:"},
    "\U0001f44b\U0001f3fd": {"en": ":waving_hand_medium_skin_tone:", "de": ":winkende_hand_mittlere_hautfarbe:"},
    "\u2764\ufe0f": {"en": ":red_heart:", "alias": [":heart:"], "de": ":rotes_herz:"},
    "\U0001f34e": {"en": ":red_apple:", "de": ":roter_apfel:"},
    "\U0001f469\U0001f3fb\u200d\U0001f91d\u200d\U0001f468\U0001f3ff": {"en": ":two_tones:", "de": ":zwei_farben:"},
}


@pytest.fixture
def names(monkeypatch):
    stand_in = types.ModuleType("emoji")
    stand_in.LANGUAGES, stand_in.EMOJI_DATA = ["en", "de", "ar"], _DATA
    stand_in.config = types.SimpleNamespace(load_language=lambda language: None)
    monkeypatch.setitem(sys.modules, "emoji", stand_in)


def decoded(vocabulary, rows):
    return vocabulary.decode(text.Ragged(rows, (rows != 0).sum(-1)))


def test_drawings_have_their_names_in_two_languages(names, capsys):
    source = openmoji_texts.load("all", image_size=16, codes=_CODES, max_words=5)
    record.check(source, num=2)
    assert sorted(source.names) == ["1F44B", "1F44B-1F3FD", "2764"]
    english, german = openmoji_texts.read_vocabulary("en"), openmoji_texts.read_vocabulary("de")
    assert english.words[:2] == ("hand", "heart")
    row = list(source.names).index("1F44B-1F3FD")
    assert decoded(english, source[row]["captions"]) == ["waving hand medium skin tone"] * 2
    assert decoded(german, source[row]["captions_de"]) == ["winkende hand mittlere hautfarbe"] * 2
    row = list(source.names).index("1F44B")
    assert decoded(english, source[row]["captions"]) == ["waving hand", "wave"]
    plain = openmoji.load("all", image_size=16, codes=["1F44B"])
    np.testing.assert_array_equal(source[row]["image"], plain[0]["image"])
    heart = list(source.names).index("2764")  # drawn without the sign that the name is filed under
    assert decoded(english, source[heart]["captions"]) == ["red heart", "heart"]
    told = capsys.readouterr().err
    assert "1 drawings without a name, left out" in told
    assert "de: 3 pictures with fewer than 2 texts" in told


def test_keywords_are_one_more_text(names):
    """As Unicode has them of a waving hand, whatever its skin tone."""
    options = {"image_size": 16, "codes": [*_CODES, _TWO_TONES], "max_words": 16, "num_captions": 3, "keywords": True}
    source = openmoji_texts.load("all", **options)
    english, german = (openmoji_texts.read_vocabulary(language, keywords=True) for language in ("en", "de"))
    row = list(source.names).index("1F44B")
    waving = "bye cya g2g greetings gtg hand hello hey hi later outtie ttfn ttyl wave yo you"
    assert decoded(english, source[row]["captions"]) == ["waving hand", "wave", waving]
    row = list(source.names).index("1F44B-1F3FD")
    assert decoded(english, source[row]["captions"])[1] == waving
    assert decoded(german, source[row]["captions_de"])[0] == "winkende hand mittlere hautfarbe"
    assert "winken" in decoded(german, source[row]["captions_de"])[1]
    row = list(source.names).index(_TWO_TONES)  # of one sign where there are no tones
    assert decoded(english, source[row]["captions"])[1] == (
        "bae bestie bff couple dating flirt friends hand hold man twins woman"
    )
    # Further names give way to keywords.
    fewer = openmoji_texts.load("all", **{**options, "num_captions": 2})
    row = list(fewer.names).index("1F44B")
    assert decoded(english, fewer[row]["captions"]) == ["waving hand", waving]
    with pytest.raises(ValueError, match="num_captions must be >= 2"):
        openmoji_texts.load("all", **{**options, "num_captions": 1})
    with pytest.raises(ValueError, match="keywords: they are in en, de, got languages with 'ar'"):
        openmoji_texts.read_vocabulary("ar", keywords=True)


def test_faults_are_named(names, monkeypatch):
    with pytest.raises(ValueError, match="languages: names are in en, de, ar, got 'tlh'"):
        openmoji_texts.load("all", languages=("tlh",), image_size=16, codes=["1F44B"])
    with pytest.raises(ValueError, match="languages must be given once each"):
        openmoji_texts.load("all", languages=(), image_size=16)
    with pytest.raises(ValueError, match="no drawing of 'all' has a name in ar"):
        openmoji_texts.load("all", languages=("ar",), image_size=16, codes=["1F44B"])
    monkeypatch.setitem(sys.modules, "emoji", None)
    with pytest.raises(ImportError, match=r"come with the package emoji.*gentoolkit\[experiments\]"):
        openmoji_texts.read_vocabulary("en")


def test_the_package_names_the_drawings_that_it_should():
    pytest.importorskip("emoji", reason="the package of names is not installed")
    source = openmoji_texts.load("all", image_size=16, codes=["1F44B", "1F44B-1F3FD", "2764"])
    assert len(source) == 3
    row = list(source.names).index("2764")
    assert decoded(openmoji_texts.read_vocabulary("de"), source[row]["captions_de"])[0] == "rotes herz"
