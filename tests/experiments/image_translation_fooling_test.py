"""The page that asks which image is painted: driven in a browser, and its answers counted."""

import base64
import csv
import io
import re
import shutil
import time
import types

import numpy as np
import pytest
from PIL import Image

from experiments.image_translation import config as config_lib
from experiments.image_translation import data, fooling
from gentoolkit.data import columns, fields

HEAD = ",".join(fooling.COLUMNS)


@pytest.mark.fast
def test_wilsons_interval():
    # Wilson 1927; the figures of Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
    for successes, num, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert fooling.wilson(successes, num) == pytest.approx((low, high), abs=5e-5)
    with pytest.raises(ValueError, match="got 3 of 2"):
        fooling.wilson(3, 2)


@pytest.mark.fast
def test_answers_are_counted_once_and_practice_not_at_all(tmp_path):
    def file(name, *rows):
        (tmp_path / name).write_text("\r\n".join([HEAD, *rows]) + "\r\n")
        return tmp_path / name

    one = file(
        "one.csv",
        "page,a,practice,1,dsvib,first,second,900",
        "page,a,trial,2,dsvib,first,second,900",
        "page,a,trial,3,unit,second,second,900",
    )
    two = file("two.csv", "page,b,trial,2,dsvib,second,second,500")
    rates = fooling.read_answers([one, two])
    assert rates == {"dsvib": fooling.Rate(1, 2, 2), "unit": fooling.Rate(0, 1, 1)}
    assert rates["dsvib"].text() == "50.0 [9.5, 90.5]" and "dsvib" in fooling.table(rates).markdown()
    for message, *paths in (
        ("answer 1 of session a is also in", one, one),
        ("other.csv has answers of another page than .*one.csv", one, file("other.csv", "q,c,trial,2,a,first,first,1")),
        ("odd.csv, line 2, is no answer of the page", file("odd.csv", "page,c,trial,2,unit,first,third,1")),
        ("no answers that count", file("practice.csv", "page,c,practice,1,unit,first,first,1")),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            fooling.read_answers(paths)
    with pytest.raises(FileNotFoundError, match="no file"):
        fooling.read_answers([tmp_path / "none.csv"])


def _page(path, **options):
    grey = np.arange(0, 240, 12, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(grey, (20, 8, 8, 3))  # each of a level of its own
    return fooling.write_page(path, images[:6], {"unit": images[10:13], "dsvib": images[13:16]}, practice=1, **options)


@pytest.mark.fast
def test_a_page_that_cannot_be_is_refused(tmp_path):
    images = np.zeros((3, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="3 painted images need as many real ones, got 2"):
        fooling.write_page(tmp_path / "page.html", images[:2], {"unit": images}, practice=1)
    with pytest.raises(ValueError, match="commas"):
        fooling.write_page(tmp_path / "page.html", images, {"a,b": images}, practice=1)
    page = fooling.write_page(tmp_path / "page.html", images, {"</script>": images}, practice=1).read_text()
    assert page.count("</script>") == 2


@pytest.mark.fast
def test_grey_images_and_too_few_held_out(tmp_path, monkeypatch):
    grey = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.full((1, 8, 8, 1), 40, np.uint8)
    page = fooling.write_page(tmp_path / "page.html", grey[:3], {"unit": grey[3:]}, practice=1).read_text()
    shown = [Image.open(io.BytesIO(base64.b64decode(part))) for part in re.findall(r"base64,([^\"]+)", page)]
    assert sorted(np.asarray(image)[0, 0] for image in shown) == [0, 40, 80, 120, 160, 200]
    config = config_lib.get_config("folders")
    trained = types.SimpleNamespace(config=config)
    painter = types.SimpleNamespace(trained=trained, drawn=lambda num, seed: None, translate=lambda x, codes: x)
    monkeypatch.setattr(fooling.sampling, "named", lambda folders: {"unit": painter})

    def held_out(num):
        test = columns.from_values(
            {"x": fields.Image(shape=(8, 8, 1)), "y": fields.Image(shape=(8, 8, 1))}, {"x": grey[:num], "y": grey[:num]}
        )
        train = columns.images(grey)
        monkeypatch.setattr(data, "load", lambda config: data.Domains(train, train, test, False))
        return fooling._painted(["run"], 2, 1)

    with pytest.raises(ValueError, match="folders has one held-out pair alone. Two are needed at least"):
        held_out(1)
    real, fakes = held_out(2)
    # Of another content than the real one beside it, as far as there are held-out ones.
    np.testing.assert_array_equal(fakes["unit"], grey[[0, 0, 0]])
    np.testing.assert_array_equal(real, grey[[1, 0, 1]])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (the extra dev has it)")
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        pytest.skip("no chromium and chromedriver on this machine (Debian: apt-get install chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = programs[0]
    folder = tmp_path_factory.mktemp("browser")
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "disable-dev-shm-usage", f"user-data-dir={folder / 'profile'}",
        "window-size=700,760",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "saved")})
    driver = selenium.Chrome(options, selenium.ChromeService(programs[1]))
    yield driver, folder / "saved"
    driver.quit()


def _until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_person_at_the_page(browser, tmp_path):
    driver, saved = browser
    driver.get(_page(tmp_path / "page.html", show_ms=120, blank_ms=60).as_uri())
    driver.execute_script("""
        window.shown = [];
        new MutationObserver(() => {
          const image = document.querySelector("#stage img");
          shown.push([image ? study.images.indexOf(image.src) : -1, performance.now()]);
        }).observe(document.getElementById("stage"), {childList: true});
    """)
    trials = driver.execute_script("return trials")
    assert [trial.get("practice", False) for trial in trials] == [True] * 2 + [False] * 4
    assert sorted(trial["fake"] for trial in trials) == [1, 3, 5, 7, 9, 11] and len({t["real"] for t in trials}) == 6

    def press(key):
        driver.switch_to.active_element.send_keys(key)

    def told():
        return driver.find_element("id", "told").text

    def open_for(name):
        return driver.execute_script("return !arguments[0].hidden && !arguments[0].disabled", name)

    first, second, go, save = (driver.find_element("id", name) for name in ("first", "second", "go", "save"))
    assert "each for 0.12 s" in told() and go.is_displayed()
    press("\ue007")  # Enter
    for number, trial in enumerate(trials):
        # A key before the question is no answer; in one go, lest the question come between.
        driver.execute_script("""
            const closed = document.getElementById("first").disabled;
            if (closed) document.dispatchEvent(new KeyboardEvent("keydown", {key: "1"}));
        """)
        _until(lambda: open_for(first))
        press("\ue007")  # nor is Enter one
        assert told() == "Which one was the fake?" and not driver.find_elements("css selector", "#stage img")
        fake = trial["fakeAt"]
        if number % 2:
            second.click()  # the mouse says the second
        else:
            press("1")
        answered = number % 2
        if number < 2:
            assert _until(lambda: go.is_displayed() and told()).startswith("Right" if answered == fake else "Wrong")
            assert not save.is_displayed()
            press("\ue007")
        if number == 1:
            _until(lambda: "From now on" in told())
            press(" ")
    _until(lambda: "That was all" in told())
    assert driver.execute_script("const bar = document.querySelector('progress'); return bar.value / bar.max") == 1
    press("\ue007")  # the button has the focus
    path = _until(lambda: next(iter(saved.glob("*.csv")), None) if saved.exists() else None)
    rows = list(csv.DictReader(path.open(newline="")))
    assert [row["part"] for row in rows] == ["practice"] * 2 + ["trial"] * 4
    assert [row["answer"] for row in rows] == ["first", "second"] * 3
    assert [row["fake"] for row in rows] == [("first", "second")[trial["fakeAt"]] for trial in trials]
    wrong = {name: [r["answer"] != r["fake"] for r in rows[2:] if r["method"] == name] for name in ("dsvib", "unit")}
    assert fooling.read_answers([path]) == {name: fooling.Rate(sum(a), 2, 1) for name, a in wrong.items()}
    # What was seen: the two of each trial in their order, each for its time, with nothing before it.
    shown = driver.execute_script("return shown")
    seen = [(index, start, shown[i + 1][1]) for i, (index, start) in enumerate(shown) if index >= 0]
    order = [trial[name] for trial in trials for name in (("fake", "real"), ("real", "fake"))[trial["fakeAt"]]]
    assert [index for index, _, _ in seen] == order
    assert all(end - start > 115 for _, start, end in seen)
    assert all(later[1] - earlier[2] > 55 for earlier, later in zip(seen, seen[1:], strict=False))
