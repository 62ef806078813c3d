"""Claims, summaries, tables beside a paper's, progress, and what a script checks before it works."""

import io
import json
import re

import pytest
from absl import app, flags

from gentoolkit import report, study

pytestmark = pytest.mark.fast


def test_a_claim_says_its_verdict():
    assert str(study.Claim("CM beats LM", True, "at 7 of 7 k")) == "holds: CM beats LM (at 7 of 7 k)"
    assert str(study.Claim("it grows", False)) == "DOES NOT HOLD: it grows"
    assert str(study.Claim("it grows", None, "one size")) == "not decided: it grows (one size)"


def test_summaries_have_mean_and_spread():
    assert study.summary([1.0, 3.0]) == (2.0, pytest.approx(2**0.5), 2)
    assert study.summary([1.0, 3.0]).text() == "2 ± 1.4"
    assert study.summary([2.5]).text(".2f") == "2.50"
    assert study.summary([]).text() == "-"
    assert study.summary([1.0, None]).text() == study.summary([float("inf")]).text() == "not finite"
    assert study.interval(0.5, 0.4, 0.61, ".2f") == "0.50 [0.40, 0.61]"


def test_a_paper_stands_beside_ours():
    table = study.beside(
        {"skewness": {"swae": [1.0, 3.0], "ae": [4.0]}, "error": {"swae": 0.125, "ae": "n/a"}, "ours": {"swae": None}},
        {"skewness": {"swae": 35.86}, "error": {}, "not ours": {"swae": 1.0}},
        columns=["swae", "ae"],
        labels={"skewness": "skewness (raw)"},
        digits={"skewness": ".2f"},
        caption="two seeds",
    )
    assert table.columns == ["", "swae", "ae"] and table.caption == "two seeds"
    assert table.rows == [
        ["skewness (raw), ours", "2.00 ± 1.4", "4.00"],
        ["skewness (raw), paper", "35.86", "-"],
        ["error, ours", "0.125", "n/a"],
        ["ours, ours", "-", "-"],
    ]


def test_names_are_checked_with_the_nearest():
    assert study.choose("--method", "swae", ["swae", "ae"]) == "swae"
    assert study.choose("preset", "small", {"small": 3}) == 3
    with pytest.raises(ValueError, match=r"--method must be one of swae, ae; got 'swea'\. Did you mean 'swae'\?"):
        study.choose("--method", "swea", ["swae", "ae"])
    assert study.nearest("xyz", ["swae"]) == ""


def test_lists_of_names_and_numbers_are_checked():
    assert study.chosen("--methods", ["b", "a", "b"], ["a", "b"]) == ["b", "a"]
    assert study.chosen("--methods", [], {"a": 1, "b": 2}) == ["a", "b"]
    with pytest.raises(ValueError, match="--methods must be one of a, b; got 'c'"):
        study.chosen("--methods", ["a", "c"], ["a", "b"])
    assert study.numbers("--dims", ["3", "10", "3", "2"], least=2) == [3, 10, 2]
    assert study.numbers("--dofs", ["2.5"], of=float) == [2.5]
    for texts in (["3", "x"], ["1"], ["2.5"], [], [""]):
        with pytest.raises(ValueError, match="--dims must be whole numbers of at least 2, with commas"):
            study.numbers("--dims", texts, least=2)
    for texts in (["nan"], ["inf"], ["1", "b"]):
        with pytest.raises(ValueError, match="--dofs must be finite numbers"):
            study.numbers("--dofs", texts, of=float)


def test_runs_are_trained_once_and_again_where_they_are_gone_or_changed(tmp_path):
    trained, epochs = [], [1.5]

    def train(config, workdir):
        trained.append(workdir.name)
        workdir.mkdir(exist_ok=True)
        (workdir / "config.json").write_text(json.dumps(config))
        if epochs[0] == 6.0 and len(trained) % 2:
            raise KeyboardInterrupt
        return {"test/error": config["seed"] + config["epochs"]}

    def complete():
        keys = [{"method": "ae", "seed": seed} for seed in range(2)]
        return study.complete_runs(tmp_path, keys, lambda key: key | {"epochs": epochs[0], "shape": (8, 8)}, train)

    first = complete()
    assert [run.metrics["test/error"] for run in first] == [1.5, 2.5] and first[1].workdir == tmp_path / "ae-1"
    assert complete() == first and trained == ["ae-0", "ae-1"]
    (tmp_path / "ae-0" / "config.json").unlink()  # as where the folder was taken away
    assert complete() == first and trained[2:] == ["ae-0"]
    epochs[0] = 3.0
    assert complete()[0].metrics == {"test/error": 3.0} and trained[3:] == ["ae-0", "ae-1"]
    epochs[0] = 1.5  # measured before, but the folder now holds the longer run: `train` has to say what of it
    complete()
    assert trained[5:] == ["ae-0", "ae-1"]
    epochs[0] = 6.0
    trained.append("")
    for _ in range(2):  # stopped while it was made longer: what is in the file is of the shorter run
        with pytest.raises(KeyboardInterrupt):
            complete()
        trained.append("")
    assert trained[8::2] == ["ae-0", "ae-0"]


class _Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_tells_the_time_left(terminal, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("gentoolkit.study.progress.time.monotonic", lambda: clock[0])
    stream = _Stream(terminal)
    with study.Progress(5, stream=stream) as progress:
        for index in range(5):
            progress.begin(f"item {index}")
            clock[0] += 6.0
            progress.end()
    lines = [line.removesuffix("\x1b[K") for line in re.split(r"[\r\n]+", stream.getvalue()) if line]
    if terminal:
        assert len(lines) == 6 and lines[1] == "[2/5] item 1  left 24 s"
    else:  # every ten seconds
        assert lines[:2] == ["[1/5] item 0", "[3/5] item 2  left 18 s"]
    assert lines[-1] == "[5/5] item 4  all done in 30 s" and stream.getvalue().endswith("\n")


def test_durations_are_those_of_a_person():
    told = {8.4: "8 s", 59.6: "1 min 0 s", 125: "2 min 5 s", 3599.6: "1 h 0 min", 12_000: "3 h 20 min"}
    assert {seconds: study.duration(seconds) for seconds in told} == told


def test_a_script_checks_before_it_works(tmp_path):
    calls = []
    started = study.script(lambda: calls.append(1) or 3, folder="folder_of_test")
    flags.DEFINE_string("folder_of_test", None, "")
    assert started(["program"]) == 3
    with pytest.raises(app.UsageError, match="Did not understand 'seeds=3': flags begin with --"):
        started(["program", "seeds=3"])
    (tmp_path / "file").write_text("")
    flags.FLAGS.folder_of_test = str(tmp_path / "file" / "below")
    with pytest.raises(app.UsageError, match=r"--folder_of_test: cannot write to '.*below': Not a directory\."):
        started(["program"])
    flags.FLAGS.folder_of_test = ""
    with pytest.raises(app.UsageError, match="--folder_of_test is empty"):
        started(["program"])
    flags.FLAGS.folder_of_test = str(tmp_path / "new" / "folder")
    assert started(["program"]) == 3 and (tmp_path / "new" / "folder").is_dir() and calls == [1, 1]


def test_results_are_printed_and_written(tmp_path, capsys):
    table = report.Table(["a", "b"], [["x", 1]], "Caption.")
    claims = [study.Claim("a < b", True, "1 < 2")]
    chart = report.Chart("errors", {"": [(1, 2.0), (2, 1.0)]})
    page = study.publish(tmp_path, "t", chart, title="T", table=table, claims=claims, config={"size": 3})
    text = "| a | b |\n| --- | --- |\n| x | 1 |\n\nCaption.\n\n- holds: a < b (1 < 2)\n"
    assert (tmp_path / "t.md").read_text() == text and text in capsys.readouterr().out
    html = page.read_text()
    assert page == tmp_path / "t.html" and "holds: a &lt; b (1 &lt; 2)" in html and "<svg" in html and ">size<" in html
