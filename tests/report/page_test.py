"""Pages: self-contained, escaped, whole; missing files named; contact sheets hold the pixels they were given."""

import errno
import json
import re

import numpy as np
import pytest

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
    for text in (">one</th>", ">two</th>", "2 runs", "Configuration of two"):
        assert text in page
    with pytest.raises(ValueError, match="at least one run"):
        report.write_comparison(tmp_path / "all.html", {}, title="None")


@pytest.mark.fast
def test_curves_of_several_seeds_are_their_mean_and_spread(tmp_path):
    runs = {"both": [report.read(_run(tmp_path / name, offset)) for name, offset in (("a", 0.0), ("b", 2.0))]}
    runs["one"] = runs["both"][:1]
    curves = report.averages(runs)
    assert curves["test/error"]["both"] == [(s, s + 1.0, pytest.approx(2**0.5)) for s in range(4)]
    assert curves["test/error"]["one"] == [(s, s, 0.0) for s in range(4)]
    assert curves["player/loss"]["both"][2] == (2, None, 0.0)  # where one of them was not finite


@pytest.mark.fast
def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere is not the folder of a run: it has no config\.json"):
        report.write_run(tmp_path / "nowhere")
    run = _run(tmp_path / "run")
    (run / "pictures" / "samples.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"samples\.png"):
        report.write_run(run)
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"st')  # as a kill, or a run that goes on, leaves it
    assert report.read(run).metrics == {"loss": [(1, 2.0)]}
    (run / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2"):
        report.write_run(run)


@pytest.mark.fast
def test_a_page_of_anything(tmp_path):
    strip, photograph = np.zeros((480, 1, 3)), np.random.default_rng(0).random((40, 40, 3))
    path = report.write_page(
        tmp_path / "new" / "page.html",
        "A sentence & <b>no tag</b>.",
        report.Table(["name", "PSNR"], [["<i>", 12.5], ["b", 9]], "Under it."),
        report.section("Empty"),
        report.section("Folded", report.bullets(["one", "<two>"]), folded="a list"),
        report.values({"estimate": "0.5 < 1", "interval": "[0.4, 0.6]"}),
        report.Chart("one line", {"": [(1, 2.0), (2, 3.0)]}, x="samples"),
        report.pictures([(strip, "a strip"), photograph]),
        report.sheet([[(strip, "d = 0.1"), None], [photograph]], columns=["query", "nearest"], labels=["a", "b"]),
        report.provenance("python -m x --name='a b'", facts={"commit": "abc", "nothing": None}),
        title="Title <here>",
        subtitle="sub & title",
    )
    page = path.read_text()
    assert (
        re.search(
            "<(?!/?(html|head|body|title|style|meta|link|h1|h2|p|section|div|span|table|caption|thead|tbody|tr|th"
            "|td|ul|li|dl|dt|dd|pre|figure|figcaption|img|svg|path|text|circle|details|summary|!doctype))",
            page,
        )
        is None
    )
    assert all(s.startswith("data:") for s in re.findall(r'(?:src|href)="([^"#][^"]*)"', page))
    assert page.count("<figure") == 4 and page.count("<figcaption") == 2 and page.count("d = 0.1") == 2
    assert "Empty" not in page and "python -m x --name=&#x27;a b&#x27;" in page and "commit abc" in page
    assert "prefers-color-scheme: dark" in page
    assert list(tmp_path.glob("new/*")) == [path]  # no file beside it is left
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # for others to read, as any file
    with pytest.raises(TypeError, match="A block is text, HTML, a Table or a Chart, got dict"):
        report.write_page(path, {"a": 1}, title="x")
    with pytest.raises(ValueError, match="Row 2 of a table has 1 cells, not 2"):
        report.write_page(path, report.Table(["a", "b"], [[1, 2], [3]]), title="x")
    with pytest.raises(ValueError, match="labels must be as many as rows, got 1 for 2"):
        report.sheet([[strip], [strip]], labels=["a"])
    with pytest.raises(ValueError, match="A row has 2 pictures, more than the 1 columns"):
        report.sheet([[strip, strip]], columns=["a"])
    assert path.read_text() == page  # what failed left the old page


@pytest.mark.fast
def test_names_that_are_no_text_do_not_stop_a_page(tmp_path):
    page = report.write_page(tmp_path / "p.html", "caf\udce9.jpg and a bell\x07", title="\udcff").read_text()
    assert "caf\\udce9.jpg and a bell\ufffd" in page


@pytest.mark.fast
def test_markdown_keeps_its_columns():
    made = report.Table(["a|b", "c"], [["x | y", "two\nlines"]], "Caption.").markdown()
    assert made == "| a\\|b | c |\n| --- | --- |\n| x \\| y | two lines |\n\nCaption.\n"


@pytest.mark.fast
def test_a_page_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        report.write_page(tmp_path / "file" / "page.html", title="x")


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("page.html", lambda path: report.write_page(path, "text", title="new")),
        ("summary.json", lambda path: report.write_summary(path.parent, title="new", command="")),
        ("grid.png", lambda path: report.save_grid(path, np.zeros((1, 8, 8, 1)))),
    ],
)
def test_a_full_disk_leaves_the_old_file(name, write, tmp_path, monkeypatch):
    path = tmp_path / name
    path.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gentoolkit.report.files.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
