"""One place says what a competition's runs are; commands, reference data and pages follow."""

import json
import shlex
import shutil

import pytest
import yaml

from HiggsML.codabench import validate_tree
from HiggsML.codabench.bundle.settings import read_settings, run_plan, without_settings
from HiggsML.codabench.bundle.source import assemble
from HiggsML.errors import SettingsError
from HiggsML.ingestion.arguments import words
from HiggsML.isolation.budget.budgets import parse_amount
from HiggsML.schema import NUISANCES
from tests.pipeline_fixtures import ROOT


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What a bundle needs of the checkout, without the library's code."""
    target = tmp_path_factory.mktemp("checkout")
    ignore = shutil.ignore_patterns("__pycache__")
    names = ("ingestion_program", "scoring_program", "sample_submission", "pages", "examples")
    for name in names:
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    for name in ("src/HiggsML", "input_data"):
        (target / name).mkdir(parents=True)
    (target / "src/HiggsML/__init__.py").write_text("")
    (target / "input_data/events.parquet").write_bytes(b"PAR1 PAR1")
    for name in ("competition.yaml", "logo.png"):
        shutil.copyfile(ROOT / name, target / name)
    return target


@pytest.fixture
def built(checkout):
    """Build with a changed ``competition.yaml``; the whole of it goes back afterwards."""
    file = checkout / "competition.yaml"
    original = file.read_text()

    def build(*changes):
        text = original
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        file.write_text(text)
        return assemble(checkout)

    yield build
    file.write_text(original)


def command(tree, program="ingestion_program"):
    text = yaml.safe_load(tree.read(f"{program}/metadata.yaml"))["command"]
    return shlex.split(text)


def settings(tree, directory="reference_data"):
    return json.loads(tree.read(f"{directory}/settings.json"))


def complaints(tree):
    return [f for f in validate_tree(tree) if f.rule in ("settings", "page-mark")]


def value_of(flag, said):
    return said[said.index(flag) + 1]


def test_a_change_reaches_command_reference_and_pages(built):
    tree = built(
        ("num_of_sets: 10", "num_of_sets: 7"),
        ("num_pseudo_experiments: 100", "num_pseudo_experiments: 300"),
        ("systematics: all", "systematics: [tes, bkg_scale]"),
        ("workers: 2", "workers: 5"),
        ("  final_phase: true", "  final_phase: false"),
        ("execution_time_limit: 600", "execution_time_limit: 1800"),
        ("execution_time_limit: 600", "execution_time_limit: 900"),
    )
    said = command(tree)
    assert said[:3] == ["python3", "run_ingestion.py", "--codabench"]
    assert value_of("--num-of-sets", said) == "7"
    assert value_of("--num-pseudo-experiments", said) == "300"
    assert value_of("--workers", said) == "5"
    assert value_of("--repeatable", said) == "require"
    on = {word for word in said if word.startswith("--systematics-")}
    assert on == {"--systematics-tes", "--systematics-bkg-scale"}
    wanted = settings(tree)
    assert (wanted["num_of_sets"], wanted["num_pseudo_experiments"]) == (7, 300)
    assert wanted["final_phase"] is False
    assert {name for name, varies in wanted["systematics"].items() if varies} == {
        *("tes", "bkg_scale")
    }
    page = tree.read("pages/evaluation.md").decode()
    assert "meets 7 sets of\n300 pseudo-experiments, 2,100 in all" in page
    assert complaints(tree) == []


def test_the_deadline_follows_the_shortest_limit_of_the_phases(built):
    assert value_of("--deadline", command(built())) == "540"
    limits = ("execution_time_limit: 600", "execution_time_limit: 1800")
    tree = built(limits, limits)
    assert value_of("--deadline", command(tree)) == "1740"
    assert "| 1,740 seconds;" in tree.read("pages/evaluation.md").decode()
    kit = tree.read("starting_kit/README.md").decode()
    assert "1,740 seconds with 2 workers" in kit
    assert value_of("--deadline", command(built(("  # deadline: 540", "  deadline: 99")))) == "99"


FINAL = [
    (
        "  - index: 1\n    name: Signal",
        "  - index: 1\n    settings:\n      num_of_sets: 50\n    name: Signal",
    ),
]
DIRECTORIES = (
    "scores with their spread over sets.\n    ingestion_program: ingestion_program/\n"
    "    scoring_program: scoring_program/\n    input_data: input_data/\n"
    "    reference_data: reference_data/\n"
)
OWN_DIRECTORIES = DIRECTORIES.replace("ingestion_program/", "ingestion_program_1/").replace(
    "reference_data/", "reference_data_1/"
)


def test_a_task_can_have_settings_of_its_own(built):
    tree = built(*FINAL, (DIRECTORIES, OWN_DIRECTORIES))
    assert value_of("--num-of-sets", command(tree)) == "10"
    assert value_of("--num-of-sets", command(tree, "ingestion_program_1")) == "50"
    assert settings(tree)["num_of_sets"] == 10
    assert settings(tree, "reference_data_1")["num_of_sets"] == 50
    assert settings(tree, "reference_data_1")["num_pseudo_experiments"] == 100
    for place in ("reference_data", "reference_data_1", "input_data"):
        assert tree.read(f"{place}/seal.key") == tree.read("input_data/seal.key")
    assert "ingestion_program_1/run_ingestion.py" in tree
    assert complaints(tree) == []


def test_tasks_with_different_settings_can_not_share_a_directory(built):
    finding = complaints(built(*FINAL))[0]
    assert finding.kind == "challenge"
    assert "share ingestion_program: ingestion_program/" in finding.message
    assert "ingestion_program_1/" in finding.message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("num_of_sets: 10", "num_of_sets: 0", "at least 1"),
        ("num_of_sets: 10", 'num_of_sets: "10"', "type int"),
        ("num_of_sets: 10", "num_of_sets: true", "type int"),
        ("num_of_sets: 10", "sets: 10", "no setting sets"),
        ("workers: 2", "seed: 2", "no setting seed"),
        ("workers: 2", "scheduler: tcp://a:1", "no setting scheduler"),
        ("systematics: all", "systematics: [tes, jet]", "some of tes, jes"),
        ("repeatable: require", "repeatable: always", "one of"),
        ("final_phase: true", "final_phase: 1", "true or false"),
    ],
)
def test_a_wrong_setting_is_an_error_with_its_line(built, checkout, old, new, said):
    tree = built((f"  {old}", f"  {new}"))
    first, *marks = complaints(tree)
    assert said in first.message
    lines = (checkout / "competition.yaml").read_text().splitlines()
    assert lines[first.line - 1].strip().startswith(new)
    assert {finding.rule for finding in marks} == {"page-mark"}
    assert "reference_data/settings.json" not in tree


def test_the_platform_gets_no_settings_and_the_same_lines(checkout, built):
    tree = built()
    text = tree.read("competition.yaml").decode()
    original = (checkout / "competition.yaml").read_text()
    assert len(text.splitlines()) == len(original.splitlines())
    shipped, written = yaml.safe_load(text), yaml.safe_load(original)
    assert written.pop("settings")["num_of_sets"] == 10
    assert shipped == written


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nsettings: {x: 1,\n  y: 2}\nb: 2\n",
        "a: 1\nsettings:\n\n  # why\n  x: [1,\n    2]\nb: 2",
        "a: 1\nb: 2\nsettings:\n    x: 1\n",
    ],
)
def test_settings_in_every_writing_become_comments(text):
    shipped = without_settings(text)
    assert yaml.safe_load(shipped) == {"a": 1, "b": 2}
    assert len(shipped.splitlines()) == len(text.splitlines())


def test_settings_that_nobody_built_in_are_reported(built):
    tree = built()
    files = {name: tree.read(name) for name in tree.files}
    files["competition.yaml"] += b"settings:\n  num_of_sets: 3\n"
    (finding,) = complaints(type(tree).from_bytes(files))
    assert "bundle build" in finding.message
    assert finding.kind == "challenge"


def test_an_unknown_mark_in_a_page_is_reported(checkout, built):
    page = checkout / "pages" / "data.md"
    text = page.read_text()
    page.write_text(f"{text}\n<!--=sets-->10<!--/-->\n")
    (finding,) = complaints(built())
    page.write_text(text)
    assert (finding.rule, finding.file) == ("page-mark", "pages/data.md")
    assert finding.line == len(text.splitlines()) + 2


def test_a_competition_without_settings_keeps_its_files():
    plan = run_plan({"tasks": [{"index": 0, "ingestion_program": "i/"}]})
    assert plan.of_directory == {}
    assert plan.of_pages is None


def test_budgets_and_the_words_that_follow():
    found = read_settings({"memory_bytes": "3GB", "isolation": "require"}, 200)
    assert value_of("--deadline", found.words()) == "140"
    assert value_of("--isolation", found.words()) == "require"
    assert f"{parse_amount('3GB')}" in found.words()
    assert sum(word.startswith("--systematics") for word in found.words()) == len(NUISANCES)
    assert "--num-of-sets" not in words(found.options)
    with pytest.raises(SettingsError, match="names and values"):
        read_settings([1])


def test_the_checkouts_pages_show_the_checkouts_settings(built, checkout):
    """Whoever reads the pages without building them sees the same numbers."""
    tree = built()
    plan = run_plan(yaml.safe_load((checkout / "competition.yaml").read_text()))
    for page in ("overview", "evaluation", "starting_kit"):
        text = (ROOT / "pages" / f"{page}.md").read_text()
        assert "<!--=" in text
        for mark in text.split("<!--=")[1:]:
            name, shown = mark.split("<!--/-->")[0].split("-->")
            assert plan.of_pages.fill(f"<!--={name}-->?<!--/-->") == shown
        assert "<!--=" not in tree.read(f"pages/{page}.md").decode()
