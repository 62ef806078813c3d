"""How far the loop runs ahead of the device."""

import pytest

from gentoolkit.training import pace


def waits(monkeypatch, seconds: list[float]) -> list[int]:
    """The steps after which the loop waits, where each takes so long."""
    clock = 0.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock)
    found, made = [], pace.Pace()
    for step, took in enumerate(seconds, start=1):
        clock += took
        if made.due():
            found.append(step)
            made.waited()
    return found


@pytest.mark.fast
def test_it_waits_about_once_a_second(monkeypatch):
    compiling = 50.0  # the first step tells nothing
    assert waits(monkeypatch, [compiling] + [0.25] * 20) == [1, 2, 4, 8, 12, 16, 20]
    assert waits(monkeypatch, [compiling] + [3.0] * 3) == [1, 2, 3, 4]
    fast = waits(monkeypatch, [compiling] + [1e-3] * 10000)
    assert fast[:4] == [1, 2, 4, 8] and 999 <= max(b - a for a, b in zip(fast, fast[1:], strict=False)) <= 1001
    # Steps that grow slow are waited for one by one at once.
    assert waits(monkeypatch, [compiling] + [1e-3] * 2047 + [2.0] * 3)[-3:] == [2049, 2050, 2051]
