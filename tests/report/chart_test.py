"""Charts: points stand where their values are, axes of any range have ticks that tell values apart, breaks break."""

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gentoolkit import report
from gentoolkit.report import axis, chart

pytestmark = pytest.mark.fast


def _path(svg):
    """Points of the first line, in pixels."""
    path = re.search(r'<path d="(M[^"Zv]*)" fill="none" class', svg).group(1)
    return np.array([[float(v) for v in pair.split()] for pair in re.split("[ML]", path)[1:]])


@pytest.mark.parametrize(("log_x", "log_y"), [(False, False), (True, False), (False, True), (True, True)])
def test_points_stand_where_their_values_are(log_x, log_y):
    x, y = np.array([1.0, 10.0, 100.0]), np.array([2.0, 4.0, 32.0])
    svg = report.chart.svg(report.Chart("t", {"a": list(zip(x, y, strict=True))}, log_x=log_x, log_y=log_y))
    ElementTree.fromstring(svg)
    places = _path(svg)
    at = [np.log(x) if log_x else x, -(np.log(y) if log_y else y)]  # y runs downwards in pixels
    for pixels, values in zip(places.T, at, strict=True):
        share = (values - values[0]) / (values[-1] - values[0])
        np.testing.assert_allclose((pixels - pixels[0]) / (pixels[-1] - pixels[0]), share, atol=2e-3)


@pytest.mark.parametrize(
    "values",
    [[0.0], [3.0], [1e-30, 2e-30], [-1.7e308, 1.7e308], [5e-324, 1e-323], [1.7e9, 1.7e9 + 5], [-1.0, 1.0], [1e300] * 2],
)
@pytest.mark.parametrize("log", [False, True, None])
def test_every_range_has_an_axis_with_ticks_that_differ(values, log):
    made = axis.Axis(values, log, most=5)
    shares = [made.share(value) for value in values if not made.log or value > 0]
    assert all(0 <= share <= 1 for share in shares) and shares == sorted(shares)
    labels = [label for _, label in made.ticks]
    assert labels and len(set(labels)) == len(labels) and len(labels) <= 11
    places = [share for share, _ in made.ticks]
    assert places == sorted(places)
    for share, label in made.ticks:
        value = float(label)
        if abs(value) < 1e308:  # what is written stands where it lies
            np.testing.assert_allclose(made.share(value), share, atol=1e-3)


def test_ticks_are_those_of_a_person():
    assert [label for _, label in axis.Axis([500, 50_000], True, most=5).ticks] == [
        "500", "1000", "2000", "5000", "10000", "20000", "50000"
    ]  # fmt: skip
    assert [label for _, label in axis.Axis([1e-7, 1e7], True, most=5).ticks] == ["1e-6", "0.001", "1", "1000", "1e6"]
    assert [label for _, label in axis.Axis([0.0, 0.97], False, most=5).ticks] == [
        "0.0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1.0",
    ]
    made = axis.Axis([0.0, 10.0], False, most=5)
    np.testing.assert_allclose([made.share(0.0), made.share(10.0)], [0.04 / 1.08, 1.04 / 1.08])


def test_the_logarithm_is_taken_where_it_helps():
    assert axis.Axis([1.0, 100.0], None, most=5).log
    assert not axis.Axis([1.0, 20.0], None, most=5).log
    assert not axis.Axis([0.0, 100.0], None, most=5).log
    assert not axis.Axis([-1.0, 0.0], True, most=5).log  # nothing to show on one
    assert axis.Axis([-1.0, 2.0, 50.0], True, most=5).share(-1.0) is None


def test_what_is_no_number_breaks_the_line():
    line = [(0, 1.0), (1, 2.0), (2, None), (3, math.nan), (4, 3.0), (5, math.inf), (6, 4.0), (7, 5.0)]
    svg = chart.svg(chart.Chart("t", {"a": line}))
    assert re.search(r'<path d="(M[^"]*)" fill', svg).group(1).count("M") == 3
    assert svg.count("<circle") == 5
    assert chart.Chart("t", {"a": [(0, None), (1, math.nan)]}).is_empty()
    assert report.curves({"t": {"a": [(0, None)]}}) == ""
    assert report.figure([chart.Chart("t", {"a": []})]) == ""


def test_a_long_line_keeps_its_peaks():
    y = np.zeros(20_000)
    y[12_345], y[777] = 5.0, -3.0
    svg = chart.svg(chart.Chart("t", {"a": list(enumerate(y))}))
    assert len(svg) < 40_000
    heights = _path(svg)[:, 1]
    level = np.median(heights)
    np.testing.assert_allclose((heights.max() - level) / (level - heights.min()), 3 / 5, atol=0.01)


def test_a_name_has_one_colour_in_all_charts_and_texts_are_escaped():
    charts = [chart.Chart("a < b", {"one": [(0, 1.0)], "<two>": [(0, 2.0)]}), chart.Chart("c", {"<two>": [(0, 1.0)]})]
    page = report.charts(*charts)
    assert "<two>" not in page and "a < b" not in page
    styles = dict(chart.legend(charts))
    assert styles["one"] != styles["<two>"] and styles["<two>"] in page
    assert styles["<two>"] in chart.svg(charts[1], chart.line_names(charts))
    for root in (ElementTree.fromstring(report.figure(charts)), ElementTree.fromstring(f"<div>{page}</div>")):
        assert sum("two" in "".join(e.itertext()) for e in root.iter() if e.tag.endswith(("text", "span"))) == 1
    one = report.charts(chart.Chart("t", {"": [(0, 1.0), (1, 2.0)]}, levels={"truth": 1.5}))
    assert ElementTree.fromstring(f"<div>{one}</div>").find(".//p").itertext().__next__() == "truth"


def test_dots_stand_alone_in_a_square():
    angle = np.linspace(0, 2 * np.pi, 13)[:-1]
    dots = list(zip(np.cos(angle), np.sin(angle), strict=True))
    svg = chart.svg(chart.Chart("circle", {"a": [*dots, (0, None)]}, joined=False, square=True, log_y=False))
    path = re.search(r'<path d="(M[^"]*h0)" stroke-linecap="round"', svg).group(1)
    places = np.array([[float(v) for v in pair.split()] for pair in re.findall(r"M([^h]*)h0", path)])
    assert len(places) == 12
    radii = np.linalg.norm(places - places.mean(axis=0), axis=1)
    np.testing.assert_allclose(radii, radii.mean(), rtol=2e-3)  # round, as it is


def test_spreads_and_limits():
    line = [(k, 1.0, 0.5) for k in range(3)]
    wide = chart.svg(chart.Chart("t", {"a": line}, log_y=False))
    bars = re.search(r'<path d="(M[^"]*V[^"]*)" fill="none" class="c0"', wide).group(1)
    assert bars.count("V") == 3
    low, high = (float(v) for v in re.match(r"M[\d.]+ ([\d.]+)V([\d.]+)", bars).groups())
    middle = float(re.search(r'<circle cx="[^"]*" cy="([^"]*)"', wide).group(1))
    np.testing.assert_allclose([low - middle, middle - high], (low - high) / 2, atol=0.1)
    band = chart.svg(chart.Chart("t", {"a": [(k, 1.0, 0.5) for k in range(40)]}))
    assert 'fill-opacity=".18"' in band
    # Where a line leaves the axes is where it would: what lies outside keeps its place.
    places = _path(chart.svg(chart.Chart("t", {"a": [(0, 0.0), (1, 20.0)]}, y_limits=(0, 2), log_y=False)))
    axis_height = chart._HEIGHT - chart._BOTTOM - chart._TOP
    np.testing.assert_allclose(places[0, 1] - places[1, 1], 10 * axis_height, rtol=1e-3)
    ticks = [float(label) for _, label in axis.Axis([1.0], False, most=5, reach=[9.0], limits=(0, 2)).ticks]
    assert min(ticks) == 0 and max(ticks) == 2
