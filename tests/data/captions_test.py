"""Words left out of long texts: those that stay keep their order, each is as likely to stay, short texts stay whole."""

import numpy as np
import pytest

from gentoolkit.data.captions import SomeWords
from gentoolkit.data.fields import Field, Ragged, Tokens

pytestmark = pytest.mark.fast


def test_some_words_stay_in_order_each_as_likely():
    num, room, kept = 4000, 7, 3
    words = np.random.Philox(0).random_raw(num)
    lengths = np.array([7, 5, 3, 0] * (num // 4), np.int32)
    values = np.where(np.arange(room) < lengths[:, None], np.arange(1, room + 1), 0).astype(np.int32)
    fields, batch = SomeWords(kept)({"caption": Tokens(max_length=room)}, {"caption": Ragged(values, lengths)}, words)
    assert fields["caption"] == Tokens(max_length=kept)
    made = batch["caption"]
    assert made.values.shape == (num, kept) and (made.lengths == np.minimum(lengths, kept)).all()
    assert (np.diff(made.values[0::4]) > 0).all() and (np.diff(made.values[1::4]) > 0).all()
    assert (made.values[2::4] == [1, 2, 3]).all() and not made.values[3::4].any()
    for start, length in ((0, 7), (1, 5)):
        counts = np.bincount(made.values[start::4].ravel(), minlength=length + 1)[1:]
        # A word stays in a share 3 / length of 1000 texts; five standard errors are 79 at most.
        assert len(counts) == length and np.abs(counts - 1000 * kept / length).max() < 79
    whole, same = SomeWords(9)({"caption": Tokens(max_length=room)}, {"caption": Ragged(values, lengths)}, words)
    assert whole["caption"].max_length == room
    np.testing.assert_array_equal(same["caption"].values, values)


def test_what_is_no_text_is_refused():
    with pytest.raises(ValueError, match="no column 'caption' of one text; there are captions"):
        SomeWords(3)({"captions": Field()}, {}, np.zeros(0, np.uint64))
    with pytest.raises(ValueError, match="max_length must be >= 1, got 0"):
        SomeWords(0)({"caption": Tokens(max_length=2)}, {}, np.zeros(0, np.uint64))
