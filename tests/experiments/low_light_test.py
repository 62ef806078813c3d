import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import flagsaver
from flax import nnx
from PIL import Image

from experiments.low_light import (
    config,
    experiment,
    measure,
    methods,
    options,
    paper,
    photographs,
    table1,
    table2,
    table3,
)
from experiments.low_light import figure_failures as failures
from experiments.low_light.measure import DARK, GPE, Case
from gentoolkit import training
from gentoolkit.data import columns
from gentoolkit.imaging import keypoints, quality
from gentoolkit.models import low_light


@pytest.fixture(scope="module")
def references():
    return methods.References()


@pytest.fixture(scope="module")
def photograph():
    bright = photographs.load(size=64)["astronaut"]
    return bright, photographs.darken(bright, 4.0)


@pytest.mark.fast
def test_two_photographs_of_one_name_are_not_taken_for_one(tmp_path):
    (tmp_path / "b").mkdir()
    for path in ("a.png", "b/a.jpg", "c.png"):
        Image.new("RGB", (40, 40), "gray").save(tmp_path / path)
    with pytest.raises(ValueError, match=r"two photographs of one name, .*a\.png and .*b/a\.jpg: rename one"):
        photographs.load(str(tmp_path), size=32)
    (tmp_path / "b" / "a.jpg").unlink()
    assert list(photographs.load(str(tmp_path), size=32)) == ["a", "c"]


@pytest.mark.fast
@pytest.mark.parametrize(("channels", "count"), [(1, 20_545), (3, 31_715)])
def test_the_shipped_networks_brighten(channels, count, photograph):
    network = low_light.pretrained(channels)
    assert sum(np.size(x) for x in jax.tree.leaves(nnx.state(network))) == count
    bright, dark = (jnp.asarray(x[..., :channels])[None] for x in photograph)
    made = network(dark)
    assert float(quality.psnr(made, bright)[0]) > float(quality.psnr(dark, bright)[0]) + 3


@pytest.mark.fast
def test_weights_come_back_from_a_file(tmp_path):
    network = low_light.ReferenceNetwork(1, rngs=nnx.Rngs(3))
    low_light.save(tmp_path / "weights.npz", network)
    again = low_light.load(tmp_path / "weights.npz")
    for a, b in zip(jax.tree.leaves(nnx.state(network)), jax.tree.leaves(nnx.state(again)), strict=True):
        np.testing.assert_array_equal(a, b)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match="does not hold"):
        low_light.load(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(ValueError, match="not an .npz"):
        low_light.load(tmp_path / "text.npz")
    with np.load(tmp_path / "weights.npz") as file:
        values = dict(file)
    for wrong in ({"image/bias": np.full(1, np.nan)}, {"image/bias": np.zeros(1, int)}):
        np.savez(tmp_path / "wrong.npz", **values | wrong)
        with pytest.raises(ValueError, match="image/bias"):
            low_light.load(tmp_path / "wrong.npz")
    with pytest.raises(ValueError, match="one of RGB is needed"):
        methods.References(str(tmp_path / "weights.npz"))
    with pytest.raises(FileNotFoundError, match="no weights"):
        low_light.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="channels = 2"):
        low_light.pretrained(2)


@pytest.mark.fast
def test_darkening_spans_its_range_and_keeps_eight_bits():
    settings = config.get_config("rgb").darkening
    bright = jnp.full((64, 8, 8, 3), 0.5)
    dark = experiment.darkened(jax.random.key(0), bright, **{**settings, "noise_share": 0.0, "cast_share": 0.0})
    gamma = np.log(np.asarray(dark[:, 0, 0, 0])) / np.log(0.5)
    assert 0.99 < gamma.min() < 2 and 6 < gamma.max() < 9
    np.testing.assert_allclose(np.asarray(dark) * 255, np.round(np.asarray(dark) * 255), atol=1e-4)
    cast = experiment.darkened(jax.random.key(0), bright, **{**settings, "noise_share": 1.0, "cast_share": 1.0})
    assert (
        float(jnp.std(cast[0])) > 0
        and float(jnp.max(jnp.abs(cast[..., 0].mean((1, 2)) - cast[..., 2].mean((1, 2))))) > 0
    )


def test_training_runs_and_its_weights_load(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (80, 32, 32, 3), np.uint8)
    data = columns.images(images, description="random")
    monkeypatch.setattr(experiment.cifar10, "load", lambda split, data_dir: data)
    result = experiment.run(config.get_config("smoke"), tmp_path, training.make_mesh(num_devices=1))
    assert result.step == 4 and np.isfinite(result.metrics["test/mse"])
    assert (tmp_path / "report.html").is_file()
    low_light.save(tmp_path / "weights.npz", result.models["reference"])
    assert low_light.load(tmp_path / "weights.npz").channels == 3


def test_a_cast_is_undone_in_part_and_zero_strength_is_none(references, photograph):
    bright, _ = photograph
    dark = photographs.darken(bright, np.asarray([2.2, 3.0, 4.2]))
    skew = {}
    for share in (0.0, 0.6):
        chosen = options.Options(num_clusters=8, white_balance=share)
        skew[share] = failures.skew(methods.enhance(dark, references, chosen).image, bright)
    plain = methods.enhance(dark, references, options.Options(num_clusters=8))
    assert skew[0.6] < skew[0.0] == failures.skew(plain.image, bright)


@pytest.mark.fast
def test_failures_are_tabulated_and_stated():
    labels = ("published CM", "LIME", "improved", *failures.REMEDIES.values())
    assert set(labels) <= failures.VARIANTS.keys()
    figures = {
        (condition, label): [{"psnr": 20.0 + i, "f1": 0.5 + i / 100, "skew": 0.1 - i / 100}]
        for condition in failures.REMEDIES
        for i, label in enumerate(labels)
    }
    table, claims = failures.tabulate(figures)
    assert len(table.columns) == 10 and [row[0] for row in table.rows] == list(labels)
    assert len(claims) == 4 * 3 + 4 * 2 and all(claim.holds for claim in claims)
    figures["colour cast", "improved"][0]["psnr"] = 1.0
    assert sum(not claim.holds for claim in failures.tabulate(figures)[1]) == 2


@pytest.fixture
def table_flags(monkeypatch):
    before = set(measure.flags.FLAGS)
    monkeypatch.setattr(measure.launch, "start", lambda *arguments, **options: None)
    measure.start(lambda: None)
    measure.flags.FLAGS.mark_as_parsed()
    yield flagsaver.flagsaver
    for name in set(measure.flags.FLAGS) - before:
        delattr(measure.flags.FLAGS, name)


def test_a_table_resumes_and_states_what_holds(tmp_path, monkeypatch, photograph, table_flags):
    bright, _ = photograph
    loaded = []
    monkeypatch.setattr(photographs, "load", lambda directory, size: loaded.append(size) or {"one": bright})
    monkeypatch.setattr(photographs, "levels", lambda every: [2.0, 5.0])
    cases = [DARK, Case("improved", 8)]

    def claims(found):
        assert found[cases[1]]["psnr"] > found[DARK]["psnr"]
        return [measure.study.Claim("a", True, "b")]

    with table_flags(workdir=str(tmp_path)):
        first = measure.measure(cases)
        text = (tmp_path / "results.jsonl").read_text()
        (tmp_path / "results.jsonl").write_text(text[:-20])  # cut off while writing
        again = measure.measure(cases)
        figures = [*measure.FIGURES, "photograph", "gamma", "method"]
        assert [[row[n] for n in figures] for row in first] == [[row[n] for n in figures] for row in again]
        assert len(first) == 4 and sum(again[3]["stages"].values()) > 0
        measure.table("table3", cases, claims)
    page = (tmp_path / "table3.html").read_text()
    assert "holds: a (b)" in page and page.count("<svg") >= 2 and "dark, paper" in page
    lines = [line.split("|")[1].strip() for line in (tmp_path / "table3.md").read_text().splitlines() if "|" in line]
    assert lines[2:] == ["dark, ours", "dark, paper", "improved k=8, ours"]


@pytest.mark.fast
def test_claims_of_the_tables_follow_the_figures():
    names = (*measure.FIGURES, *methods.STAGES, "seconds")
    cases = [
        DARK,
        GPE,
        *map(Case, options.BASELINES),
        *[Case(m, k) for m in ("lm", "cm", "improved") for k in paper.CLUSTERS],
    ]
    found = {case: {name: 1.0 + 0.001 * i * i for name in names} for i, case in enumerate(cases)}
    found[Case("lm", 10)] |= {"psnr": 0.5, "seconds": 0.1, "cluster": 0.01, "fit": 0.01, "predict": 0.01}
    found[Case("lm", 10)]["recall"] = found[Case("lm", 200)]["recall"]
    assert all(claim.holds for claim in table1.claims(found))
    found[Case("lm", 10)] |= {"seconds": 0.9, "recall": 0.5}
    assert [claim.holds for claim in table1.claims(found)] == [True, True, True, False, False, True, True]
    held = [claim.holds for claim in table2.claims(found)]
    assert held == [True, True, False, True, True, False, True, False]
    for k in paper.CLUSTERS:
        found[Case("improved", k)] |= {"psnr": 5.0, "f1": 2.0}
    assert table2.claims(found)[-1].holds
    found[Case("lime")] |= {"precision": 0.1}
    held = [claim.holds for claim in table3.claims(found)]
    assert held == [True, False, False, False, True, True, True, True]


@pytest.mark.fast
def test_the_same_image_scores_perfectly(photograph):
    found = measure.figures(photograph[0], photograph[0])
    assert found["f1"] == found["precision"] == found["recall"] == 1 and found["psnr"] > 50
    assert measure.figures(np.zeros((64, 64, 3), np.float32), photograph[0])["f1"] == 0
    assert keypoints.detect(photograph[0]).scale.size > 0


@pytest.mark.fast
def test_the_papers_tables_are_whole():
    for method in ("lm", "cm"):
        assert all(len(paper.row(method, k)) == len(paper.COLUMNS) for k in paper.CLUSTERS)
    assert paper.row("improved", 8) == {} and paper.row("cm", 30)["PSNR"] == 16.61
    assert all(paper.row(name, 0)["s"] for name in options.BASELINES) and paper.row("dark", 0)["s"] is None
    assert set(methods.BASELINES) == set(options.BASELINES)
