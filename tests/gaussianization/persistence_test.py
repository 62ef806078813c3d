"""A destructor survives the disk, and a file that is none is refused."""

import jax
import numpy as np
import pytest

from gentoolkit.gaussianization import marginal, persistence, rbig

X = np.float32(np.random.default_rng(0).gamma(2.0, size=(50, 2)))


@pytest.mark.parametrize(
    "variant",
    [marginal.quantile(tails="pareto"), marginal.histogram(num_bins=12), marginal.mixture(num_steps=2)],
    ids=lambda v: v.name,
)
def test_what_was_saved_comes_back_bit_for_bit(tmp_path, variant):
    d = rbig.fit(jax.random.key(0), X, marginal=variant, num_layers=2)
    path = tmp_path / "d.npz"
    persistence.save(path, d)
    for got in (persistence.load(path), persistence.load(path, marginal=variant)):
        assert got.marginal is variant
        assert jax.tree.structure(got) == jax.tree.structure(d)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(d), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(rbig.forward(got, X)[0], rbig.forward(d, X)[0])
    assert [file.name for file in tmp_path.iterdir()] == ["d.npz"]


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "d.npz"
    persistence.save(path, rbig.fit(jax.random.key(0), X, num_layers=1))
    return path


def test_another_variant_is_refused(saved):
    with pytest.raises(ValueError, match="quantile.*histogram"):
        persistence.load(saved, marginal=marginal.histogram())
    with pytest.raises(ValueError, match="pareto"):
        persistence.load(saved, marginal=marginal.quantile(tails="pareto"))


def test_a_variant_of_ones_own_is_asked_for(tmp_path):
    own = marginal.quantile()._replace(name="", options=())
    d = rbig.fit(jax.random.key(0), X, marginal=own, num_layers=1)
    persistence.save(tmp_path / "d.npz", d)
    with pytest.raises(ValueError, match="marginal="):
        persistence.load(tmp_path / "d.npz")
    assert persistence.load(tmp_path / "d.npz", marginal=own).marginal is own


@pytest.mark.parametrize("kind", ["text", "empty", "another npz", "cut", "pickle"])
def test_other_files_are_refused(saved, kind):
    if kind == "text":
        saved.write_text("not an archive")
    elif kind == "empty":
        saved.write_bytes(b"")
    elif kind == "another npz":
        np.savez(saved, a=np.ones(3))
    elif kind == "cut":
        saved.write_bytes(saved.read_bytes()[:-200])
    else:
        np.savez(saved, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="d.npz"):
        persistence.load(saved)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        persistence.load(tmp_path / "none.npz")


def test_another_version_is_refused(saved):
    with np.load(saved) as file:
        arrays = dict(file)
    arrays["header"] = np.array(str(arrays["header"]).replace('"version": 3', '"version": 4'))
    np.savez(saved, **arrays)
    with pytest.raises(ValueError, match="version 3"):
        persistence.load(saved)
