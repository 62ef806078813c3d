"""Tables as people have them: read, or refused in a line; their measures, whatever their origin and unit."""

import gzip
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import zipfile

import jax
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from experiments.density_destructors import measures, quick, tables
from gentoolkit import information

ROOT = pathlib.Path(__file__).parents[2]
VALUES = np.round(np.random.default_rng(0).normal(size=(30, 3)), 4)


def text(separator=",", *, names="abc", decimal=".", end="\n"):
    rows = [separator.join(str(number).replace(".", decimal) for number in row) for row in VALUES]
    return end.join([separator.join(names), *rows] if names else rows) + end


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("xl/workbook.xml", "<x/>")
    return content.getvalue()


def changed(line, new):
    lines = text().split("\n")
    lines[line - 1] = new
    return "\n".join(lines)


NUMBERED = ("0", "1", "2")
NAMED = ("a", "b", "c")


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("t.csv", text(), NAMED),
        ("t.csv", text(names=""), NUMBERED),
        ("t.csv", "\ufeff" + text(), NAMED),
        ("t.csv", text(";"), NAMED),
        ("t.csv", text(";", decimal=","), NAMED),
        ("t.tsv", text("\t"), NAMED),
        ("t.csv", text("\t", decimal=","), NAMED),
        ("t.csv", text("|"), NAMED),
        ("T.CSV", text(end="\r\n"), NAMED),
        ("t.csv.gz", gzip.compress(text().encode(), mtime=0), NAMED),
        ("t.csv", text(names=("größe", "b", "c")).encode("latin-1"), ("größe", "b", "c")),
        ("t.csv", text().encode("utf-16"), NAMED),
        ("t.txt", text("   ", names=""), NUMBERED),
        ("t.txt", "# a b c\n" + text(" ", names=""), NAMED),
        ("t.csv", text(names=("year", "2019", "2020")), ("year", "2019", "2020")),
        ("t.csv", text(names=('"a, x"', "b", "c")), ("a, x", "b", "c")),
        ("t.csv", text().replace("\n", "\n\n"), NAMED),
        ("t.csv", text(end="\r"), NAMED),
        ("t.csv", text().encode("utf-32"), NAMED),
        ("t.csv", "sep=;\n" + text(";"), NAMED),
        ("t.csv", ('"' + text('","', decimal=",", end='"\n"'))[:-1], NAMED),
        ("t.csv", text(end=",\n"), NAMED),
        ("t.csv", text(names="", end=",\n"), NUMBERED),
        ("t.csv", text(names=("a", "", "c")), ("a", "1", "c")),
    ],
    ids=(
        "plain nameless BOM semicolon decimal-comma tab tab-comma pipe CRLF gz Latin-1 UTF-16 blanks savetxt years "
        "quoted blank-lines CR UTF-32 sep quoted-decimal-comma comma-at-end nameless-comma-at-end no-name"
    ).split(),
)
def test_texts_are_read_as_they_are_written(name, content, names, tmp_path):
    table = tables.read(write(tmp_path / name, content))
    assert table.names == names
    np.testing.assert_array_equal(table.values, VALUES)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("content", "decimal", "values", "note"),
    [
        ("a;b\n1.000;5\n12.345;0,5\n", "auto", [[1000, 5], [12345, 0.5]], "A point groups thousands in a."),
        ("a;b\n1.234,5;5\n2.000;7\n", "auto", [[1234.5, 5], [2000, 7]], "A point groups thousands in a."),
        ("a;b\n1.234.567;5\n2.000;7\n", "auto", [[1234567, 5], [2000, 7]], "A point groups thousands in a."),
        ("1.234,5;2.345,6\n3,5;4\n", "auto", [[1234.5, 2345.6], [3.5, 4]], "A point groups thousands in 0, 1."),
        ("a;b\n1.000;0.5\n2.500;-7\n", "auto", [[1, 0.5], [2.5, -7]], None),
        ("a;b\n0.125;5\n2.500;-7\n", "auto", [[0.125, 5], [2.5, -7]], None),
        ("a;b\n1234.500;5\n2.500;-7\n", "auto", [[1234.5, 5], [2.5, -7]], None),
        ('a;b\n"1,000.5";5\n"2,500";7\n', "auto", [[1000.5, 5], [2500, 7]], "A comma groups thousands in a."),
        ('a,b\n"1,000",0.5\n"2,500",7\n', "auto", [[1000, 0.5], [2500, 7]], "A comma groups thousands in a."),
        ("a,b\n1.000,5\n2.500,7\n", "auto", [[1, 5], [2.5, 7]], None),  # points between commas are for decimals
        ("a\tb\n1.000\t5\n2.500\t7\n", "auto", [[1, 5], [2.5, 7]], None),
        ("a;b\n1.000;5\n2.500;7\n", "point", [[1, 5], [2.5, 7]], None),
        ("a;b\n1.000;5\n2.500;7\n", "comma", [[1000, 5], [2500, 7]], "A point groups thousands in a."),
        ("a;b\n1,000;5\n2,500;7\n", "comma", [[1, 5], [2.5, 7]], "Decimals are written with a comma."),
        ("a;b\n1,000;5\n2,500;7\n", "point", [[1000, 5], [2500, 7]], "A comma groups thousands in a."),
        ("a;b;c\n1.000;0,5;x.5\n2.500;7;0.5\n", "auto", [[1000, 0.5], [2500, 7]], "A point groups thousands in a."),
    ],
)
def test_thousands_are_told_from_decimals_by_all_cells_or_by_the_user(content, decimal, values, note, tmp_path):
    table = tables.read(write(tmp_path / "t.csv", content), ("0", "1"), decimal=decimal)
    np.testing.assert_array_equal(table.values, values)
    assert note in table.notes if note else not any("thousands" in n or "comma" in n for n in table.notes)


@pytest.mark.fast
def test_arrays_archives_and_folders(tmp_path):
    np.save(tmp_path / "t.npy", VALUES)
    np.savez(tmp_path / "one.npz", VALUES)
    np.savez(tmp_path / "columns.npz", **dict(zip(NAMED, VALUES.T, strict=True)))
    write(tmp_path / "archive.npy", (tmp_path / "one.npz").read_bytes())
    write(tmp_path / "array.csv", (tmp_path / "t.npy").read_bytes())
    columns = pyarrow.table(dict(zip(NAMED, VALUES.T, strict=True)))
    parquet.write_table(columns, tmp_path / "t.parquet")
    (tmp_path / "folder").mkdir()
    for part in range(2):
        parquet.write_table(columns.slice(15 * part, 15), tmp_path / "folder" / f"{part}.parquet")
    for name in ("t.npy", "one.npz", "archive.npy", "array.csv"):
        table = tables.read(tmp_path / name)
        assert table.names == NUMBERED
        np.testing.assert_array_equal(table.values, VALUES)
    for name in ("columns.npz", "t.parquet", "folder"):
        table = tables.read(tmp_path / name)
        assert table.names == NAMED
        np.testing.assert_array_equal(table.values, VALUES)
    np.save(tmp_path / "line.npy", VALUES[:, 0])
    line = tables.read(tmp_path / "line.npy")
    assert line.names == ("0",) and "taken for one column" in line.notes[0]
    np.testing.assert_array_equal(line.values, VALUES[:, :1])
    parquet.write_table(pyarrow.Table.from_arrays(columns.columns, names=["a", "a", "c"]), tmp_path / "twice.parquet")
    np.save(tmp_path / "complex.npy", VALUES + 1j)
    for name, message in (
        ("twice.parquet", "several columns are called a"),
        ("complex.npy", r"got array complex128 \(30, 3\)"),
        ("missing.csv", "there is no file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            tables.read(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no .parquet file"):
        tables.read(tmp_path / "empty")


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("t.csv", changed(17, "1,oops,3"), (), "t.csv, line 17, column 'b': 'oops' is no number"),
        ("t.csv", changed(17, '1,"x\ny",3'), (), r"line 18, column 'b': 'x\\ny'"),
        ("t.csv", "a,b\n1,x\n2,y\n", (), "line 2, column 'b': 'x'"),
        ("t.csv", "a;b\n1,5;2\n3.456;4\n0.5;4,5\n", (), "line 3, column 'a': '3.456' may have three"),
        ("t.csv", "a;b\n3,5;0,125\n12.345;4,5\n0.123;7,1\n", (), "line 3, column 'a': '12.345' may have three"),
        ("t.csv", "a;b\n5;1\n1.000;5\n2.500;7\n", (), "line 3, column 'a': '1.000' may .*by --decimal=point or"),
        ("t.csv", "a;b\n1;5\n2;1,000\n3;7\n", (), "line 3, column 'b': '1,000' may .*--decimal=comma"),
        ("t.csv", "1.000;5.000\n2.000;7.000\n", (), "line 1, column '0': '1.000' may "),
        ("t.csv", changed(4, "1,,3"), (), r"1 of 30 rows have missing or infinite values \(b: 1\)"),
        ("t.csv", changed(4, "NA,2,inf"), (), r"\(a: 1, c: 1\). --missing=drop leaves these rows out"),
        ("t.csv", changed(9, "1,2"), (), "line 9: 2 cells, the first line has 3"),
        ("t.csv", "alpha,b\n1,2\n3,4\n", ("alhpa",), "no column 'alhpa'.*Did you mean 'alpha'"),
        ("t.csv", "a,b\n1,2\n3,4\n", ("a", "0"), "names a column twice"),
        ("t.csv", "a,a\n1,2\n3,4\n", (), "several columns are called 'a'"),
        ("t.csv", "a,b\n1,2\n", (), r"holds 1 row\(s\)"),
        ("t.csv", "", (), "is empty"),
        ("t.csv", 'a,b\n"1,000","2,000"\n"3,000","4,000"\n', (), "line 2, column 'a': '1,000' may have three"),
        ("t.csv", 'a\n"' + "1\n" * 10**5, (), r"^.{,250}$"),
        ("t.xlsx", archive(), (), r"an archive of other files \(xl/workbook.xml\)"),
        ("t.csv", bytes(range(256)), (), "is no text"),
        ("t.csv.gz", gzip.compress(text().encode(), mtime=0)[:40], (), "cannot be decompressed"),
        ("t.xls", "a", (), "must be a table as text"),
        ("t.npy", "no array", (), "ends in .npy, but its content is something else"),
        ("t.npy", b"\x93NUMPY broken", (), "is no array of numbers"),
        ("t.parquet", b"PAR1 broken, and more of it", (), "cannot be read as Parquet"),
    ],
)
def test_tables_that_cannot_be_taken_are_refused(name, content, columns, message, tmp_path):
    with pytest.raises(ValueError, match=message) as refused:
        tables.read(write(tmp_path / name, content), columns)
    assert "\n" not in str(refused.value)


@pytest.mark.fast
def test_rows_with_missing_values_can_be_dropped_and_words_left_out(tmp_path):
    table = tables.read(write(tmp_path / "t.csv", changed(4, "NA,2,3")), missing="drop")
    np.testing.assert_array_equal(table.values, np.delete(VALUES, 2, axis=0))
    assert table.notes[0] == "1 of 30 rows have missing or infinite values (a: 1) and were left out."
    words = "\n".join(f"{a},red,{b}" for a, b, _ in VALUES)
    table = tables.read(write(tmp_path / "t.csv", words), ["2", "0"])
    np.testing.assert_array_equal(table.values, VALUES[:, [1, 0]])
    years = write(tmp_path / "t.csv", "2019,2020\n1,2\n3,4\n5,6")
    assert tables.read(years).values.shape == (4, 2)
    assert tables.read(years, header="yes").names == ("2019", "2020")


@pytest.mark.fast
def test_large_integers_stay_apart(tmp_path):
    for start in (2**62, -(2**62)):
        whole = np.arange(start, start + 30)
        np.save(tmp_path / "t.npy", np.stack([whole, -whole], axis=1))
        parquet.write_table(
            pyarrow.table({"a": pyarrow.array(whole, mask=np.arange(30) == 29), "b": -whole}), tmp_path / "t.parquet"
        )
        np.savetxt(tmp_path / "t.csv", np.stack([whole, -whole], axis=1), "%d", ",")
        for kind, rows in (("npy", 30), ("parquet", 29), ("csv", 30)):
            values = tables.read(tmp_path / f"t.{kind}", missing="drop").values
            np.testing.assert_array_equal(np.diff(values, axis=0), [[1, -1]] * (rows - 1))
    parquet.write_table(
        pyarrow.table({"t": pyarrow.array(np.arange(30) * 7 + 17 * 10**17, pyarrow.timestamp("ns"))}),
        tmp_path / "t.parquet",
    )
    np.testing.assert_array_equal(tables.read(tmp_path / "t.parquet").values[:, 0], 7 * np.arange(30))


@pytest.mark.fast
def test_columns_that_fix_one_another_are_told_of(tmp_path):
    lines = ["a,b,c,d", *(f"{a},{b},{-3 * a + 1},{10 * b**3}" for a, b, _ in VALUES)]
    notes = tables.read(write(tmp_path / "t.csv", "\n".join(lines))).notes
    assert any("no finite amount: c and a, d and b." in note for note in notes)


@pytest.mark.fast
def test_a_column_of_row_numbers_is_told_of(tmp_path):
    lines = [",a,b", *(f"{i},{a},{b}" for i, (a, b, _) in enumerate(VALUES))]
    table = tables.read(write(tmp_path / "t.csv", "\n".join(lines)))
    assert table.names == ("0", "a", "b") and "numbers the rows. It is taken for data: --columns=a,b" in table.notes[0]


@pytest.mark.fast
def test_notes_on_what_a_measure_cannot_take(tmp_path):
    lines = ["a,b,c,d"] + [f"{i * 0.37},{i % 2},7,{i * 0.37}" for i in range(30)]
    table = tables.read(write(tmp_path / "t.csv", "\n".join(lines)))
    notes = " ".join(table.notes)
    assert "Constant columns share nothing with any other: c." in notes
    assert "so that shared information comes out low: b." in notes
    assert "no finite amount: d and a" in notes and "as low as rounding lets it be" in notes
    assert "30 rows for 4 columns are few" in notes


@pytest.mark.fast
def test_values_keep_what_a_measure_depends_on_at_any_origin_and_unit():
    x = np.random.default_rng(1).normal(size=(200, 2))
    here = measures.prepare(x, "mutual_information")
    for moved in (1.7e9 + x, 1e39 * x, 1e-42 * x, x * [1e300, 1e-300]):
        np.testing.assert_array_equal(measures.prepare(moved, "mutual_information").x, here.x)
    plain = measures.prepare(x, "entropy")
    for unit in (2.0**200, 2.0**-200):
        there = measures.prepare(unit * (x + 2.0**20) - unit * 2.0**20, "entropy")
        np.testing.assert_allclose(there.x, plain.x, atol=1e-6)
        np.testing.assert_allclose(there.offset, plain.offset + 2 * np.log(unit))


@pytest.mark.fast
def test_the_quick_look_and_its_test():
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 2000))
    x = np.stack([a, 0.8 * a + 0.6 * b, c], axis=1)
    scores = quick.normal_scores(np.exp(x))
    np.testing.assert_allclose(quick.first_look(scores), -0.5 * np.log(0.36), atol=0.05)
    np.testing.assert_allclose(quick.first_look(scores, 1), -0.5 * np.log(0.36), atol=0.05)
    assert quick.first_look(scores, 2) < 0.01
    assert abs(quick.first_look(rng.normal(size=(150, 50)))) < 1.0  # of 9 nats by the sample's correlations as they are
    assert quick.independence_p_value(rng, scores, 99) == 0.01
    assert quick.independence_p_value(rng, scores, 99, 1) == 0.01
    assert quick.independence_p_value(rng, scores, 99, 2) > 0.01
    heavy = rng.normal(size=(2000, 2)) / np.sqrt(rng.chisquare(3, size=(2000, 1)))  # uncorrelated, of one scale
    assert quick.independence_p_value(rng, quick.normal_scores(heavy), 99) == 0.01
    ps = [quick.independence_p_value(rng, rng.normal(size=(40, 3)), 19) for _ in range(200)]
    np.testing.assert_allclose([np.mean(ps), np.mean(np.array(ps) <= 0.2)], [0.525, 0.2], atol=0.08)
    assert quick.first_look(np.ones((10, 2))) is None


def test_entropy_follows_the_unit():
    x = np.random.default_rng(2).normal(size=(300, 1))
    function = measures.estimator("entropy", None, num_layers=1, max_components=1)
    got = []
    for values in (x, 1.7e9 + 1e3 * np.round(x, 9)):
        prepared = measures.prepare(values, "entropy")
        got.append(float(jax.jit(function)(jax.random.key(0), prepared.x).value) + prepared.offset)
    np.testing.assert_allclose(got[0], 0.5 * np.log(2 * np.pi * np.e), atol=0.15)
    np.testing.assert_allclose(got[1] - np.log(1e3), got[0], atol=0.02)


COMMAND = [sys.executable, "-m", "experiments.density_destructors.main"]


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_main_estimates_a_table_and_writes_a_page(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400))
    x = np.stack([a, 0.9 * a + np.sqrt(1 - 0.81) * b], axis=1)
    np.save(tmp_path / "t.npy", 1.7e9 + x)
    given = [f"--input={tmp_path}/t.npy", f"--workdir={tmp_path}/page", "--max_components=1", "--num_layers=2"]
    done = run(*given, "--permutations=3", "--test=estimator")
    assert done.returncode == 0, done.stderr
    assert "at a first look, as if normal: total correlation 0.8" in done.stdout
    value = float(re.search(r"\n  estimate +(\S+)", done.stdout)[1])
    np.testing.assert_allclose(value, -0.5 * np.log(1 - 0.81), atol=0.15)  # 400 rows: a standard error of some 0.05
    program = jax.jit(lambda key, x: information.total_correlation(key, x, num_layers=2, max_components=1).value)
    key = jax.random.split(jax.random.key(0))[0]
    np.testing.assert_allclose(value, program(key, x.astype(np.float32)), atol=1e-3)
    assert "p-value of no dependence           0.25" in done.stdout and "mean with permuted columns" in done.stdout
    page = (tmp_path / "page" / "report.html").read_text()
    assert "Total correlation of t.npy" in page and "<svg" in page and f"{value:.4f}" in page
    assert json.loads((tmp_path / "page" / "result.json").read_text())["nats"]["estimate"] == f"{value:.4f}"


def test_main_ends_at_ctrl_c_while_it_compiles(tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).normal(size=(100, 2)))
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    process = subprocess.Popen(
        [*COMMAND, f"--input={tmp_path}/t.npy", f"--workdir={tmp_path}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    while "first look" not in (line := process.stdout.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err.split()) == (130, ["interrupted"]), err


def test_ctrl_c_in_the_middle_of_a_line_ends_the_process_too():
    """A signal that comes while a stream is being written: the stream refuses to be flushed, and raises."""
    said = """
import sys
from experiments.density_destructors import work

class Writing:
    def flush(self):
        raise RuntimeError("reentrant call")

sys.stdout = Writing()
work._leave()
"""
    done = subprocess.run([sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.split()) == (130, ["interrupted"])


def test_small_programs_are_compiled_quickly_where_the_compiler_knows_how(monkeypatch):
    x = np.float32(VALUES)

    def ask():
        return float(measures.compiled(lambda key, x: (x**2).sum(), x, once=True)(jax.random.key(0), x))

    np.testing.assert_allclose(ask(), (x**2).sum(), rtol=1e-6)
    monkeypatch.setattr(measures, "_QUICKLY", {"xla_no_such_option": 1})
    np.testing.assert_allclose(ask(), (x**2).sum(), rtol=1e-6)
