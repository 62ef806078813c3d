"""The suites: all implementations of a task compute the same, every target finds its rows, and the command runs."""

import dataclasses
import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import app

from benchmarks import (
    clip_suite,
    cramer_wold_bench,
    damsm_bench,
    distances_suite,
    gaussian_process_suite,
    gaussianization_suite,
    harness,
    image_metrics_bench,
    image_metrics_suite,
    kmeans_bench,
    layers_bench,
    limits,
    mmd_bench,
    plot,
    regression_bench,
    report,
    run,
    sigreg_bench,
    sliced_bench,
    sorting_bench,
    text_to_image_suite,
    tone_map_bench,
    training_suite,
    translation_suite,
    translators_bench,
)
from benchmarks.harness import OURS, Options
from gentoolkit.imaging import color

SMALL = [
    (sorting_bench.case(), {"rows": 3, "n": 32}),
    (sliced_bench.case(), {"n": 32, "d": 3, "slices": 5}),
    (sigreg_bench.case(), {"n": 32, "d": 3, "slices": 5}),
    (cramer_wold_bench.cases()[0], {"n": 32, "d": 3, "slices": 5}),
    (cramer_wold_bench.cases()[1], {"n": 32, "d": 3}),
    (mmd_bench.case(), {"n": 32, "d": 3}),
    (damsm_bench.case(), damsm_bench.case(quick=True).sizes[0]),
    (image_metrics_bench.frechet_case(), {"d": 8}),
    (image_metrics_bench.kid_case(), {"n": 20, "d": 8}),
    *(
        (case, {"pixels": 6, "from": 3, "to": 2})
        for case in layers_bench.cases()
        if case.name in ("layers_transposed_3x3", "layers_penalty_4x4")
    ),
]


@pytest.mark.parametrize(("the_case", "size"), SMALL, ids=lambda value: getattr(value, "name", ""))
def test_all_implementations_compute_the_same(the_case, size):
    rows = timed(the_case, size, budget=60.0)
    assert {row["status"] for row in rows} == {"measured"}
    expected = {i.name for i in the_case.implementations if harness.present(i)}
    assert {row["implementation"] for row in rows} == expected
    for row in rows:
        # float32 on both sides, of statistics that are small differences of larger terms
        if row["comparable"]:
            assert row["difference_from_ours"] < 2e-4, row


def timed(the_case, size, *, budget):
    """Rows of one call of every implementation at one size, on a machine of made-up rates."""
    rates = limits.Rates(bandwidth=((1000, 100.0),), flops=1e6, comparisons=1e3, exponentials=1e2)
    rows = []
    cases = [dataclasses.replace(the_case, sizes=[size])]
    harness.run(cases, rates, Options(budget=budget, repeats=1), rows.append, progress=lambda line: None)
    return rows


def _synthetic_rows(suite, seconds):
    rows = []
    for the_case in suite.cases():
        for size in the_case.sizes:
            for one in the_case.implementations:
                for mode in ("value", "value_and_grad", "step"):
                    row = {"case": the_case.name, "task": one.task, "mode": mode, **size, "implementation": one.name}
                    taken = seconds if one.name == OURS else 1.0
                    counts = {"compiled_bytes": 2**20, "process_bytes": 2**31 if seconds > 1 else None}
                    limit = {"times_limit": 2.0, "limit_from": "flops"}
                    rows.append({**row, "status": "measured", "seconds": taken, **counts, **limit})
    return rows


@pytest.mark.fast
def test_every_target_finds_its_rows_in_the_full_sweep(monkeypatch):
    monkeypatch.setattr(distances_suite, "_import_line", lambda repeats: "import: met")
    met = distances_suite.figures(_synthetic_rows(distances_suite, 0.01))
    missed = distances_suite.figures(_synthetic_rows(distances_suite, 10.0))
    nothing = distances_suite.figures([])
    assert len(met) == len(missed) == len(nothing) > 30
    assert all(line.endswith(": met") for line in met)
    assert all(line.endswith(": NOT met") for line in missed[:-1])
    assert all(line.endswith(": not measured in this run") for line in nothing[:-1])


@pytest.mark.fast
def test_the_clip_suite_compares_with_pytorch_and_counts_operations_as_published():
    for seconds, verdict in ((0.5, ": met"), (2.0, ": NOT met")):
        lines = clip_suite.figures(_synthetic_rows(clip_suite, seconds))
        assert len(lines) == 2 and all(line.endswith(verdict) and "2.00 times the least" in line for line in lines)
    assert all(line.endswith("not measured in this run") for line in clip_suite.figures([]))
    # docs/model_profile.csv of OpenCLIP has 8.82 billion operations for an image.
    assert clip_suite.least_work("embed", "value", {"batch": 1}).flops == pytest.approx(8.82e9, rel=1e-3)


@pytest.mark.parametrize(
    ("the_case", "size"),
    [(kmeans_bench.case(), {"n": 300, "d": 4, "k": 5}), (regression_bench.case(), {"n": 12, "d": 3})],
    ids=lambda value: getattr(value, "name", ""),
)
def test_gaussian_process_peers_compute_the_same(the_case, size):
    # Some of the first calls load code for seconds: a budget that none of them spends.
    rows = timed(the_case, size, budget=600.0)
    assert {row["status"] for row in rows} == {"measured"}
    tasks = {(i.name, i.task) for i in the_case.implementations if harness.present(i)}
    assert {(row["implementation"], row["task"]) for row in rows} == tasks
    compared = [row for row in rows if row["difference_from_ours"] is not None and row["implementation"] != OURS]
    assert len(compared) >= (1 if the_case.name == "kmeans" else 5)
    for row in compared:
        # float32 on both sides; forty steps of a descent, and labels, carry its rounding on
        assert row["difference_from_ours"] < 5e-4, row


def test_the_image_is_the_same_with_every_library_up_to_its_clusters():
    (size,), inputs = tone_map_bench.case(quick=True).sizes, tone_map_bench.make_inputs({"k": 10})
    made = {}
    for one in tone_map_bench.case().implementations:
        function, arrays = one.build(size)["value"], [inputs[name] for name in one.arguments]
        if one.name == OURS and one.task != "luminance":  # the same function, of another size: traced, not compiled
            assert jax.eval_shape(function, *arrays[:2], 0).shape == arrays[0].shape
        elif harness.present(one):
            prepared = one.backend.prepare(function, [one.backend.put(array) for array in arrays])
            made[one.task, one.name] = np.asarray(prepared.call())
    ours = made["luminance", OURS]
    assert ours.shape == (256, 256, 1)
    for (task, name), theirs in made.items():
        # Other seeds, other clusters: the curve is the same one, not the same number.
        theirs = theirs if task == "luminance" else np.asarray(color.luma(jnp.asarray(theirs)))
        assert np.abs(ours - theirs).mean() < 0.05, (task, name)
    assert len(made) == 5 and ours.mean() > 1.5 * inputs["luma"].mean()


@pytest.mark.fast
def test_image_metrics_targets_find_their_rows():
    for seconds, end in ((0.01, ": met"), (10.0, ": NOT met")):
        lines = image_metrics_suite.figures(_synthetic_rows(image_metrics_suite, seconds))
        assert len(lines) == 10 and all(line.endswith(end) for line in lines)
    assert all(line.endswith(": not measured in this run") for line in image_metrics_suite.figures([]))


@pytest.mark.fast
def test_gaussian_process_targets_find_their_rows():
    met = gaussian_process_suite.figures(_synthetic_rows(gaussian_process_suite, 0.01))
    missed = gaussian_process_suite.figures(_synthetic_rows(gaussian_process_suite, 10.0))
    assert len(met) == len(missed) > 60
    # GPE is ours too: its share is 1 in both.
    share = [line for line in met if "at most 0.25" in line]
    assert len(share) == 1 and share[0].endswith("1.00× (10 ms against 10 ms): NOT met")

    def targets(lines):
        return [line for line in lines if "Gflop" not in line and "ended after 12 steps" not in line]

    judged = [line for line in targets(met) if "share of GPE's time (" not in line]
    assert all(line.endswith(": met") for line in judged if line not in share)
    again = [line for line in targets(missed) if "share of GPE's time" not in line]
    assert len(again) == len(judged) - 1 and all(line.endswith(": NOT met") for line in again)
    nothing = gaussian_process_suite.figures([])
    assert nothing and all(line.endswith(": not measured in this run") for line in nothing)


@pytest.mark.fast
def test_the_translation_suite_takes_pytorch_s_better_layout_and_counts_cpu_time():
    lines = translation_suite.figures(_synthetic_rows(translation_suite, 0.5))
    tasks, whole = layers_bench.tasks(), translators_bench.cases()
    of_peers = [line for line in lines if "by hand" not in line]
    assert len(of_peers) == len(tasks) + sum(len(case.sizes) for case in whole)
    assert all("0.50 of PyTorch" in line for line in of_peers)
    # A step by hand is no peer, and what ours may take of it is asked beside.
    by_hand = [line for line in lines if "by hand" in line]
    assert len(by_hand) == 4 and all(
        line.endswith("0.50 of the same step by hand, at most 1.05: met") for line in by_hand
    )
    assert [line for line in lines if line.startswith("penalty_4x4 64->128") and line.endswith("at most 1.00: met")]
    missed = translation_suite.figures(_synthetic_rows(translation_suite, 2.0))
    asked = sum(
        (kind, size["from"]) in layers_bench.TARGETS or (kind, None) in layers_bench.TARGETS for kind, size in tasks
    )
    assert sum("NOT met" in line for line in missed) == asked + len(lines) - len(tasks)
    assert all(line.endswith("not measured in this run") for line in translation_suite.figures([]))
    assert {case.clock for case in layers_bench.cases()} == {time.process_time}


@pytest.mark.fast
def test_text_to_image_targets_find_their_rows():
    for seconds, end in ((0.01, ": met"), (10.0, ": NOT met")):
        lines = text_to_image_suite.figures(_synthetic_rows(text_to_image_suite, seconds))
        asked = [line for line in lines if " met" in line]
        # Of memory the made-up rows say one MiB in both.
        assert len(lines) == 12 and len(asked) == 9
        assert all(line.endswith(end) for line in asked if "memory" not in line), asked
    assert all(line.endswith("not measured in this run") for line in text_to_image_suite.figures([]))


def test_the_training_suite_compares_with_pytorch_and_takes_the_distance_s_share():
    rows = _synthetic_rows(training_suite, 0.5)
    for row in rows:
        if row["task"] == "no_distance" and row["implementation"] == OURS:
            row["seconds"] = 0.3
    lines = training_suite.figures(rows)
    assert len(lines) == 8
    assert "50 slices, one step, faster than PyTorch: 2.00× (256 images/s against 128 images/s" in lines[0]
    assert lines[1].endswith("at most 30%: 40% (without it 427 images/s, with it 256 images/s): NOT met")
    assert all("NOT" not in line for line in lines[4:])  # no target at 1000 slices
    assert all(line.endswith("not measured in this run") for line in training_suite.figures([]))


def test_a_training_step_learns_in_both_libraries():
    size = {"batch": 32, "slices": 5}
    (the_case,) = training_suite.cases()
    inputs = training_suite.make_inputs(size)["batches"]
    for one in the_case.implementations:
        if harness.present(one):
            step = one.build(size)["step"]
            losses = [float(step(inputs)) for _ in range(40)]
            assert np.isfinite(losses).all() and np.mean(losses[-10:]) < np.mean(losses[:10]) - 10, one


@pytest.mark.fast
def test_restrict_keeps_the_sizes_asked_for_and_says_what_there_is():
    cases = gaussianization_suite.cases()
    (case,) = run.restrict(cases, ["n=1000", "n=10000", "d=2"])
    assert list(case.sizes) == [{"n": 1000, "d": 2}, {"n": 10_000, "d": 2}]
    assert run.restrict(cases, []) == cases
    for values, told in (
        (["n"], "'n' is not a name and a whole number"),
        (["k=3"], "no size has 'k'; they have d, n"),
        (["n=7"], "no size has n=7"),
    ):
        with pytest.raises(app.UsageError, match=told):
            run.restrict(cases, values)


@pytest.mark.fast
def test_select_names_the_nearest_case():
    cases = distances_suite.cases()
    assert [c.name for c in run.select(cases, ["cramer", "mmd"])] == ["cramer_wold_multivariate", "cramer_wold", "mmd"]
    assert run.select(cases, []) == cases
    with pytest.raises(app.UsageError, match="did you mean sorting"):
        run.select(cases, ["sortin_"])


def test_command(tmp_path):
    command = [sys.executable, "-m", "benchmarks.run", "distances", "--quick", "--only=cramer_wold_m"]
    done = subprocess.run([*command, f"--output={tmp_path}"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Figures to reach" in done.stdout and "Absent peers" in done.stdout
    records = [json.loads(line) for line in (tmp_path / report.RESULTS).read_text().splitlines()]
    assert [records[0]["kind"], records[-1]["kind"]] == ["header", "figure"]
    assert any(record.get("implementation") == OURS for record in records)
    assert (tmp_path / report.TABLES).exists() and (tmp_path / plot.PLOT).exists()
