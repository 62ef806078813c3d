"""One pass for many statistics: the same however rows are cut, padded, spread over devices or dealt to processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gentoolkit import evaluation
from gentoolkit.data import columns, fields, pipeline
from gentoolkit.evaluation import statistics


def _statistics():
    return {
        "mean": statistics.mean("feature"),
        "error": statistics.mean(lambda values: values["feature"][:, 0] * values["label"]),
        "moments": statistics.moments("feature"),
        "rows": statistics.rows("feature", finish=lambda x: x[np.lexsort(x.T)]),
        "labels": statistics.rows("label"),
    }


@pytest.fixture(scope="module")
def data():
    """Twenty-three rows, and the features that are measured of them."""
    rng = np.random.default_rng(0)
    image = rng.random((23, 3, 2, 1), np.float32)
    weights = rng.normal(size=(6, 4)).astype(np.float32)
    return image, np.arange(23), weights


@pytest.fixture(scope="module")
def extract(data):
    weights = data[2]
    return jax.jit(lambda batch: {"feature": batch["image"].reshape(-1, 6) @ weights + 3})


def batches(data, size):
    """The rows in batches, filled up with NaN, which no statistic may see."""
    image, label, _ = data
    made = []
    for start in range(0, 23, size):
        rows = slice(start, start + size)
        missing = size - len(label[rows])
        filler = np.full((missing, *image.shape[1:]), np.nan, np.float32)
        counts = np.arange(size) < size - missing
        made.append(
            {
                "image": np.concatenate([image[rows], filler]),
                "label": np.concatenate([label[rows], np.full(missing, 10**6)]),
                "counts": counts,
            }
        )
    return made


@pytest.fixture(scope="module")
def truth(data):
    image, label, weights = data
    feature = image.reshape(-1, 6).astype(np.float64) @ weights.astype(np.float64) + 3
    return feature, feature[:, 0] * label


def check(found, truth, rtol=1e-6):
    feature, product = truth
    assert found["mean"].num == found["moments"].num == 23
    np.testing.assert_allclose(found["mean"].value, feature.mean(axis=0), rtol=rtol)
    np.testing.assert_allclose(found["mean"].standard_error, feature.std(axis=0, ddof=1) / 23**0.5, rtol=10 * rtol)
    np.testing.assert_allclose(found["error"].value, product.mean(), rtol=rtol)
    np.testing.assert_allclose(found["error"].standard_error, product.std(ddof=1) / 23**0.5, rtol=rtol)
    np.testing.assert_allclose(found["moments"].mean, feature.mean(axis=0), rtol=rtol)
    np.testing.assert_allclose(found["moments"].cov, np.cov(feature, rowvar=False), rtol=10 * rtol, atol=rtol)
    np.testing.assert_allclose(found["rows"], feature[np.lexsort(feature.T)], rtol=rtol)
    np.testing.assert_array_equal(np.sort(found["labels"]), np.arange(23))


@pytest.mark.parametrize("size", [1, 5, 32])
def test_rows_that_fill_up_are_left_out_exactly(data, extract, truth, size):
    found = evaluation.measure(batches(data, size), extract=extract, statistics=_statistics())
    check(found, truth)
    np.testing.assert_array_equal(found["labels"], np.arange(23))


def test_all_devices_take_part_and_nothing_changes(data, extract, truth):
    mesh = jax.make_mesh((4, 2), ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    seen = []

    def spread(batch):
        seen.append(batch["image"].sharding.num_devices)
        return extract(batch)

    check(evaluation.measure(batches(data, 16), extract=spread, statistics=_statistics(), mesh=mesh), truth)
    assert seen == [8, 8]
    with pytest.raises(ValueError, match="8 devices do not divide a batch of 5 rows"):
        evaluation.measure(batches(data, 5), extract=extract, statistics=_statistics(), mesh=mesh)


def test_states_of_parts_are_put_together(data, extract, truth):
    """What processes do at the end; one of them has seen nothing."""
    made = batches(data, 5)
    parts = [made[:1], made[1:3], [], made[3:]]
    found = {}
    for name, statistic in _statistics().items():
        states = []
        for part in parts:
            state = statistic.init()
            for batch in part:
                values = {**batch, **extract(batch)}
                state = statistic.update(state, {k: np.asarray(v)[batch["counts"]] for k, v in values.items()})
            states.append(state)
        while len(states) > 1:
            states = [statistic.merge(states[0], states[1]), *states[2:]]
        found[name] = statistic.finish(states[0])
    check(found, truth)


def test_the_model_is_called_once_for_each_batch_however_many_statistics(data, extract):
    called = []
    evaluation.measure(
        batches(data, 5), extract=lambda batch: called.append(1) or extract(batch), statistics=_statistics()
    )
    assert len(called) == 5
    called.clear()
    enough = {"a": statistics.rows("feature", limit=3), "b": statistics.rows("label", limit=7)}
    found = evaluation.measure(
        batches(data, 5), extract=lambda batch: called.append(1) or extract(batch), statistics=enough
    )
    assert len(called) == 2 and found["a"].shape == (3, 4) and found["b"].tolist() == list(range(7))


@pytest.mark.fast
def test_columns_of_any_kind_pass_through(data):
    source = columns.from_values(
        {"text": fields.Tokens(max_length=3), "label": fields.Label()},
        {"text": [[1] * (i % 4) for i in range(10)], "label": np.arange(10)},
    )
    count = statistics.mean(lambda values: values["text"].valid.sum(axis=1))
    found = evaluation.measure(pipeline.EvaluationPass(source, batch_size=4), statistics={"words": count})
    assert found["words"].num == 10
    np.testing.assert_allclose(found["words"].value, np.mean(np.arange(10) % 4))


@pytest.mark.fast
def test_half_precision_is_summed_in_full(data):
    # 4,097 ones: bfloat16 would stop counting at 256, float32 would not.
    batch = {"x": jnp.ones((4097, 1), jnp.bfloat16)}
    found = evaluation.measure([batch] * 3, statistics={"mean": statistics.mean("x"), "rows": statistics.rows("x")})
    assert found["mean"].num == 3 * 4097 and float(found["mean"].value[0]) == 1.0
    assert found["rows"].dtype == np.float32 and found["rows"].sum() == 3 * 4097


@pytest.mark.fast
def test_what_does_not_fit_is_refused_by_name(data):
    x = np.zeros((4, 2))
    cases = [
        ([], {}, "no examples"),
        ([{"x": x, "counts": np.zeros(4, bool)}], {}, "no examples"),
        ([{"x": x, "counts": [True]}], {}, r"counts must be \[b\] = \(4,\), got counts.shape = \(1,\)"),
        ([{"x": x}], {"extract": lambda batch: {"y": batch["x"][:2]}}, "y must have one row for each of 4 examples"),
        ([{"x": x}], {"statistics": {"m": statistics.mean("z")}}, "no array 'z' among x"),
        ([{"x": 3.0}], {}, r"a row for each example, got \['x'\]"),
    ]
    for made, options, message in cases:
        with pytest.raises(ValueError, match=message):
            evaluation.measure(made, **{"statistics": {"m": statistics.mean("x")}, **options})
