"""Progress on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from HiggsML.cli import console
from HiggsML.cli.doctor import remedies
from HiggsML.isolation.cage.restrict import MECHANISMS


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns; returns what is on it at last."""
    fake = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(console, "stderr", fake)
    return lambda: fake.file.getvalue().rsplit("\x1b[2K", 1)[-1]


def test_a_single_step_shows_no_bar_that_looks_full_and_no_share(terminal):
    with console.progress_bar() as progress:
        progress("fit", 0, 1)
    assert "0/1" not in terminal()
    assert "Fitting the model" in terminal()


def test_steps_say_how_far_and_how_long(terminal):
    with console.progress_bar() as progress:
        progress("fit", 0, 1)
        progress("fit", 1, 1)
        progress("predict", 3, 40)
    shown = terminal()
    assert "3/40" in shown
    assert "1/1" not in shown
    assert "0:00:0" in shown  # elapsed
    assert max(map(len, shown.splitlines())) < 300  # escape codes count, too


def test_doctor_says_how_to_get_what_is_missing():
    everything = remedies(dict.fromkeys(MECHANISMS, "the kernel lacks it"))
    assert any(line.startswith("user-namespace, network-namespace, ") for line in everything)
    assert any("Linux 6.12" in line for line in everything)
    assert remedies(dict.fromkeys(MECHANISMS, "on")) == []
