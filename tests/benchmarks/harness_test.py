"""The harness: turns, counts, predictions, interruptions; the limits; the report."""

import itertools
import json
import math
import os
import time

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import (
    backends,
    harness,
    limits,
    machine,
    plot,
    report,
    schedule,
)
from benchmarks.harness import OURS, Case, Implementation, Options

RATES = limits.Rates(bandwidth=((1000, 100.0), (10_000, 10.0)), flops=1e6, comparisons=1e3, exponentials=1e2)
HEADER = {
    "suite": "test",
    "command": "python -m benchmarks.run test",
    "machine": machine.describe(),
    "rates_text": report.rates_text(RATES),
}


def implementation(name, function, *, task="task", work=lambda size: size["n"], **options):
    return Implementation(name, task, backends.NUMPY, ("x",), lambda size: {"value": function}, work, **options)


def case(*implementations, sizes=(8,), call_limit=None):
    return Case(
        name="case",
        sizes=[{"n": n} for n in sizes],
        make_inputs=lambda size: {"x": np.ones(size["n"], np.float32)},
        implementations=implementations,
        least_work=lambda task, mode, size: limits.Work(bytes=4 * size["n"]),
        formula="each value read once.",
        weight=lambda size: 1.0,
        call_limit=call_limit,
    )


def timed(*cases, budget=60.0, repeats=5):
    rows = []
    harness.run(cases, RATES, Options(budget=budget, repeats=repeats), rows.append, progress=lambda line: None)
    return rows


@pytest.mark.fast
def test_allot_gives_equal_time_within_bounds():
    counts = schedule.allot([0.001, 0.1, 0.5], share=4.0, most=20)
    assert counts[0] == 20 and counts[2] >= 3
    assert sum(c * s for c, s in zip(counts, [0.001, 0.1, 0.5], strict=True)) <= 4.0
    assert counts[1] > counts[2]


@pytest.mark.fast
@pytest.mark.parametrize(("share", "expected"), [(7.0, [3, 3]), (4.5, [2, 2]), (0.1, [1, 1]), (-1.0, [1, 1])])
def test_allot_gives_up_repeats_where_the_share_is_short(share, expected):
    assert schedule.allot([1.0, 1.0], share=share, most=10) == expected


@pytest.mark.fast
def test_allot_repeats_short_calls_whatever_the_share():
    assert schedule.allot([0.05, 1.0], share=-1.0, most=10) == [5, 1]
    assert schedule.allot([0.05, 1.0], share=-1.0, most=2) == [2, 1]


@pytest.mark.fast
def test_allot_keeps_to_the_most_repeats():
    assert schedule.allot([1e-6], share=100.0, most=2) == [2]


@pytest.mark.fast
def test_rounds_keep_counts_spread_and_turn():
    turns = schedule.rounds([6, 2, 6])
    assert [sum(turn.count(i) for turn in turns) for i in range(3)] == [6, 2, 6]
    assert [turn for turn, due in enumerate(turns) if 1 in due] == [2, 5]
    assert len({due[0] for due in turns}) > 1
    assert schedule.rounds([]) == [] and schedule.rounds([0, 0]) == []


@pytest.mark.fast
def test_implementations_are_called_in_turn():
    calls = []
    rows = timed(case(*(implementation(name, lambda x, name=name: calls.append(name) or 1.0) for name in "abc")))
    assert all(row["repeats"] == 5 for row in rows)
    # After preparation each round has every one: the longest stretch of one name is 100 calls of no length that warm, a
    # timing of as many, and the same at the start of the next round.
    tail = calls[6:]
    assert max(len(list(group)) for _, group in itertools.groupby(tail)) <= 400
    assert {name: tail.count(name) for name in "abc"} == {"a": 1000, "b": 1000, "c": 1000}


@pytest.mark.fast
def test_a_timing_of_short_calls_is_the_mean_of_several(monkeypatch):
    clock = [0.0]
    slept = []
    monkeypatch.setattr(harness.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(harness.time, "sleep", slept.append)

    def call(x):
        clock[0] += 0.002
        return 1.0

    (row,) = timed(case(implementation(OURS, call)))
    assert row["repeats"] == 5
    assert row["seconds"] == pytest.approx(0.002)
    # Two to prepare; a timing is a pause, 25 before it and ten.
    assert clock[0] == pytest.approx(0.002 * (2 + 5 * (25 + 10)))
    assert slept == [0.05] * 5


@pytest.mark.fast
def test_rows_hold_medians_ratios_limit_and_agreement():
    fast = implementation(OURS, lambda x: float(x.sum()))
    slow = implementation("peer", lambda x: time.sleep(0.002) or float(x.sum()) + 4.0)
    odd = implementation("odd", lambda x: -1.0, comparable=False)
    ours, peer, other = timed(case(fast, slow, odd))
    assert ours["best_peer"] == "odd" and peer["times_best_peer"] > 1
    assert peer["seconds"] >= 0.002 and peer["seconds_min"] <= peer["seconds"]
    assert ours["seconds_q25"] <= ours["seconds"] <= ours["seconds_q75"]
    assert ours["limit_seconds"] == pytest.approx(32 / 100) and ours["limit_from"] == "bytes"
    assert ours["times_limit"] == pytest.approx(ours["seconds"] / 0.32)
    assert peer["difference_from_ours"] == pytest.approx(4 / 12)
    assert ours["difference_from_ours"] == 0 and other["difference_from_ours"] is None


@pytest.mark.fast
def test_a_failure_is_a_row_and_does_not_stop_the_rest():
    def broken(x):
        raise ValueError("no such thing\nand more")

    def unbuildable(size):
        raise ImportError("gone")

    bad = Implementation("unbuilt", "task", backends.NUMPY, ("x",), unbuildable, lambda size: 1.0)
    rows = timed(case(implementation("broken", broken), bad, implementation("fine", lambda x: 1.0)))
    status = {row["implementation"]: row["status"] for row in rows}
    assert status == {
        "fine": "measured",
        "broken": "failed: ValueError: no such thing",
        "unbuilt": "failed: ImportError: gone",
    }


@pytest.mark.fast
def test_an_absent_peer_is_left_out():
    rows = timed(
        case(implementation("here", lambda x: 1.0), implementation("gone", None, requires=("no_such_module",)))
    )
    assert [row["implementation"] for row in rows] == ["here"]


@pytest.mark.fast
def test_a_peer_predicted_too_slow_is_skipped_and_ours_is_not():
    work = {"work": lambda size: size["n"] ** 2}
    slow = implementation("slow", lambda x: time.sleep(0.01) or 1.0, **work)
    ours = implementation(OURS, lambda x: time.sleep(0.01) or 1.0, **work)
    rows = timed(case(slow, ours, sizes=(1, 20), call_limit=1.0))
    status = {(row["implementation"], row["n"]): row["status"] for row in rows}
    assert status["slow", 20].startswith("skipped: predicted ")
    assert status["slow", 1] == status[OURS, 1] == status[OURS, 20] == "measured"


@pytest.mark.fast
def test_what_does_not_fit_in_memory_is_skipped():
    (row,) = timed(case(implementation("big", None, memory=lambda mode, size: 1e18)))
    assert row["status"].startswith("skipped: needs 931322574.6 GiB")


@pytest.mark.fast
def test_when_the_budget_is_spent_only_ours_is_timed():
    peer, ours = implementation("peer", lambda x: 1.0), implementation(OURS, lambda x: 1.0)
    rows = timed(case(peer, ours), budget=0.0)
    assert {row["implementation"]: row["status"] for row in rows} == {
        "peer": "skipped: the budget is spent",
        OURS: "measured",
    }
    assert [row["repeats"] for row in rows if row["status"] == "measured"] == [5]  # short calls


@pytest.mark.fast
@pytest.mark.parametrize(("calls", "kept"), [(0, ["a"]), (5, ["a", "b"])])  # while preparing, while timing
def test_an_interruption_keeps_what_was_timed(calls, kept):
    count = 0

    def interrupted(x):
        nonlocal count
        count += 1
        if count > calls:
            raise KeyboardInterrupt
        return 1.0

    rows = []
    with pytest.raises(KeyboardInterrupt):
        cases = [case(implementation("a", lambda x: 1.0), implementation("b", interrupted))]
        harness.run(cases, RATES, Options(budget=60.0), rows.append, progress=lambda line: None)
    assert [row["implementation"] for row in rows] == kept
    assert all(row["repeats"] >= 1 for row in rows)


@pytest.mark.fast
def test_predictor_takes_the_least_prediction():
    predictor = schedule.Predictor()
    assert predictor.predict("a", 4.0) is None
    predictor.learn("a", 1.0, 1.0)
    predictor.learn("a", 2.0, 1.5)
    assert predictor.predict("a", 4.0) == 3.0
    assert predictor.predict("b", 4.0) is None


@pytest.mark.fast
def test_least_seconds_is_the_largest_quotient():
    assert limits.least_seconds(limits.Work(bytes=500, flops=1e6), RATES) == (5.0, "bytes")
    assert limits.least_seconds(limits.Work(bytes=5000), RATES) == (500.0, "bytes")  # no longer in the faster cache
    assert limits.least_seconds(limits.Work(bytes=50_000), RATES) == (5000.0, "bytes")
    assert limits.least_seconds(limits.Work(comparisons=4e3, exponentials=100), RATES) == (4.0, "comparisons")


@pytest.mark.fast
def test_sort_comparisons():
    assert limits.sort_comparisons(5) == pytest.approx(math.log2(120))


def test_measured_rates_are_of_a_machine():
    rates = limits.measure(quick=True)
    assert all(rate > 1e8 for _, rate in rates.bandwidth)
    assert rates.flops > 1e8 and rates.comparisons > 1e7 and rates.exponentials > 1e6


@pytest.mark.fast
def test_host_peak_sees_a_large_temporary():
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("needs the high-water mark of Linux")
    size = 64 * 2**20
    total, peak = machine.host_peak(lambda: float(np.ones(size // 8).sum()))
    assert total == size // 8
    assert 0.95 * size < peak < 1.2 * size  # a little of what was resident before may have left
    assert machine.host_peak(lambda: None)[1] < 2**20


@pytest.mark.fast
def test_jax_backend_counts_compiling_and_memory():
    x = backends.JAX.put(np.ones((64, 64), np.float32))
    prepared = backends.JAX.prepare(backends.jax_modes(lambda x: jnp.sum(x**3))["value_and_grad"], [x])
    value, gradient = prepared.call()
    assert float(value) == 64 * 64 and gradient.shape == (64, 64)
    assert prepared.compile_seconds > 0 and prepared.compiled_bytes >= 4 * 64 * 64


@pytest.mark.parametrize("backend", [backends.JAX_IN_TURN, backends.NUMPY_IN_TURN])
def test_calls_take_the_last_argument_in_turn(backend):
    x, several = backend.put(np.full(2, 10.0, np.float32)), backend.put(np.arange(3))
    prepared = backend.prepare(lambda x, one: x + one, [x, several])
    first = [float(prepared.call()[0]) for _ in range(7)]
    assert sorted(first[:3]) == [10, 11, 12] and first[3:] == first[:4]


def test_torch_modes():
    torch = pytest.importorskip("torch")
    modes = backends.torch_modes(lambda x, w: (x * w).sum())
    x, w = torch.ones(3), torch.arange(3.0)
    assert float(modes["value"](x, w)) == 3
    value, gradient = modes["value_and_grad"](x, w)
    assert float(value) == 3 and gradient.tolist() == [0, 1, 2] and not x.requires_grad


@pytest.mark.fast
def test_writer_appends_valid_lines_and_keeps_the_last_run(tmp_path):
    for value in (1, 2):
        writer = report.Writer(tmp_path / "out")
        writer.write("row", {"value": value})
        # On the disk before the file is closed: a killed run loses nothing.
        assert json.loads((tmp_path / "out" / report.RESULTS).read_text()) == {"kind": "row", "value": value}
        writer.close()
    previous = (tmp_path / "out" / "results.previous.jsonl").read_text()
    assert json.loads(previous)["value"] == 1


@pytest.mark.fast
@pytest.mark.parametrize(
    ("seconds", "text"), [(1.5, "1.5 s"), (0.0123456, "12.3 ms"), (2e-7, "0.2 µs"), (1234.5, "1234 s"), (None, "-")]
)
def test_format_seconds(seconds, text):
    assert report.format_seconds(seconds) == text


@pytest.mark.fast
@pytest.mark.parametrize(
    ("count", "text"), [(3 * 2**30, "3 GiB"), (2**20, "1 MiB"), (512, "0.5 KiB"), (None, "not measured")]
)
def test_format_bytes(count, text):
    assert report.format_bytes(count) == text


def test_page_and_plot(tmp_path):
    def broken(x):
        raise ValueError("no")

    ours = implementation(OURS, lambda x: 1.0)
    peer = implementation("PyTorch", lambda x: 2.0, note="plain")
    other = implementation("POT (NumPy)", lambda x: 1.0, task="other", yardstick_for=("task",))
    the_case = case(ours, peer, other, implementation("broken", broken), sizes=(8, 16))
    rows = timed(the_case)
    page = report.markdown(HEADER, [the_case], rows, ["a target: met"])
    for text in ("- a target: met", "| n=16 |", "PyTorch, task: plain", "its result differs from ours by 5.0e-01"):
        assert text in page
    assert "| task, value | gentoolkit | PyTorch | POT (NumPy)\\* | broken |" in page
    assert "broken, task, value, n=8: failed: ValueError: no" in page
    plot.draw(tmp_path / "plot.png", HEADER, [the_case], rows)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert report.markdown(HEADER, [the_case], [], []) and report.size_of(rows[0]) == {"n": 8}
