"""Pages: self-contained, escaped, whole; missing files named; contact sheets hold the pixels they were given."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from gentoolkit import report


def _run(folder, offset=0.0):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"seed": 1, "model": {"widths": [3, "<b>"]}}))
    lines = [{"step": s, "player/loss": 10.0 ** (-s) + offset, "test/error": s + offset} for s in range(4)]
    lines[2]["player/loss"] = None
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report.save_grid(folder / "pictures" / "samples.png", np.zeros((5, 8, 8, 1)))
    table = report.Table(["method", "paper"], [["<script>alert(1)</script>", "35.86"]], "Table 1")
    report.write_summary(
        folder, title="Run & more", command="python -m x --a='1'", table=table, pictures=[("samples.png", "a < b")]
    )
    return folder


@pytest.mark.fast
def test_the_page_of_a_run_is_self_contained_and_escaped(tmp_path):
    page = report.write_run(_run(tmp_path / "run")).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Run &amp; more" in page
    assert all(s.startswith("data:") for s in re.findall(r'(?:src|href)="([^"#][^"]*)"', page))
    assert page.count("data:image/png;base64,") == 1
    assert "<svg" in page
    for text in ("player/loss", "model.widths", "35.86", "python -m x --a=&#x27;1&#x27;"):
        assert text in page


@pytest.mark.fast
def test_comparison_shows_every_run(tmp_path):
    runs = {"one": _run(tmp_path / "a"), "two": _run(tmp_path / "b", 1.0)}
    page = report.write_comparison(tmp_path / "out" / "all.html", runs, title="Both").read_text()
    assert page.count("data:image/png;base64,") == 2
    for text in ("<th>one</th>", "<th>two</th>", "2 runs", "Configuration of two"):
        assert text in page
    with pytest.raises(ValueError, match="at least one run"):
        report.write_comparison(tmp_path / "all.html", {}, title="None")


@pytest.mark.fast
def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere is not the folder of a run: it has no config\.json"):
        report.write_run(tmp_path / "nowhere")
    run = _run(tmp_path / "run")
    (run / "pictures" / "samples.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"samples\.png"):
        report.write_run(run)
    (run / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2"):
        report.write_run(run)


@pytest.mark.fast
def test_grids_hold_the_pixels_in_order(tmp_path):
    images = np.linspace(0, 1, 6)[:, None, None, None] * np.ones((1, 50, 50, 1))
    sheet = np.asarray(Image.open(report.save_grid(tmp_path / "g.png", images, columns=3)))
    assert sheet.shape == (2 * 50 + 2, 3 * 50 + 4)
    np.testing.assert_array_equal(sheet[[0, 0, 0, 60, 60, 60], [0, 60, 110, 0, 60, 110]], [0, 51, 102, 153, 204, 255])
    small = np.asarray(Image.open(report.save_grid(tmp_path / "s.png", np.ones((1, 8, 8, 3)))))
    assert small.shape == (48, 48, 3)
    pairs = np.asarray(Image.open(report.save_pairs(tmp_path / "p.png", images, 1 - images, columns=3)))
    np.testing.assert_array_equal(pairs[[0, 60, 110, 160], [0, 0, 0, 0]], [0, 255, 153, 102])
    with pytest.raises(ValueError, match="images must be"):
        report.save_grid(tmp_path / "x.png", np.ones((3, 8, 8)))
    with pytest.raises(ValueError, match="Shapes must agree"):
        report.save_pairs(tmp_path / "x.png", images, images[:2])
