"""Tables of image translation: which runs they are made of, their going on, and what they say of the paper's claims."""

import json
import types

import pytest
from absl import flags

from experiments.image_translation import (
    ablations,
    collapse,
    columns,
    data,
    experiment,
    fooling,
    grid,
    measures,
    paper,
    runs,
    table1,
    table2,
)
from experiments.image_translation import config as config_lib
from gentoolkit import training

# What each run comes to, by method or by what its configuration differs in.
_COLOURS = {"dsvib": 0.97, "munit": 0.99, "bicyclegan": 0.98}


@pytest.fixture
def base():
    config = config_lib.get_config("polygons")
    config.image_size, config.num_steps = 16, 2
    return config


@pytest.fixture
def trained(monkeypatch):
    """Runs that are trained in no time; returns the configurations that were, in order."""
    seen = []

    def run(config, workdir, mesh):
        if len(seen) == fail.get("at", -1):
            raise KeyboardInterrupt
        seen.append(config)
        if config.dsvib.lambda_content == 0:
            raise training.NonFiniteError("painters: loss is not finite.", 1)
        workdir.mkdir(parents=True)
        (workdir / "config.json").write_text(json.dumps(config.to_dict()))
        if config.dsvib.beta == 10 and config.seed:
            raise collapse.Collapsed("Step 2: painters have collapsed.", 2)
        code = config.method in _COLOURS and config.dsvib.lambda_code > 0
        values = {"test/outline_f1": 0.96, "test/contents": 0.2, "painters/loss": 1.0}
        values |= {"test/hidden_noise_of_2_levels": 9.0 if config.method == "cyclegan" else 1.0}
        if config.method in _COLOURS:
            values |= {"test/diversity": (0.1 if code else 0.05) + 0.001 * config.seed}
            values |= {"test/colour_from_code": _COLOURS[config.method], "test/reference_error": 0.06}
        (workdir / "metrics.jsonl").write_text(json.dumps({"step": 2} | values) + "\n")
        return values

    def of_system(config, *rest):
        return {"outline F1 of two codes": 0.8 if config.dsvib.alpha_information == 0 else 0.9}

    fail = {}
    monkeypatch.setattr(experiment, "run", run)
    monkeypatch.setattr(runs, "load", runs.read_config)
    monkeypatch.setattr(measures, "of_system", of_system)
    monkeypatch.setattr(data, "_NUM_POLYGONS", 20)
    return seen, fail


@pytest.mark.fast
def test_one_folder_of_runs_serves_all_tables_and_goes_on(base, trained, tmp_path, capsys, monkeypatch):
    given = {"methods": config_lib.METHODS, "variants": list(grid.VARIANTS), "answers": [], "seeds": 2, "weights": ""}
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**given, pairs=2, samples=4))
    seen, fail = trained
    fail["at"] = 3
    with pytest.raises(KeyboardInterrupt):
        table1.main(base, str(tmp_path), None)
    assert len(seen) == 3
    fail.clear()
    table1.main(base, str(tmp_path), None)
    assert [(config.method, config.seed) for config in seen] == [
        (method, seed) for seed in (0, 1) for method in config_lib.METHODS
    ]
    text = (tmp_path / "table1.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| DSVIB |"))
    assert "0.1005 ± 0.00071" in row and "0.970 ± 0" in row
    assert "agrees: DSVIB is at least 0.9 times as diverse as BicycleGAN" in text
    assert "agrees: CycleGAN hides in x" in text
    assert "holds: DSVIB: R² of colour from code >= 0.95 (0.97 ± 0, 2 of 2 seeds)" in text
    assert "-" in next(line for line in text.splitlines() if line.startswith("| CycleGAN |"))
    assert "a colour drawn at random" in text and "90.32" in (tmp_path / "table1.html").read_text()
    table2.main(base, str(tmp_path), None)
    assert [config.dsvib.lambda_code for config in seen[10:]] == [0, 0]
    text = (tmp_path / "table2.md").read_text()
    assert "agrees: with the code cycle" in text and "0.121 against 0.095" in text and "4 of 4 pairs" in text
    ablations.main(base, str(tmp_path), None)
    assert len(seen) == 10 + 2 * len(grid.VARIANTS)  # dsvib and no_code_cycle were there
    text = (tmp_path / "ablations.md").read_text()
    # A run that diverged takes no other along, and nothing is said of what it was to show.
    assert "not finite" in next(line for line in text.splitlines() if line.startswith("| no content cycle"))
    assert "not decided: without the content cycle" in text
    assert "agrees: without the information term codes change the content" in text
    assert "not found: with a small beta the encoded code means nothing" in text
    told = capsys.readouterr().err
    assert "painters: loss is not finite" in told and "painters have collapsed" in told
    # Nor does one that collapsed, which is not trained again.
    assert "1 of 2 collapsed" in next(line for line in text.splitlines() if line.startswith("| beta = 10 |"))
    assert "not decided: with a large beta" in text and (tmp_path / "beta_10-1").is_dir()
    ablations.main(base, str(tmp_path), None)
    assert (tmp_path / "ablations.md").read_text() == text
    kept = [run for run in seen if run.dsvib.beta == 10]
    assert [run.seed for run in kept] == [0, 1]


@pytest.mark.fast
def test_each_variant_changes_what_it_is_named_after(base):
    whole = grid.configure(base, "dsvib", 1)
    assert whole.seed == 1 and whole.method == "dsvib" and base.seed == 0
    for name, changes in grid.VARIANTS.items():
        config, rest = grid.configure(base, name, 1), whole.copy_and_resolve_references()
        for key, value in changes.items():
            section, option = key.split(".")
            assert config[section][option] == value != whole[section][option]
            rest[section][option] = value
        assert config == rest
    with pytest.raises(ValueError, match="Did you mean 'no_information'"):
        grid.configure(base, "no_informations", 0)


@pytest.mark.fast
def test_a_claim_agrees_only_where_all_seeds_do():
    assert paper.greater("a > b", [3, 2], [1, 0.5]).startswith("agrees: a > b (ours: 2.5 ± 0.71 against 0.75")
    assert "not found" in paper.greater("a > b", [3, 1], [2]) and "1 of 2 pairs" in paper.greater("", [3, 1], [2])
    assert "agrees" in paper.greater("a > 0.9 b", [1.9], [2], times=0.9)
    # Figures that print alike: a hidden trace of a thousandth against one of half a thousandth is none at all.
    assert paper.greater("a > b", [1.0012], [1.0006]).startswith("not found")
    for missing in (None, [float("nan")], [None]):
        assert paper.greater("a > b", missing, [1.0]).startswith("not decided")
    assert not paper.asked("error", [0.1, 0.3], 0.2, at_least=False).holds
    assert paper.asked("error", None, 0.2).holds is None


@pytest.mark.fast
def test_people_are_fooled_more_often_only_where_intervals_are_apart():
    rates = {"dsvib": fooling.Rate(40, 100, 5), "cyclegan": fooling.Rate(20, 100, 5), "unit": fooling.Rate(33, 100, 5)}
    found = table1.claims({}, "edges2shoes", rates)
    texts = [claim for claim in found if "fools" in claim]
    assert [claim.split(":")[0] for claim in texts] == ["agrees", "not found", "not decided"]
    assert "40.0 [30.9, 49.8] % of 100 against 20.0" in texts[0] and "36 against 24.3" in texts[0]


@pytest.mark.fast
def test_the_papers_figures_stand_in_columns_that_compare():
    rows = {"dsvib": [{"lpips v0.0 on alexnet": 0.2, "lpips v0.1 on alexnet": 0.4, "FID": 50.0}]}
    made = columns.table(rows, printed=paper.TABLE_1["edges2shoes"], fooling={"dsvib": "30 [20, 40]"}, caption="")
    assert made.rows[1] == ["DSVIB, paper", "0.121", "-", "48.360", "36.0"] and made.rows[0][-1] == "30 [20, 40]"
    like = {"dsvib": [{"lpips-like v0.1 on keras-squeezenet1.1": 0.2, "Fréchet distance on mobilenet": 50.0}]}
    assert len(columns.table(like, printed=paper.TABLE_1["edges2shoes"], caption="").rows) == 1


@pytest.mark.fast
def test_what_one_row_cannot_have_is_said_before_any_is_trained(base, trained, tmp_path):
    odd = grid.configure(base, "bicyclegan", 0)
    odd.batch_size = 3
    with pytest.raises(ValueError, match="must be even for bicyclegan, got 3"):
        grid.complete(odd, config_lib.METHODS, num_seeds=1, workdir=str(tmp_path), mesh=None)
    assert not trained[0] and not list(tmp_path.iterdir())
