"""The ``higgsml`` command: what it prints, and with which exit code it ends."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

import HiggsML
from HiggsML import cli
from HiggsML.errors import DataError, SettingsError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.schema import NUISANCES
from HiggsML.score import SCORE_KEYS
from tests.pipeline_fixtures import (
    ALL_OFF,
    ALL_ON,
    ENVIRONMENT,
    HIGGSML,
    ROOT,
    doors,
    run_process,
    tiny_dataset,
)

__all__ = ["doors", "tiny_dataset"]

COUNTING = ROOT / "examples" / "counting"
OPTIONS = {
    "run": [
        *("SUBMISSION", "--input", "--output", "--sets", "--pseudo-experiments", "--systematics"),
        *("--seed", "--workers", "--deadline", "--isolation"),
        *("--fit-seconds", "--predict-seconds", "--memory", "--disk", "--log-size"),
    ],
    "score": ["PREDICTIONS", "--output", "--reference", "--phase-2"],
    "generate": ["--scenario", "--events", "--seed", "--output", "--workers"],
}

COMMANDS = cli._cli.list_commands(None)


def call(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(cli._cli, [str(argument) for argument in arguments])


def higgsml(doors, *arguments, cwd=None):
    """Run the installed command in a process of its own."""
    return doors.run(HIGGSML, *arguments, cwd=cwd)


def settings_of(output):
    return json.loads((output / "predictions" / "test_settings.json").read_text())


@pytest.fixture(scope="module")
def counting_run(doors, tiny_dataset, tmp_path_factory):
    """The smallest example, as the README shows it but for the size."""
    output = tmp_path_factory.mktemp("counting") / "outputs"
    end = higgsml(
        doors,
        *("run", COUNTING, "--input", tiny_dataset, "--output", output),
        *("--sets", 2, "--pseudo-experiments", 3, "--seed", 8),
    )
    assert end.returncode == 0, end.stderr
    return output, end


# --- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command(flag):
    result = call(flag)
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.output
    assert "higgsml run sample_submission" in result.output
    assert set(OPTIONS) <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_listed_command_is_there_under_its_name(command):
    assert cli._cli.get_command(None, command).name == command


def test_an_unknown_command_is_named():
    result = call("rnu")
    assert result.exit_code == 2
    assert "No such command 'rnu'" in result.output


def test_help_needs_no_library_of_a_command():
    """They take seconds to import."""
    code = (
        "import sys; from HiggsML.cli import _cli; _cli(['--help'], standalone_mode=False); "
        "print({'numpy', 'pandas', 'matplotlib', 'sklearn'} & sys.modules.keys())"
    )
    end = run_process(sys.executable, "-c", code)
    assert end.returncode == 0, end.stderr
    assert end.stdout.endswith("\nset()\n")


@pytest.mark.parametrize("command", OPTIONS)
def test_help_of_a_command_explains_its_options(command):
    result = call(command, "--help")
    assert result.exit_code == 0
    for option in OPTIONS[command]:
        assert option in result.output
    for parameter in cli._cli.get_command(None, command).params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{command} {parameter.name} has no help"


def test_help_names_the_nuisance_parameters():
    text = " ".join(call("run", "--help").output.split())
    assert "all|none|NAME,..." in text
    assert ", ".join(NUISANCES) in text


def test_the_installed_command_starts():
    end = run_process(HIGGSML, "--version")
    assert end.returncode == 0
    assert end.stdout == f"higgsml, version {HiggsML.__version__}\n"
    assert end.stderr == ""


# --- run ----------------------------------------------------------------------------------------


def test_run_prints_the_leaderboard_row_and_the_report(counting_run):
    output, end = counting_run
    assert "Leaderboard row" in end.stdout
    for key in SCORE_KEYS:
        assert key.split("_")[0] in end.stdout
    scores = json.loads((output / "scores" / "scores.json").read_text())
    for key in ("rmse", "interval", "quantiles_score"):
        assert f"{scores[key]:.4f}" in end.stdout
    report = output / "scores" / "detailed_results.html"
    assert report.is_file()
    assert end.stdout.endswith(f"Report: {report}\n")


def test_run_does_what_the_options_say(counting_run):
    output, _ = counting_run
    settings = settings_of(output)
    assert (settings["num_of_sets"], settings["num_pseudo_experiments"]) == (2, 3)
    assert settings["systematics"] == ALL_ON, "all by default"


def test_no_progress_bar_where_there_is_no_terminal(counting_run):
    _, end = counting_run
    assert end.stderr.startswith("Note: The test set is small")
    assert end.stderr.count("\n") == 1
    assert "\x1b" not in end.stdout + end.stderr


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What ``higgsml run`` asks the ingestion for; nothing is run."""
    seen = []

    def remember(options, progress):
        seen.append(options)
        raise DataError("enough")

    monkeypatch.setattr("HiggsML.ingestion.run.run_ingestion", remember)

    def ask(*arguments):
        result = call("run", COUNTING, "--input", tmp_path, *arguments)
        assert isinstance(result.exception, DataError), result.output
        return seen[-1]

    return ask


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("all", ALL_ON),
        ("none", ALL_OFF),
        ("tes,jes", ALL_OFF | {"tes": True, "jes": True}),
        ("soft_met", ALL_OFF | {"soft_met": True}),
        ("jes, tes", ALL_OFF | {"tes": True, "jes": True}),
    ],
)
def test_systematics(asked, value, expected):
    assert asked("--systematics", value).systematics == expected


def test_defaults_are_those_of_the_challenge(asked):
    options = asked()
    assert (options.num_of_sets, options.num_pseudo_experiments) == (10, 100)
    assert options.systematics == ALL_ON
    assert options.seed is None
    assert options.deadline is None
    assert options.isolation == "prefer"
    assert options.empty_output is False, "an own directory is not swept"
    assert str(options.output) == "outputs/counting/predictions"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--systematics", "tes,tau"], "unknown systematics tau; known are tes, jes, soft_met"),
        (["--systematics", ""], "unknown systematics"),
        (["--sets", "0"], "0 is not in the range x>=1"),
        (["--pseudo-experiments", "many"], "'many' is not a valid integer"),
        (["--workers", "-1"], "-1 is not in the range x>=1"),
        (["--deadline", "0"], "0.0 is not in the range x>0"),
        (["--seed", "-5"], "-5 is not in the range x>=0"),
        (["--isolation", "none"], "'none' is not one of 'require', 'prefer', 'off'"),
        (["--input", "no/such/place"], "there is no dataset at 'no/such/place'"),
        (["--output", str(ROOT / "README.md")], "is a file"),
        (["--sytematics", "all"], "No such option"),
    ],
)
def test_wrong_options_are_explained(arguments, says):
    result = call("run", COUNTING, *arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert "Usage: " in result.output


def test_a_missing_submission_is_explained(doors, tmp_path):
    end = higgsml(doors, "run", "no/such/submission")
    assert end.returncode == 2
    assert "'no/such/submission' does not exist" in end.stderr
    end = higgsml(doors, "run", COUNTING, "--input", tmp_path, "--output", tmp_path / "o")
    assert end.returncode == 1
    assert end.stderr.startswith(f"Error: no parquet file in {tmp_path}")
    assert "higgsml generate" in end.stderr
    assert end.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explor"], "No such command 'explor'. Did you mean 'explore'?"),
        (["comparison"], "Did you mean 'compare'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["run", "--seeed", "1", "."], "'--seed'"),
        (["run", "DIR/mine/model.py"], "is a file of a submission: name its folder, DIR/mine"),
        (["study", "DIR/mine/model.py"], "is a file of a submission: name its folder, DIR/mine"),
        (
            ["run", "DIR/mine/notes.md"],
            "is a file: a submission is a folder with model.py, or a zip",
        ),
        (["submission", "check", "DIR/mine/model.py"], "name its folder, DIR/mine"),
        (["score", "DIR"], "name the folder of a run, what 'higgsml run --output' named; below it"),
        (["compare", "DIR/run/scores"], "holds the scores of a run: name the run, DIR/run"),
    ],
)
def test_common_mistakes_get_a_hint(arguments, message, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.py").write_text("")
    (tmp_path / "mine" / "notes.md").write_text("no zip")
    for name in ("scores", "predictions"):
        (tmp_path / "run" / name).mkdir(parents=True)
    (tmp_path / "run" / "scores" / "scores.json").write_text("{}")
    end = CliRunner().invoke(cli._cli, [part.replace("DIR", str(tmp_path)) for part in arguments])
    assert end.exit_code != 0
    said = " ".join(f"{end.output} {end.exception}".split())
    assert message.replace("DIR", str(tmp_path)) in said


def test_outside_a_checkout_the_dataset_has_to_be_named(doors, tmp_path):
    end = higgsml(doors, "run", COUNTING, cwd=tmp_path)
    assert end.returncode == 2
    assert "there is no dataset at 'input_data'" in end.stderr


def test_a_small_test_set_is_remarked_on(doors, real_sample, tmp_path):
    """The real sample has 300 test events: poor by nature, and no reason to fail."""
    end = higgsml(
        doors,
        *("run", COUNTING, "--input", real_sample, "--output", tmp_path / "o"),
        *("--sets", 1, "--pseudo-experiments", 2, "--systematics", "tes,jes"),
    )
    assert end.returncode == 0, end.stderr
    assert "Note: The test set is small: it holds fewer than 20 simulated events" in end.stderr
    assert "these scores test the software, not a method" in end.stderr
    assert settings_of(tmp_path / "o")["systematics"] == ALL_OFF | {"tes": True, "jes": True}
    assert settings_of(tmp_path / "o")["notices"][0] in end.stderr


# --- score and generate -------------------------------------------------------------------------


def test_a_run_does_not_replace_an_earlier_one_unasked(asked, counting_run, tmp_path):
    output, _ = counting_run
    before = {path: path.read_bytes() for path in output.rglob("*.json")}
    refused = call("run", COUNTING, "--input", tmp_path, "--output", output)
    assert isinstance(refused.exception, SettingsError)
    assert re.search(r"results of an earlier run: .* --overwrite", str(refused.exception))
    assert {path: path.read_bytes() for path in output.rglob("*.json")} == before
    assert asked("--output", output, "--overwrite").output == output / "predictions"


def test_a_path_that_nearly_exists_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_model").mkdir()
    (tmp_path / "my_model" / "model.py").write_text("")
    assert "did you mean 'my_model'?" in call("run", "my_modle").output
    other = call("run", "zzz").output
    assert f"in {tmp_path}" in " ".join(other.split())
    assert "submissions here: my_model" in " ".join(other.split())
    assert "nor does its folder 'far'" in call("run", "far/away").output
    assert "higgsml run SUBMISSION" in str(call("runs").exception)
    asked = call("explore", "--input", ROOT / "input_data", "--columns", "PRI_mett")
    assert "did you mean PRI_met" in str(asked.exception)


def test_runs_are_listed_best_first(counting_run, tmp_path, monkeypatch):
    output, _ = counting_run
    for name in ("first", "second"):
        shutil.copytree(output, tmp_path / "runs" / name)
    for path in (tmp_path / "runs" / "first" / "predictions").glob("result_*.json"):
        content = json.loads(path.read_text())
        content["p84"] = [p84 + 5 for p84 in content["p84"]]
        path.write_text(json.dumps(content))
    page = tmp_path / "runs.html"
    result = call("runs", tmp_path / "runs", "--page", page, "--board")
    assert (tmp_path / "runs" / "board" / "index.html").is_file()
    assert result.exit_code == 0, result.output
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert call("runs", tmp_path / "runs", "--board", ".").exit_code == 0
    assert (tmp_path / "here" / "index.html").is_file()
    assert result.output.index("second") < result.output.index("first")
    assert "±" in result.output
    text = page.read_text()
    assert text.index(">second</a>") < text.index(">first</a>")
    assert (tmp_path / "runs" / "first" / "scores").resolve().as_uri() in text
    empty = call("runs", tmp_path / "runs" / "first" / "scores")
    assert "holds no run" in str(empty.exception)


BUGGY = """
class Model:
    def __init__(self, get_train_set, systematics):
        pass

    def fit(self):
        secret = 6 * 7
        {line}

    def predict(self, test_set):
        print("predicting")
        return {{"mu_hat": 1.0, "delta_mu_hat": 0.1, "p16": 0.9, "p84": 1.1}}
"""


def debugged(tiny_dataset, tmp_path, line, *flags, typed=""):
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "model.py").write_text(BUGGY.format(line=line))
    command = [HIGGSML, "run", tmp_path / "submission", "--input", tiny_dataset]
    command += ["--output", tmp_path / "out", "--sets", 1, "--pseudo-experiments", 2, *flags]
    return subprocess.run(
        [*map(str, command)], input=typed, capture_output=True, text=True, env=ENVIRONMENT
    )


def test_debug_opens_the_debugger_where_the_model_fails(tiny_dataset, tmp_path):
    end = debugged(tiny_dataset, tmp_path, "1 / 0", "--debug", typed="p 'value', secret\nq\n")
    assert end.returncode == 1
    assert "('value', 42)" in end.stdout
    assert "ZeroDivisionError" in end.stderr
    assert not list(tmp_path.glob("out/predictions/*"))


def test_the_debugger_begins_on_the_participants_line_above_a_librarys(tiny_dataset, tmp_path):
    line = "__import__('json').loads('[')"
    end = debugged(tiny_dataset, tmp_path, line, "--debug", typed="p 'value', secret\nq\n")
    assert end.returncode == 1
    assert "('value', 42)" in end.stdout
    assert "frames of Python" in end.stderr
    assert "decoder.py" not in end.stderr


def test_debug_stops_at_a_breakpoint_and_goes_on(tiny_dataset, tmp_path):
    end = debugged(
        tiny_dataset, tmp_path, "breakpoint()", "--debug", typed="p 'value', secret\nc\n"
    )
    assert end.returncode == 0, end.stderr
    assert "('value', 42)" in end.stdout
    assert end.stdout.count("predicting") == 2
    assert "quantiles score" in end.stdout


def test_a_breakpoint_elsewhere_says_how(tiny_dataset, tmp_path):
    end = debugged(tiny_dataset, tmp_path, "breakpoint()")
    assert end.returncode == 1
    assert "higgsml run SUBMISSION --debug" in end.stderr


def test_debug_gives_the_numbers_of_the_judged_run(counting_run, tiny_dataset, doors, tmp_path):
    output, _ = counting_run
    end = higgsml(
        doors,
        *("run", COUNTING, "--input", tiny_dataset, "--output", tmp_path / "out", "--debug"),
        *("--sets", 2, "--pseudo-experiments", 3, "--seed", 8),
    )
    assert end.returncode == 0, end.stderr
    for index in range(2):
        name = f"predictions/result_{index}.json"
        assert (tmp_path / "out" / name).read_bytes() == (output / name).read_bytes()


def test_score_computes_the_same_again(doors, counting_run, tmp_path):
    output, _ = counting_run
    before = (output / "scores" / "scores.json").read_bytes()
    end = higgsml(doors, "score", output / "predictions", "--output", tmp_path / "s", "--phase-2")
    assert end.returncode == 0, end.stderr
    assert (tmp_path / "s" / "scores.json").read_bytes() == before
    assert f"Report: {tmp_path / 's' / 'detailed_results.html'}\n" in end.stdout


def test_score_refuses_what_does_not_fit(doors, counting_run, tmp_path):
    output, _ = counting_run
    wanted = {"num_of_sets": 10, "num_pseudo_experiments": 3, "systematics": ALL_ON}
    (tmp_path / "settings.json").write_text(json.dumps(wanted))
    end = higgsml(doors, "score", output / "predictions", "--reference", tmp_path)
    assert end.returncode == 1
    assert end.stderr.startswith("Error: ")
    assert "num_of_sets is 2 instead of 10" in end.stderr
    end = higgsml(doors, "score", tmp_path)
    assert end.returncode == 1
    assert "test_settings.json is missing" in end.stderr


def test_generate(doors, tmp_path):
    end = higgsml(doors, "generate", "--output", tmp_path / "new", "--events", 2000, "--seed", 1)
    assert end.returncode == 0, end.stderr
    assert end.stdout == f"Dataset: {tmp_path / 'new'}\n"
    assert len(list((tmp_path / "new").glob("*.parquet"))) == 1
    again = higgsml(doors, "generate", "--output", tmp_path / "new", "--events", 2000)
    assert again.returncode == 1
    assert "Error: " in again.stderr
    assert "already holds" in again.stderr


def test_generate_needs_a_place():
    result = call("generate")
    assert result.exit_code == 2
    assert "Missing option '--output'" in result.output


LOOP = """
import time

class Model:
    def __init__(self, get_train_set, systematics):
        print("x" * 3000)

    def fit(self):
        time.sleep({fit})

    def predict(self, test_set):
        time.sleep(100)
"""


@pytest.mark.parametrize(
    ("fit", "flags", "message", "where"),
    [
        (100, ("--fit-seconds", 2), "import and fit took longer than its budget of 2 s", "fit"),
        (
            0,
            ("--predict-seconds", "0.5"),
            "one prediction took longer than its budget of 0.5 s",
            "predict",
        ),
        (100, ("--memory", "20m"), "of memory; its budget is 20.0 MB", None),
        (100, ("--log-size", "1k", "--deadline", 10), "the whole run had 10 s", None),
    ],
)
def test_budgets_on_the_command_line(doors, tiny_dataset, tmp_path, fit, flags, message, where):
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "model.py").write_text(LOOP.format(fit=fit))
    end = higgsml(
        doors,
        *("run", tmp_path / "submission", "--input", tiny_dataset, "--output", tmp_path / "o"),
        *("--sets", 1, "--pseudo-experiments", 1, *flags),
    )
    assert end.returncode == 1
    assert message in end.stderr
    assert ("more than 1.0 kB of output" in end.stderr) == ("--log-size" in flags)
    line = re.search(
        r"\[submission\] +File .*/submission/model\.py\", line \d+ in (\w+)", end.stderr
    )
    assert (line and line[1]) == where


@pytest.mark.parametrize("value", ["0", "-1g", "8x", "", "nan", "9" * 40])
def test_a_budget_that_is_none_is_refused(value):
    end = call("run", COUNTING, "--memory", value)
    assert end.exit_code == 2
    assert "is not a positive number" in end.output


def test_a_dataset_that_every_submission_can_read_is_refused(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("HiggsML.isolation.cage.system_paths._SYSTEM", (str(tiny_dataset.parent),))
    with pytest.raises(SettingsError, match=r"dataset directory .* is open to every submission"):
        run_ingestion(IngestionOptions(tiny_dataset, COUNTING, tmp_path / "output", 1, 1))
    assert not (tmp_path / "output").exists()
