"""What README.md and WORKSPACE.md promise: code that runs, commands that name what is there, a map without gaps."""

import pathlib
import re
import tomllib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(*languages):
    return re.findall(rf"^```(?:{'|'.join(languages)})\s*\n(.*?)^```", README, re.S | re.M)


def test_the_program_of_the_first_screen_trains(capsys):
    exec(blocks("python")[0], {})
    values = [float(value) for value in re.findall(r"step \d+: (\S+)", capsys.readouterr().out)]
    assert len(values) > 3 and np.isfinite(values).all() and values[-1] < values[0] / 50


def test_the_train_step_for_a_loop_of_ones_own_trains(capsys):
    scope = {}
    exec(blocks("python")[1], scope)
    assert capsys.readouterr().out.startswith("step 200: critic ")
    made = scope["program"].models(scope["state"])["generator"]
    np.testing.assert_allclose(made.bias[...], 2.0, atol=0.3)
    assert np.isfinite(list(scope["state"].meters.sums.values())).all()


def test_the_term_against_collapse_keeps_the_codes_apart(capsys):
    program = blocks("python")[2]
    exec(program, scope := {})
    spread = float(re.search(r"least spread of the codes: (\S+)", capsys.readouterr().out).group(1))
    assert 0.7 < spread < 1.3
    # Without the term they collapse.
    exec(program.replace("0.05 *", "0.0 *"), scope)
    assert float(capsys.readouterr().out.split()[-1]) < 0.3


@pytest.mark.fast
def test_the_first_two_commands_are_the_main_job_and_the_tests():
    run, test = blocks("bash", "sh")[:2]
    assert run.startswith("pip install") and "python -m experiments." in run
    assert test.startswith("pip install") and test.strip().endswith("python -m pytest")


@pytest.mark.fast
def test_every_command_names_a_module_a_config_and_extras_that_stand():
    text = README + (ROOT / "WORKSPACE.md").read_text()
    for module in re.findall(r"python -m ((?:experiments|benchmarks)\.\w+(?:\.\w+)*)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
    for config in re.findall(r"--config=(\S+?)(?::\w+)?[\s`]", text):
        assert (ROOT / config).exists(), config
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r'pip install -e "\.\[([\w,]+)\]"', text):
        assert set(extras.split(",")) <= set(project["optional-dependencies"]), extras


@pytest.mark.fast
def test_the_maps_name_every_room_and_every_distance():
    workspace = (ROOT / "WORKSPACE.md").read_text()
    for path in (ROOT / "gentoolkit").iterdir():
        if (path / "__init__.py").exists():
            assert f"`gentoolkit/{path.name}/`" in workspace, path.name
    for path in (ROOT / "gentoolkit" / "distances").iterdir():
        if not path.name.startswith("_") and path.stem != "mardia":
            assert f"| `{path.stem}` |" in README, path.stem
