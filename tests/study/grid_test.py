"""Grids: cells are measured once, a kill at any byte costs one cell and no other, changed settings are recognized."""

import json
import math
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from gentoolkit import study
from gentoolkit.study import grid

pytestmark = pytest.mark.fast
ROOT = pathlib.Path(__file__).parents[2]
KEYS = [{"method": m, "n": n} for n in (10, 20) for m in ("a", "b")]


class Measure:
    def __init__(self):
        self.calls = []

    def __call__(self, key):
        self.calls.append(dict(key))
        return {"value": key["n"] * (1.5 if key["method"] == "a" else 2.0), "found": [1, None]}


def test_cells_are_measured_once_and_come_in_the_order_asked_for(tmp_path):
    path, measure = tmp_path / "new" / "r.jsonl", Measure()
    rows = study.complete(path, KEYS[:2], measure)
    assert rows[0] == {"method": "a", "n": 10, "value": 15.0, "found": [1, None]}
    again = study.complete(path, KEYS[::-1], measure)
    assert measure.calls == [*KEYS[:2], *KEYS[:1:-1]] and [row["n"] for row in again] == [20, 20, 10, 10]
    assert again[-1] == rows[0]
    cells = study.read(path)
    assert [cell.key for cell in cells] == measure.calls and all(cell.seconds >= 0 for cell in cells)
    assert study.read(tmp_path / "none.jsonl") == []
    assert study.group(again, "n") == {(20,): again[:2], (10,): again[2:]}


def test_a_file_cut_off_at_any_byte_of_its_last_line_loses_that_cell_alone(tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    more = [*KEYS, {"method": "a", "n": 30}]
    study.complete(path, KEYS, Measure())
    whole = [key | Measure()(key) for key in more]
    content = path.read_bytes()
    last = content.rfind(b"\n", 0, -1) + 1
    for end in range(last, len(content) + 1):
        path.write_bytes(content[:end])
        measure = Measure()
        assert study.complete(path, more, measure) == whole
        assert measure.calls == (more[-2:] if end < len(content) - 1 else more[-1:])
        assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == more
    path.write_bytes(content[: last + 9] + content[last:] + b"\0\0\0")  # what older programs left, and zeros
    measure = Measure()
    capsys.readouterr()
    assert study.complete(path, KEYS, measure) == whole[:-1] and measure.calls == KEYS[-1:]
    assert "line 4 was cut off" in capsys.readouterr().err
    assert len(study.read(path)) == 4


def test_other_settings_are_recognized_and_kept(tmp_path, capsys):
    path, measure = tmp_path / "r.jsonl", Measure()
    study.complete(path, KEYS, measure, config={"size": 256, "weights": None})
    study.complete(path, KEYS[:1], measure, config={"size": 128, "weights": None})
    assert measure.calls == [*KEYS, KEYS[0]]
    assert "1 cells were measured under other settings (size = 256, now 128)" in capsys.readouterr().err
    study.complete(path, KEYS, measure, config={"weights": None, "size": 256.0})
    assert len(measure.calls) == 5 and len(study.read(path)) == 5


def test_cells_that_are_no_longer_valid_are_measured_again(tmp_path):
    path, measure = tmp_path / "r.jsonl", Measure()
    study.complete(path, KEYS, measure)
    study.complete(path, KEYS, measure, still_valid=lambda row: row["n"] == 10 or row["value"] != 40.0)
    assert measure.calls[4:] == [{"method": "b", "n": 20}]


def test_values_become_what_json_gives_back(tmp_path):
    key = {"gamma": np.float64(1.5), "sizes": (1, 2), "n": np.int32(3)}
    values = {"x": np.float32(0.5), "nan": float("nan"), "row": np.arange(3), "path": tmp_path}
    (first,) = study.complete(tmp_path / "r.jsonl", [key], lambda key: values)
    (again,) = study.complete(tmp_path / "r.jsonl", [{"n": 3.0, "sizes": [1, 2], "gamma": 1.5}], Measure())
    for row in (first, again):
        assert math.isnan(row.pop("nan"))
        assert row == {"gamma": 1.5, "sizes": [1, 2], "n": 3, "x": 0.5, "row": [0, 1, 2], "path": str(tmp_path)}
    with pytest.raises(TypeError, match="object cannot"):
        study.complete(tmp_path / "r.jsonl", [{"a": object()}], Measure())
    with pytest.raises(ValueError, match="the name of a part of its key: n"):
        study.complete(tmp_path / "r.jsonl", [{"n": 1}], lambda key: {"n": 2})


@pytest.mark.parametrize("content", ['{"law": "t3", "value": 1}\n', "name,value\n1,2", "3\n", "\x89PNG\r\n", "[1, 2"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content.encode())
    with pytest.raises(ValueError, match="line 1, is not a cell of a grid"):
        study.complete(path, KEYS, Measure())
    assert path.read_bytes() == content.encode()


def test_two_processes_do_not_write_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "PATIENCE", 0.0)
    path = tmp_path / "r.jsonl"

    def measure(key):
        with pytest.raises(BlockingIOError, match="Another process is writing to"):
            study.complete(path, KEYS, Measure())
        return {"value": 1}

    study.complete(path, KEYS[:1], measure)


def test_a_failure_keeps_what_was_measured(tmp_path):
    path = tmp_path / "r.jsonl"

    def measure(key):
        if key == KEYS[2]:
            raise RuntimeError("out of memory")
        return {"value": 1}

    with pytest.raises(RuntimeError, match="out of memory"):
        study.complete(path, KEYS, measure)
    assert [cell.key for cell in study.read(path)] == KEYS[:2]


def test_a_killed_process_leaves_whole_lines(tmp_path):
    program = (
        "import os, sys; from gentoolkit import study\n"
        "def measure(key):\n"
        "    if key['n'] == 30: os.kill(os.getpid(), 9)\n"
        "    return {'values': list(range(20000))}\n"
        "study.complete(sys.argv[1], [{'n': n} for n in range(60)], measure)\n"
    )
    path = tmp_path / "r.jsonl"
    done = subprocess.run([sys.executable, "-c", program, path], cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_bytes().endswith(b"}\n") and len(study.read(path)) == 30
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~_mask()


def _mask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
