"""The destructor experiments: true values of the laws, the study, a trained flow."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.density_destructors import estimators, flow, laws, study
from experiments.density_destructors.config import get_config
from gentoolkit import training

ROOT = pathlib.Path(__file__).parents[2]


def test_a_copula_s_truth_is_that_of_its_normal_scores():
    law = laws.skewed_copula(4)
    x = np.asarray(law.draw(jax.random.key(0), 20_000), np.float64)
    scores = [np.log(x[:, 0]), None, None, np.log(x[:, 3])]
    # Log-normal features carry their normal scores openly: two of them, three apart.
    np.testing.assert_allclose(np.corrcoef(scores[0], scores[3])[0, 1], 0.5**3, atol=0.02)
    correlation = 0.5 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    np.testing.assert_allclose(law.total_correlation, -0.5 * np.linalg.slogdet(correlation)[1], rtol=1e-6)


def test_a_mixture_s_truth_lies_between_its_bounds():
    """One feature says which component it was, at most: I <= ln 2 + I within the components, and T >= I."""
    law = laws.two_normals(4)
    inside = -0.5 * np.log(1 - 0.25)  # of a chain that is cut once: the neighbours at the cut
    assert 0 < law.mutual_information <= np.log(2) + inside + 0.01
    assert law.total_correlation >= law.mutual_information


def test_circles_lie_on_their_radii():
    x = laws.circles(np.random.default_rng(0), 5000)
    radius = np.linalg.norm(x, axis=1)
    assert np.abs(radius - np.round(radius)).mean() < 0.1
    share = np.bincount(np.round(radius).astype(int), minlength=5)[1:5] / 5000
    np.testing.assert_allclose(share, [0.1, 0.2, 0.3, 0.4], atol=0.03)


def _rows(values, n=500, error=0.1, truth=1.0):
    return [
        {
            "law": "t3",
            "dim": 3,
            "n": n,
            "trial": trial,
            "estimator": estimators.RECOMMENDED,
            "value": value,
            "standard_error": error,
            "truth": truth,
        }
        for trial, value in enumerate(values)
    ]


@pytest.mark.fast
def test_the_claims_count():
    good = study.claims(_rows([0.9, 1.0, 1.1], n=500) + _rows([0.98, 1.02], n=5000))
    assert [claim.holds for claim in good] == [True, True, True]
    assert "n = 5000: the mean is within 15% of the truth (+0.0%)" in str(good[0])
    assert good[1].detail == "100% of 5"
    bad = study.claims(_rows([1.0], n=500) + _rows([1.5, 1.7], n=5000))
    assert [claim.holds for claim in bad] == [False, False, False]
    assert [claim.detail for claim in bad] == ["+60.0%", "33% of 3", "t3 d = 3 (0.000 to 0.600)"]


@pytest.mark.fast
def test_the_table_and_the_charts_show_bias_and_spread():
    rows = _rows([0.9, 1.3]) + [dict(row, estimator="ksg") for row in _rows([2.0], n=900)]
    made = study.table(rows)
    assert [list(row) for row in made.rows] == [
        ["t3", 3, 500, "1.0000", "+0.100 (0.283)", "-"],
        ["t3", 3, 900, "1.0000", "-", "+1.000 (0.000)"],
    ]
    (chart,) = study.charts(rows)
    assert chart.lines == {"likelihood": [(500, 1.1, pytest.approx(0.2828, rel=1e-3))], "ksg": [(900, 2.0, 0.0)]}
    assert chart.levels == {"truth": 1.0} and chart.log_x


def test_a_figure_is_made_of_its_grid(tmp_path):
    command = [sys.executable, "-m", "experiments.density_destructors.figure2", f"--workdir={tmp_path}", "--dims=3"]
    command += ["--dofs=3", "--sizes=200", "--noothers", "--estimators=exponential_family,ksg", "--trials=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    cells = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [cell["key"]["estimator"] for cell in cells] == ["exponential_family", "ksg"]
    assert all(cell["config"] == {"measure": "total_correlation"} for cell in cells)
    assert (tmp_path / "figure2.svg").read_text().count("<circle") == 2
    assert "<svg" in (tmp_path / "figure2.html").read_text()
    assert "| t3 | 3 | 200 | 0.1105 |" in (tmp_path / "figure2.md").read_text()


@pytest.mark.parametrize("criterion", ["likelihood", "total_correlation"])
def test_a_trained_flow_removes_what_there_is(criterion, tmp_path):
    config = get_config("skewed_copula")
    config.update(dim=3, num=4000, num_steps=200, evaluate_every=100, criterion=criterion, learning_rate=1e-2)
    config.model.num_layers = 2
    metrics = flow.run(config, tmp_path, training.make_mesh(num_devices=1))
    truth = laws.skewed_copula(3).total_correlation
    assert 0.5 * truth < metrics["test/total_correlation_removed"] < 1.3 * truth
    assert (tmp_path / "report.html").exists()
