"""Mistakes on the command lines of the programs: status 1 and one line that says what would be right.

They run as forks of one process that has done the imports, which takes a fifth of a second each instead of some five.
"""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

FORK = """
import importlib, json, os, runpy, sys, tempfile
# What the programs import, but none that defines flags: those are made anew in every fork.
for name in ("flax.nnx", "optax", "scipy.stats", "sklearn.datasets", "gentoolkit.study", "gentoolkit.training",
             "gentoolkit.training.launch", "gentoolkit.data", "experiments.density_destructors.tables"):
    importlib.import_module(name)
for line in sys.stdin:
    module, arguments = json.loads(line)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        if (child := os.fork()) == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = [module, *arguments]
            status = 0
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
                if isinstance(end.code, str):
                    print(end.code, file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([status, *(stream.seek(0) or stream.read() for stream in (out, err))]), flush=True)
"""


@pytest.fixture(scope="module")
def run():
    """Runs a module with arguments; returns its exit status and what it wrote to both streams."""
    command = [sys.executable, "-c", FORK]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(module, *arguments):
        process.stdin.write(json.dumps([module, arguments]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.communicate(timeout=60)


DENSITY, LOW_LIGHT = "experiments.density_destructors.main", "experiments.low_light.enhance"
AUTOENCODERS = "experiments.sliced_autoencoders.main"
SAMPLE, PAINTING = "experiments.text_to_image.sample", "experiments.text_to_image.main"
TEXTS = "--config=experiments/text_to_image/config.py"
DIGITS = "--config=experiments/sliced_autoencoders/config.py:digits"


@pytest.mark.fast
@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (DENSITY, ["--input=nowhere.csv"], "there is no file nowhere.csv"),
        (DENSITY, ["--input={table}", "--measure=mutual_information", "--split=3"], "--split must be from 1 to 2"),
        (DENSITY, ["--input={table}", "--workdir=/proc/none"], "--workdir: cannot write"),
        (DENSITY, ["--input={table}", "--permutations=nan"], "--permutations"),
        (LOW_LIGHT, ["--input=a", "--outptu=b"], "--output"),
        (AUTOENCODERS, [DIGITS, "--config.batch_size=5000"], "batch_size = 5000 is larger than the data: 1500"),
        ("benchmarks.run", ["distance"], "did you mean distances"),
        (SAMPLE, ["--output={table}.d"], "Give texts by --text or --texts."),
        (SAMPLE, ["--output={table}.d", "--texts=nowhere.txt"], "nowhere.txt"),
        (SAMPLE, ["--output={table}.d", "--text=a", "--run=nowhere"], "There is no folder nowhere."),
        (PAINTING, [f"{TEXTS}:dfgan_scene32"], "Did you mean 'dfgan_scenes32'?"),
        (PAINTING, [f"{TEXTS}:dfgan_scenes32"], "config.encoder must be the folder of a damsm run; train one by"),
        (PAINTING, [f"{TEXTS}:dfgan_cub256", "--config.encoder=nowhere"], "There is no folder nowhere."),
        (PAINTING, [f"{TEXTS}:damsm_cub256"], "config.data_dir must name the folder of cub."),
        (PAINTING, [f"{TEXTS}:damsm_folder64", "--config.data_dir={table}"], "there is no folder"),
    ],
)
def test_a_mistake_is_one_line(module, arguments, message, run, tmp_path):
    (tmp_path / "t.csv").write_text("a,b,c\n" + "\n".join(f"{i},{i * i % 7},{i % 5}" for i in range(30)))
    workdir = [f"--workdir={tmp_path}/page"] if module in (DENSITY, AUTOENCODERS, PAINTING) else []
    status, out, err = run(module, *workdir, *(argument.format(table=tmp_path / "t.csv") for argument in arguments))
    assert status == 1 and message in err and "Traceback" not in out + err, (status, out, err)
    if module in (DENSITY, LOW_LIGHT):
        assert err.count("\n") == 1, err
    elif module in (AUTOENCODERS, PAINTING):
        assert "error: " in err
