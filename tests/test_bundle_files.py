"""The bundle's own files against the platform's contract, which ignores typing errors silently.

The rules of ``competition.yaml`` were found by running the platform's unpacker and worker.
"""

import importlib.util
import json
import shlex
import struct
from datetime import datetime, timedelta

import pytest
import yaml

from HiggsML.codabench.bundle.source import assemble
from HiggsML.results import load_settings
from HiggsML.schema import NUISANCES
from HiggsML.score import SCORE_KEYS
from tests.pipeline_fixtures import INGESTION, ROOT, SCORING

COMPETITION = ROOT / "competition.yaml"
# "higgsml bundle build" makes these; all others are in the repository.
MADE_BY_THE_BUILD = {"starting_kit/", "reference_data/"}

# Allowed keys by level: what the platform reads, and what the build does.
TOP = {
    "settings",
    *("version", "title", "image", "terms", "pages", "tasks", "phases", "leaderboards"),
    *("description", "docker_image", "registration_auto_approve", "enable_detailed_results"),
    *("show_detailed_results_in_submission_panel", "show_detailed_results_in_leaderboard"),
    *("auto_run_submissions", "can_participants_make_submissions_public"),
    *("make_programs_available", "make_input_data_available", "forum_enabled"),
    *("competition_type", "reward", "contact_email", "queue", "fact_sheet", "solutions"),
}
REQUIRED = {"version", "title", "image", "terms", "pages", "tasks", "phases", "leaderboards"}
BELOW = {
    "pages": {"title", "file"},
    "tasks": {
        *("index", "name", "description", "scoring_program", "ingestion_program", "input_data"),
        *("reference_data", "ingestion_only_during_scoring"),
    },
    "solutions": {"index", "name", "description", "tasks", "path"},
    "phases": {
        *("index", "name", "description", "start", "end", "tasks", "max_submissions_per_day"),
        *("max_submissions", "execution_time_limit", "auto_migrate_to_this_phase", "hide_output"),
        *("hide_prediction_output", "hide_score_output", "public_data", "starting_kit"),
    },
    "leaderboards": {"index", "title", "key", "columns", "primary_index", "submission_rule"},
}
COLUMN = {
    *("index", "title", "key", "sorting", "precision", "hidden", "computation"),
    "computation_indexes",
}
PROGRAM_SCRIPTS = {"run_ingestion.py": INGESTION, "run_scoring.py": SCORING}


@pytest.fixture(scope="module")
def competition():
    return yaml.safe_load(COMPETITION.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def written():
    """The same content with every value as it is written, and whether it is quoted."""
    return yaml.compose(COMPETITION.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The directory of the bundle, as far as its settings go."""
    directory = tmp_path_factory.mktemp("built")
    tree = assemble(ROOT)
    for name in tree.files:
        if name.split("/")[-1] in ("metadata.yaml", "settings.json"):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(tree.read(name))
    return directory


@pytest.fixture(scope="module")
def reference(built):
    return load_settings(built / "reference_data" / "settings.json", with_truth=False)


def scalars(node, key):
    """All values of a key, at any depth."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                yield value
            yield from scalars(value, key)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from scalars(value, key)


# --- competition.yaml ---------------------------------------------------------------------------


def test_no_key_that_the_platform_would_ignore(competition):
    assert set(competition) <= TOP
    assert set(competition) >= REQUIRED
    for part, allowed in BELOW.items():
        for entry in competition.get(part, []):
            assert set(entry) <= allowed, part
    for column in competition["leaderboards"][0]["columns"]:
        assert set(column) <= COLUMN


def test_version_and_lengths(competition, written):
    [version] = scalars(written, "version")
    assert version.value == "2"
    assert 1 <= len(competition["title"]) <= 256
    assert 1 <= len(competition["docker_image"]) <= 128
    assert competition["competition_type"] in ("competition", "benchmark")
    for name, value in competition.items():
        if name.startswith(("make_", "show_", "enable_", "auto_", "can_", "registration_")):
            assert isinstance(value, bool), name


def test_indices_are_unique_and_refer_to_something(competition):
    for part in ("tasks", "solutions", "phases", "leaderboards"):
        indices = [entry["index"] for entry in competition[part]]
        assert len(set(indices)) == len(indices), part
    tasks = {task["index"] for task in competition["tasks"]}
    for entry in (*competition["phases"], *competition["solutions"]):
        assert entry["tasks"]
        assert set(entry["tasks"]) <= tasks


def test_paths_exist(competition):
    paths = [competition["image"], competition["terms"]]
    paths += [page["file"] for page in competition["pages"]]
    for task in competition["tasks"]:
        paths += [task[key] for key in ("ingestion_program", "scoring_program")]
        paths += [task[key] for key in ("input_data", "reference_data")]
    paths += [solution["path"] for solution in competition["solutions"]]
    for phase in competition["phases"]:
        paths += [phase[key] for key in ("public_data", "starting_kit") if key in phase]
    for path in set(paths) - MADE_BY_THE_BUILD:
        target = ROOT / path
        assert target.is_dir() if path.endswith("/") else target.is_file(), path
        assert ROOT in target.resolve().parents
        assert any(target.iterdir()) if target.is_dir() else target.stat().st_size > 0


def test_pages_are_written(competition):
    for page in [*(page["file"] for page in competition["pages"]), competition["terms"]]:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert len(text.split()) > 100, page
        assert text.startswith("# "), page
        for unfinished in ("TODO", "FIXME", "lorem ipsum", "XXX"):
            assert unfinished.lower() not in text.lower(), page
    assert len({page["title"] for page in competition["pages"]}) == len(competition["pages"])


def test_phases_follow_one_another_in_quoted_utc(competition, written):
    for key in ("start", "end"):
        for value in scalars(written, key):
            assert value.style in ('"', "'"), f"{value.value} must be quoted"
            datetime.strptime(value.value, "%Y-%m-%d %H:%M:%S")
    phases = competition["phases"]
    assert all("end" in phase for phase in phases[:-1]), "only the last one may be open"
    times = [phase[key] for phase in phases for key in ("start", "end") if key in phase]
    assert times == sorted(set(times)), "a phase starts strictly after the one before it ends"


def test_limits_of_phases(competition):
    for phase in competition["phases"]:
        assert 60 <= phase["execution_time_limit"] <= 600, "the default queue stops at 600 s"
        assert 1 <= phase["max_submissions_per_day"] <= phase["max_submissions"]


def test_the_leaderboard_shows_what_scoring_writes(competition):
    [board] = competition["leaderboards"]
    keys = [column["key"] for column in board["columns"]]
    assert sorted(keys) == sorted(SCORE_KEYS)
    assert len(board["title"]) <= 64
    assert len(board["key"]) <= 36
    assert [column["index"] for column in board["columns"]] == list(range(len(keys)))
    for column in board["columns"]:
        assert len(column["title"]) <= 36
        assert column["sorting"] in ("asc", "desc")
        assert "computation" not in column
    assert keys[board["primary_index"]] == "quantiles_score"
    assert board["columns"][board["primary_index"]]["sorting"] == "desc"


def test_a_submission_without_a_score_can_not_rank_first(competition):
    rule = competition["leaderboards"][0]["submission_rule"]
    assert rule in ("Add", "Add_And_Delete", "Add_And_Delete_Multiple", "Force_Last")


def test_private_data_are_not_offered(competition):
    assert competition["make_input_data_available"] is False
    assert competition["enable_detailed_results"] is True


def test_the_logo_is_an_image_that_the_platform_takes(competition):
    assert competition["image"].endswith(".png")
    content = (ROOT / competition["image"]).read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert 100 <= width <= 2000
    assert 100 <= height <= 2000
    assert 0.5 <= width / height <= 2
    assert len(content) < 500_000


# --- programs and what they must agree on -------------------------------------------------------


def programs(competition, kind, built):
    return [built / path for path in {task[kind] for task in competition["tasks"]}]


def parse(script, arguments):
    """Parse flags with the script's own parser."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.parse_arguments(arguments)


def command_of(program):
    """Return a program's script and its flags, parsed."""
    content = yaml.safe_load((program / "metadata.yaml").read_text(encoding="utf-8"))
    assert set(content) == {"command"}
    assert not set("|&;<>$*?`\\") & set(content["command"]), "there is no shell"
    interpreter, name, *arguments = shlex.split(content["command"])
    assert interpreter == "python3", "execute bits do not survive the upload"
    return name, parse(PROGRAM_SCRIPTS[name], arguments)


def test_ingestion_runs_what_the_reference_demands(competition, built, reference):
    shortest = min(phase["execution_time_limit"] for phase in competition["phases"])
    for program in programs(competition, "ingestion_program", built):
        name, flags = command_of(program)
        assert name == "run_ingestion.py"
        assert flags.codabench
        assert flags.num_of_sets == reference.num_of_sets
        assert flags.num_pseudo_experiments == reference.num_pseudo_experiments
        asked = {nuisance: getattr(flags, f"systematics_{nuisance}") for nuisance in NUISANCES}
        assert asked == reference.systematics
        assert flags.seed is None, "a seed would make the truth public"
        assert flags.isolation != "off"
        assert flags.deadline <= shortest - 30, "time to start and to write the results"
        assert not flags.public_dataset


def test_scoring_uses_the_platforms_paths(competition, built):
    for program in programs(competition, "scoring_program", built):
        name, flags = command_of(program)
        assert name == "run_scoring.py"
        assert flags.codabench


def test_reference_data_hold_no_truth(built, reference):
    content = json.loads((built / "reference_data" / "settings.json").read_text())
    assert set(content) == {
        *("num_of_sets", "num_pseudo_experiments", "systematics", "final_phase")
    }
    assert reference.mus == {}
    assert all(reference.systematics.values())


def test_the_time_limit_leaves_room_for_the_measurement(competition, reference):
    """A tenth of a second for every pseudo-experiment, and a minute to fit, is the least."""
    total = reference.num_of_sets * reference.num_pseudo_experiments
    least = timedelta(seconds=60 + 0.1 * total)
    for phase in competition["phases"]:
        assert timedelta(seconds=phase["execution_time_limit"]) > least
