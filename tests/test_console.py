"""Progress on a terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from HiggsML.cli import console
from HiggsML.cli.doctor import remedies
from HiggsML.cli.progress import progress_bar
from HiggsML.isolation.cage.restrict import MECHANISMS
from tests.pipeline_fixtures import HIGGSML, model_text, tiny_dataset, write_submission
from tests.terminal import on_terminal

__all__ = ["tiny_dataset"]


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns; returns what is on it at last."""
    fake = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(console, "stderr", fake)
    return lambda: fake.file.getvalue().rsplit("\x1b[2K", 1)[-1]


def test_a_single_step_shows_no_bar_that_looks_full_and_no_share(terminal):
    with progress_bar() as progress:
        progress("fit", 0, 1)
    assert "0/1" not in terminal()
    assert "Fitting the model" in terminal()


def test_many_steps_of_which_none_is_done_show_no_line_that_looks_full(terminal):
    with progress_bar() as progress:
        progress("predict", 0, 3800)
    shown = terminal()
    assert "0/3800" in shown
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" not in shown


def test_sentences_break_between_words_on_a_terminal_alone(terminal, monkeypatch):
    text = "Error: " + "a name with blanks " * 6 + "/a/path/of/some/length" * 5
    lines = console.wrapped(text).split("\n")
    assert " ".join(" ".join(lines).split()) == text
    assert all(line.startswith("  ") for line in lines[1:])
    assert max(len(line) for line in lines[:-1]) <= 80
    assert lines[-1].strip() == "/a/path/of/some/length" * 5, "a path stays whole"
    monkeypatch.setattr(console, "stderr", Console(file=io.StringIO(), width=80))
    assert console.wrapped(text) == text


def test_steps_say_how_far_and_how_long(terminal):
    with progress_bar() as progress:
        progress("fit", 0, 1)
        progress("fit", 1, 1)
        progress("predict", 3, 40)
    shown = terminal()
    assert "3/40" in shown
    assert "1/1" not in shown
    assert "0:00:0" in shown  # elapsed
    assert max(map(len, shown.splitlines())) < 300  # escape codes count, too


def test_a_run_says_each_step_and_what_the_model_printed_last(tiny_dataset, tmp_path):
    talks = model_text(fit="import time\nprint('epoch', 7)\ntime.sleep(1)")
    code, lines = on_terminal(
        *(HIGGSML, "run", write_submission(tmp_path / "talks", talks), "--input", tiny_dataset),
        *("--output", tmp_path / "run", "--sets", 1, "--pseudo-experiments", 3),
    )
    assert code == 0, lines
    for step in ("Reading the events", "Importing the model", "Pseudo-experiments", "Scores and"):
        assert any(step in line for line in lines), step
    assert any(re.search(r"Fitting the model +epoch 7 .* \d:\d\d:\d\d", line) for line in lines)
    assert any(re.search(r"Pseudo-experiments .* 3/3 +\d:\d\d:\d\d", line) for line in lines)


def test_a_warning_stands_above_the_bar_not_in_it(tmp_path):
    code, lines = on_terminal(
        *(HIGGSML, "generate", "--events", 2000, "--seed", 1, "--output", tmp_path / "data")
    )
    assert code == 0, lines
    (warning,) = [line for line in lines if "fit for a quick try" in line]
    assert warning.startswith("WARNING: 2000 events")
    assert any(re.search(r"Events .*2000/2000 .*\d:\d\d:\d\d", line) for line in lines)


def test_doctor_says_how_to_get_what_is_missing():
    everything = remedies(dict.fromkeys(MECHANISMS, "the kernel lacks it"))
    assert any(line.startswith("user-namespace, network-namespace, ") for line in everything)
    assert any("Linux 6.12" in line for line in everything)
    assert remedies(dict.fromkeys(MECHANISMS, "on")) == []
