"""Validation of a bundle: a good one is broken in every way we know, and each must be reported."""

import io
import json
import re
import stat
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from HiggsML.codabench import contract, errors_of, validate_path, validate_tree
from HiggsML.codabench.bundle.source import assemble
from HiggsML.codabench.bundle.tree import Entry, Tree
from HiggsML.codabench.rules.findings import refusals_of
from HiggsML.score import SCORE_KEYS

ROOT = Path(__file__).resolve().parent.parent
COMPETITION = "competition.yaml"
INGESTION = "ingestion_program/metadata.yaml"
SCORING = "scoring_program/metadata.yaml"
SETTINGS = "reference_data/settings.json"
EVENTS = "input_data/FAIR_Universe_HiggsML_data.parquet"
EVENTS_METADATA = "input_data/FAIR_Universe_HiggsML_data_metadata.json"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def good_files():
    """The repository's own bundle as bytes, with a tiny private dataset in place of the events."""
    tree = assemble(ROOT)
    files = {
        name: b"PAR1 practice PAR1" if name.endswith(".parquet") else tree.read(name)
        for name in tree.files
    }
    files[EVENTS] = b"PAR1 private PAR1"
    metadata = json.loads(files[EVENTS_METADATA])
    del metadata["seed"], metadata["note"]
    files[EVENTS_METADATA] = json.dumps(metadata, indent=4).encode()
    return files


def findings(files):
    return validate_tree(Tree.from_bytes(files), score_keys=SCORE_KEYS, now=NOW)


def test_the_good_bundle_has_no_finding(good_files):
    assert findings(good_files) == []


@dataclass
class Broken:
    """One way to break the bundle, and what must be said about it.

    ``at`` is a piece of the line that must be named; ``None`` where no line applies.
    """

    change: object
    rule: str
    key: str = ""
    at: str | None = None
    value: str = ""
    remedy: str = ""
    file: str = COMPETITION


def swap(old, new, file=COMPETITION):
    """Replace the first occurrence of a text."""

    def change(files):
        text = files[file].decode()
        assert old in text, f"{old!r} is not in {file}"
        files[file] = text.replace(old, new, 1).encode()

    return change


def cut(text, file=COMPETITION):
    return swap(text, "", file)


def put(file, content):
    def change(files):
        files[file] = content if isinstance(content, bytes) else content.encode()

    return change


def drop(*names):
    def change(files):
        for name in [key for key in files if key.startswith(names)]:
            del files[name]

    return change


def both(*changes):
    def change(files):
        for one in changes:
            one(files)

    return change


def picture(width, height, kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, kind)
    return buffer.getvalue()


def zipped(names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "print('x')\n")
    return buffer.getvalue()


PHASE_1_START = 'start: "2026-12-01 00:00:00"'
PHASE_1_END = 'end: "2027-02-28 23:59:59"'
PHASE_2_START = 'start: "2027-03-01 00:00:00"'
COMMAND = "command: python3 run_ingestion.py"
SCORING_COMMAND = "command: python3 run_scoring.py --codabench"

TOP = {
    "not YAML": Broken(swap("pages:\n", "pages: [\n"), "yaml", at="- title: Overview"),
    "a tab": Broken(swap("title: HiggsML", "\ttitle: HiggsML"), "yaml", at="\ttitle"),
    "not a mapping": Broken(put(COMPETITION, "- 1\n- 2\n"), "yaml", at="- 1", remedy="version: 2"),
    "empty": Broken(put(COMPETITION, ""), "yaml", remedy="Correct"),
    "two documents": Broken(swap("tasks:\n", "---\ntasks:\n"), "yaml", at="---"),
    "impossible date": Broken(
        swap(PHASE_1_START, "start: 2026-13-01 00:00:00"), "yaml", "phases[0].start", "2026-13"
    ),
    "not UTF-8": Broken(
        put(COMPETITION, b"version: 2\ntitle: \xff\n"), "encoding", at="title", remedy="UTF-8"
    ),
    "no version": Broken(cut("version: 2\n"), "missing-key", "version", "title:", "", "version: 2"),
    "version 2.0": Broken(
        swap("version: 2", "version: 2.0"), "version", "version", "version:", "2.0", "version: 2"
    ),
    "version 1": Broken(
        swap("version: 2", "version: 1"), "version", "version", "version:", "1", "2"
    ),
    "misspelled key": Broken(
        swap("forum_enabled", "forum_enable"),
        "unknown-key",
        "forum_enable",
        "forum_enable:",
        "forum_enable",
        "forum_enabled",
    ),
    "upper-case key": Broken(
        swap("docker_image: higgs", "Docker_Image: higgs"),
        "unknown-key",
        "Docker_Image",
        "Docker_Image",
        "Docker_Image",
        "docker_image",
    ),
    "unknown key": Broken(
        swap("forum_enabled: true", "forum_enabled: true\nzebra: 1"),
        "unknown-key",
        "zebra",
        "zebra",
        "zebra",
        "Remove it",
    ),
    "key in the wrong place": Broken(
        swap("forum_enabled: true", "forum_enabled: true\nmax_submissions: 3"),
        "unknown-key",
        "max_submissions",
        "max_submissions: 3",
        "max_submissions",
        "belongs to a phase",
    ),
    "key written twice": Broken(
        swap("forum_enabled: true", "forum_enabled: true\nforum_enabled: false"),
        "duplicate-key",
        "forum_enabled",
        "forum_enabled: false",
        "",
        "Keep one",
    ),
    "no title": Broken(
        cut("title: HiggsML Uncertainty Challenge\n"), "missing-key", "title", "version", "", "Add"
    ),
    "empty title": Broken(
        swap("title: HiggsML Uncertainty Challenge", 'title: ""'), "empty", "title", 'title: ""'
    ),
    "long title": Broken(
        swap("title: HiggsML", "title: HiggsML" + "x" * 300),
        "too-long",
        "title",
        "title: HiggsMLx",
        "HiggsMLxxx",
        "256",
    ),
    "title is a number": Broken(
        swap("title: HiggsML Uncertainty Challenge", "title: 2024"),
        "type",
        "title",
        "title: 2024",
        "2024",
        "quotes",
    ),
    "flag in quotes": Broken(
        swap("forum_enabled: true", 'forum_enabled: "true"'),
        "type",
        "forum_enabled",
        "forum_enabled",
        "true",
        "without quotes",
    ),
    "competition type": Broken(
        swap("competition_type: competition", "competition_type: Competition"),
        "choice",
        "competition_type",
        "competition_type",
        "Competition",
        "Did you mean `competition`?",
    ),
    "long image name": Broken(
        swap("docker_image: higgsml", "docker_image: higgsml" + "x" * 128),
        "too-long",
        "docker_image",
        "docker_image",
        "higgsmlxxx",
        "128",
    ),
    "no image name": Broken(
        cut("docker_image: higgsml/uncertainty-challenge:0.1\n"),
        "docker-image",
        "docker_image",
        "version",
        "",
        "Dockerfile",
    ),
    "impossible image name": Broken(
        swap("docker_image: higgsml", "docker_image: Higgs ML"),
        "docker-image",
        "docker_image",
        "docker_image",
        "Higgs ML",
        "lower case",
    ),
    "image without a tag": Broken(
        swap("challenge:0.1", "challenge"),
        "docker-image",
        "docker_image",
        "docker_image: higgs",
        "higgsml/uncertainty-challenge",
        "tag",
    ),
    "e-mail": Broken(
        swap("forum_enabled: true", "contact_email: nobody"),
        "email",
        "contact_email",
        "contact_email",
        "nobody",
        "name@",
    ),
    "fact sheet": Broken(
        swap("forum_enabled: true", "fact_sheet: text"),
        "fact-sheet",
        "fact_sheet",
        "fact_sheet",
        "text",
    ),
    "leaderboards is a text": Broken(
        swap("leaderboards:\n", "leaderboards: text\nx:\n"),
        "type",
        "leaderboards",
        "leaderboards: text",
        "text",
        "- ",
    ),
}

FILES = {
    "logo missing": Broken(
        drop("logo.png"), "missing-file", "image", "image:", "logo.png", "correct the path"
    ),
    "logo misspelled": Broken(
        swap("image: logo.png", "image: logos.png"),
        "missing-file",
        "image",
        "image:",
        "logos.png",
        "Did you mean `logo.png`?",
    ),
    "logo empty": Broken(put("logo.png", b""), "empty-file", "image", "image:", "logo.png"),
    "logo is svg": Broken(
        both(swap("image: logo.png", "image: logo.svg"), put("logo.svg", "<svg/>")),
        "image-type",
        "image",
        "image:",
        "logo.svg",
        "png",
    ),
    "logo is a jpg called png": Broken(
        put("logo.png", picture(512, 512, "JPEG")),
        "image-type",
        "image",
        "image:",
        "logo.png",
        "ending",
    ),
    "logo is no image": Broken(
        put("logo.png", "text"), "image-type", "image", "image:", "logo.png", "png"
    ),
    "logo is cut off": Broken(
        lambda files: files.update({"logo.png": files["logo.png"][:9000]}),
        "image-content",
        "image",
        "image:",
        "logo.png",
    ),
    "logo is a line": Broken(
        put("logo.png", picture(2000, 20)), "image-shape", "image", "image:", "logo.png", "square"
    ),
    "logo is tiny": Broken(
        put("logo.png", picture(16, 16)),
        "image-shape",
        "image",
        "image:",
        "logo.png",
        "512",
    ),
    "no terms": Broken(cut("terms: pages/terms.md\n"), "missing-key", "terms", "version"),
    "terms empty": Broken(
        put("pages/terms.md", "\n"), "empty-file", "terms", "terms:", "pages/terms.md", "content"
    ),
    "page missing": Broken(
        drop("pages/data.md"), "missing-file", "pages[1].file", "pages/data.md", "pages/data.md"
    ),
    "page not UTF-8": Broken(
        put("pages/data.md", b"# Data\n\xe9\n"),
        "encoding",
        at="\ufffd",
        value="e9",
        remedy="UTF-8",
        file="pages/data.md",
    ),
    "page with a relative link": Broken(
        put("pages/data.md", "# Data\n\n![plot](plots/a.png)\n"),
        "relative-link",
        at="plots",
        value="plots/a.png",
        remedy="full address",
        file="pages/data.md",
    ),
    "page outside": Broken(
        swap("pages/data.md", "../data.md"),
        "missing-file",
        "pages[1].file",
        "../data.md",
        "../data.md",
    ),
    "page with an absolute path": Broken(
        swap("pages/data.md", "/data.md"),
        "missing-file",
        "pages[1].file",
        "/data.md",
        "/data.md",
        "root",
    ),
    "page with a backslash": Broken(
        swap("pages/data.md", r"pages\data.md"), "missing-file", "pages[1].file", r"pages\data.md"
    ),
    "two pages of a name": Broken(
        swap("title: Data", "title: Overview"),
        "duplicate-name",
        "pages[1].title",
        None,
        "Overview",
        "own title",
    ),
    "page is a text": Broken(
        swap("  - title: Data\n    file: pages/data.md\n", "  - pages/data.md\n"),
        "type",
        "pages[1]",
        "- pages/data.md",
        "pages/data.md",
        "`file:`",
    ),
    "directory without a slash": Broken(
        swap("reference_data: reference_data/", "reference_data: reference_data"),
        "trailing-slash",
        "tasks[0].reference_data",
        "reference_data: reference_data\n",
        "reference_data",
        "`reference_data/`",
    ),
    "directory missing": Broken(
        swap("path: sample_submission/", "path: samples/"),
        "missing-file",
        "solutions[0].path",
        "samples/",
        "samples/",
    ),
    "zip is not one": Broken(
        both(swap("path: sample_submission/", "path: s.zip"), put("s.zip", "text")),
        "zip",
        "solutions[0].path",
        "s.zip",
        "s.zip",
        "again",
    ),
    "zip with a folder": Broken(
        both(
            swap("path: sample_submission/", "path: s.zip"),
            put("s.zip", zipped(["folder/model.py"])),
        ),
        "zip-folder",
        "solutions[0].path",
        "s.zip",
        "s.zip",
        "content of the folder",
    ),
    "zip that leads outside": Broken(
        both(
            swap("path: sample_submission/", "path: s.zip"),
            put("s.zip", zipped(["model.py", "../evil.py"])),
        ),
        "solution",
        file="s.zip/../evil.py",
    ),
    "slash after a file": Broken(
        both(swap("path: sample_submission/", "path: s.zip/"), put("s.zip", zipped(["model.py"]))),
        "path",
        "solutions[0].path",
        "s.zip/",
        "s.zip/",
        "slash",
    ),
    "solution without a model": Broken(
        drop("sample_submission/model.py"),
        "solution",
        remedy="class Model",
        file="sample_submission/model.py",
    ),
    "solution with metadata": Broken(
        put("sample_submission/metadata", "command: python3 model.py\n"),
        "solution",
        remedy="Rename",
        file="sample_submission/metadata",
    ),
}

TASKS = {
    "no tasks": Broken(swap("\ntasks:\n", "\ntask:\n"), "unknown-key", "task", "task:\n", "task"),
    "task without scoring": Broken(
        cut("    scoring_program: scoring_program/\n"),
        "missing-key",
        "tasks[0].scoring_program",
        "- index: 0",
        "",
        "scoring_program",
    ),
    "task without a name": Broken(
        cut("    name: Signal strength under six systematics\n"), "missing-key", "tasks[0].name"
    ),
    "two tasks of an index": Broken(
        swap("  - index: 1\n    name: Signal", "  - index: 0\n    name: Signal"),
        "duplicate-index",
        "tasks[1].index",
        None,
        "0",
        "own index",
    ),
    "index in quotes": Broken(
        swap("  - index: 1\n    name: Signal", '  - index: "1"\n    name: Signal'),
        "unknown-task",
        "phases[1].tasks[0]",
        "tasks: [1]",
        "1",
        "Use one of",
    ),
    "task that no phase has": Broken(
        swap("tasks: [1]", "tasks: [0]"),
        "unused-task",
        "tasks[1].index",
        None,
        "1",
        "phase",
    ),
    "phase with an unknown task": Broken(
        swap("tasks: [1]", "tasks: [1, 7]"),
        "unknown-task",
        "phases[1].tasks[1]",
        "tasks: [1, 7]",
        "7",
        "0, 1",
    ),
    "solution for an unknown task": Broken(
        swap("tasks: [0, 1]", "tasks: [0, 5]"),
        "unknown-task",
        "solutions[0].tasks[1]",
        "[0, 5]",
        "5",
        "0, 1",
    ),
    "tasks is a number": Broken(
        swap("tasks: [1]", "tasks: 1"), "type", "phases[1].tasks", "tasks: 1\n", "1", "[0]"
    ),
    "phase without tasks": Broken(
        swap("tasks: [1]", "tasks: []"), "empty", "phases[1].tasks", "tasks: []", "", "index"
    ),
    "ingestion during scoring": Broken(
        swap(
            "    ingestion_program: ing",
            "    ingestion_only_during_scoring: true\n    ingestion_program: ing",
        ),
        "ingestion-during-scoring",
        "tasks[0].ingestion_only_during_scoring",
        "ingestion_only",
        "True",
    ),
    "task without reference data": Broken(
        cut("    reference_data: reference_data/\n"),
        "settings",
        "tasks[0].reference_data",
        "- index: 0",
    ),
}

PHASES = {
    "no start": Broken(
        cut(f"    {PHASE_1_START}\n"), "missing-key", "phases[0].start", None, "", "start"
    ),
    "unquoted time": Broken(
        swap(PHASE_1_START, "start: 2026-12-01 09:00:00"),
        "time-unquoted",
        "phases[0].start",
        "start: 2026-12-01",
        "2026",
        "quoted",
    ),
    "time with an offset": Broken(
        swap(PHASE_1_START, 'start: "2026-12-01 00:00:00+02:00"'),
        "time-zone",
        "phases[0].start",
        "+02:00",
        "+02:00",
        "UTC",
    ),
    "no time": Broken(
        swap(PHASE_1_START, 'start: "soon"'),
        "time",
        "phases[0].start",
        '"soon"',
        "soon",
        "2026-12-01 00:00:00",
    ),
    "a day that is not": Broken(
        swap(PHASE_1_END, 'end: "2027-02-30 00:00:00"'),
        "time",
        "phases[0].end",
        "2027-02-30",
        "2027-02-30",
    ),
    "ends before it starts": Broken(
        swap(PHASE_1_END, 'end: "2026-01-01 00:00:00"'),
        "phase-times",
        "phases[0].end",
        "2026-01-01",
        "2026-01-01",
    ),
    "overlap": Broken(
        swap(PHASE_2_START, 'start: "2027-02-01 00:00:00"'),
        "phase-overlap",
        "phases[1].start",
        "2027-02-01",
        "2027-02-01",
        "2027-03-01 00:00:00",
    ),
    "starts when the other ends": Broken(
        swap(PHASE_2_START, 'start: "2027-02-28 23:59:59"'),
        "phase-overlap",
        "phases[1].start",
        'start: "2027-02-28',
        "2027-02-28 23:59:59",
        "2027-03-01 00:00:00",
    ),
    "first phase without an end": Broken(
        cut(f"    {PHASE_1_END}\n"), "phase-end", "phases[0].end", None, "", "end:"
    ),
    "phases in another order": Broken(
        swap("  - index: 0\n    name: Feedback", "  - index: 3\n    name: Feedback"),
        "phase-order",
        "phases[1].index",
        None,
        "1",
        "order",
    ),
    "phases of one name": Broken(
        swap("name: Final", "name: Feedback"),
        "duplicate-name",
        "phases[1].name",
        None,
        "Feedback",
        "own name",
    ),
    "all phases over": Broken(
        both(
            swap("2026-12-01 00", "2020-12-01 00"),
            swap("2027-02-28 23", "2021-02-28 23"),
            swap("2027-03-01 00", "2021-03-01 00"),
            swap("2027-03-14 23", "2021-03-14 23"),
        ),
        "past",
        "phases[1].end",
        "2021-03-14",
        "2021-03-14 23:59:59",
        "dates",
    ),
    "more a day than in total": Broken(
        swap("max_submissions_per_day: 5", "max_submissions_per_day: 500"),
        "submission-limits",
        "phases[0].max_submissions_per_day",
        "500",
        "500",
        "Lower",
    ),
    "no submissions": Broken(
        swap("max_submissions: 3", "max_submissions: 0"),
        "submission-limits",
        "phases[1].max_submissions",
        "max_submissions: 0",
        "0",
    ),
    "too long for the queue": Broken(
        swap("execution_time_limit: 600", "execution_time_limit: 6000"),
        "time-limit",
        "phases[0].execution_time_limit",
        "6000",
        "6000",
        "600",
    ),
    "time limit below the deadline": Broken(
        swap("execution_time_limit: 600", "execution_time_limit: 300"),
        "deadline",
        "command",
        COMMAND,
        "540",
        "minute",
        file=INGESTION,
    ),
    "migration into the first phase": Broken(
        swap(PHASE_1_START, f"{PHASE_1_START}\n    auto_migrate_to_this_phase: true"),
        "auto-migrate",
        "phases[0].auto_migrate_to_this_phase",
        "auto_migrate",
        "True",
    ),
    "score output hidden": Broken(
        swap(PHASE_1_START, f"{PHASE_1_START}\n    hide_score_output: true"),
        "hidden-output",
        "phases[0].hide_score_output",
        "hide_score_output",
        "True",
    ),
    "starting kit missing": Broken(
        drop("starting_kit/"),
        "missing-file",
        "phases[0].starting_kit",
        None,
        "starting_kit/",
    ),
}

LEADERBOARD = {
    "no leaderboard key": Broken(
        cut("    key: main\n"), "missing-key", "leaderboards[0].key", None, "", "key"
    ),
    "long title of the board": Broken(
        swap("title: Results", "title: " + "R" * 65),
        "too-long",
        "leaderboards[0].title",
        "RRR",
        "RRR",
        "64",
    ),
    "long title of a column": Broken(
        swap("title: Interval", "title: " + "I" * 37),
        "too-long",
        "leaderboards[0].columns[1].title",
        "III",
        "III",
        "36",
    ),
    "rule in lower case": Broken(
        swap("submission_rule: Add_And_Delete", "submission_rule: add_and_delete"),
        "choice",
        "leaderboards[0].submission_rule",
        "add_and_delete",
        "add_and_delete",
        "Did you mean `Add_And_Delete`?",
    ),
    "Force_Best": Broken(
        swap("submission_rule: Add_And_Delete", "submission_rule: Force_Best"),
        "submission-rule",
        "leaderboards[0].submission_rule",
        "submission_rule: Force_Best",
        "Force_Best",
        "Add_And_Delete",
    ),
    "no rule": Broken(
        cut("    submission_rule: Add_And_Delete\n"),
        "submission-rule",
        "leaderboards[0].submission_rule",
        None,
        "",
        "Add_And_Delete",
    ),
    "no ranking": Broken(
        cut("    primary_index: 0\n"),
        "primary-index",
        "leaderboards[0].primary_index",
        None,
        "",
        "column",
    ),
    "ranking by nothing": Broken(
        swap("primary_index: 0", "primary_index: 9"),
        "primary-index",
        "leaderboards[0].primary_index",
        "primary_index: 9",
        "9",
    ),
    "ranking by a hidden column": Broken(
        swap("primary_index: 0", "primary_index: 6"),
        "primary-hidden",
        "leaderboards[0].columns[6].hidden",
        "hidden: true",
        "True",
    ),
    "score that is never written": Broken(
        swap("key: interval", "key: intervall"),
        "score-key",
        "leaderboards[0].columns[1].key",
        "intervall",
        "intervall",
        "Did you mean `interval`?",
    ),
    "two columns of a key": Broken(
        swap("key: mae", "key: rmse"),
        "duplicate-column-key",
        "leaderboards[0].columns[4].key",
        None,
        "rmse",
        "own key",
    ),
    "two columns of an index": Broken(
        swap("      - index: 4\n", "      - index: 3\n"),
        "duplicate-index",
        "leaderboards[0].columns[4].index",
        None,
        "3",
    ),
    "worst first": Broken(
        swap(
            "key: quantiles_score\n        sorting: desc",
            "key: quantiles_score\n        sorting: asc",
        ),
        "sorting",
        "leaderboards[0].columns[0].sorting",
        "sorting: asc",
        "asc",
        "sorting: desc",
    ),
    "unknown order": Broken(
        swap("sorting: desc", "sorting: descending"),
        "choice",
        "leaderboards[0].columns[0].sorting",
        "descending",
        "descending",
        "Did you mean `desc`?",
    ),
    "precision is a text": Broken(
        swap("precision: 4", 'precision: "4"'),
        "type",
        "leaderboards[0].columns[0].precision",
        'precision: "4"',
        "4",
    ),
    "computation without indices": Broken(
        swap("key: mae\n", "key: mean\n        computation: avg\n"),
        "computation",
        "leaderboards[0].columns[4].computation",
        "computation: avg",
        "computation",
        "computation_indexes",
    ),
    "indices without computation": Broken(
        swap("key: mae\n", "key: mean\n        computation_indexes: [0, 1]\n"),
        "computation",
        "leaderboards[0].columns[4].computation_indexes",
        "computation_indexes",
        "computation_indexes",
        "`computation:`",
    ),
    "unknown computation": Broken(
        swap("key: mae\n", "key: m\n        computation: mean\n        computation_indexes: [0]\n"),
        "choice",
        "leaderboards[0].columns[4].computation",
        "computation: mean",
        "mean",
        "avg, sum, min, max",
    ),
    "computation of itself": Broken(
        swap(
            "key: mae\n", "key: m\n        computation: avg\n        computation_indexes: [0, 4]\n"
        ),
        "computation-index",
        "leaderboards[0].columns[4].computation_indexes[1]",
        "[0, 4]",
        "4",
        "columns",
    ),
    "computation of nothing": Broken(
        swap("key: mae\n", "key: m\n        computation: avg\n        computation_indexes: [99]\n"),
        "computation-index",
        "leaderboards[0].columns[4].computation_indexes[0]",
        "[99]",
        "99",
    ),
    "second leaderboard": Broken(
        lambda files: files.update(
            {
                COMPETITION: files[COMPETITION]
                + b"  - title: More\n    key: more\n    primary_index: 0\n"
                b"    submission_rule: Add\n"
                b"    columns:\n      - {index: 0, title: RMSE, key: rmse, sorting: asc}\n"
            }
        ),
        "extra-leaderboard",
        "leaderboards[1]",
        "title: More",
        "",
        "hidden",
    ),
    "no columns": Broken(
        lambda files: files.update(
            {COMPETITION: files[COMPETITION].split(b"    columns:")[0] + b"    columns: []\n"}
        ),
        "empty",
        "leaderboards[0].columns",
        "columns: []",
        "",
        "column",
    ),
}

PROGRAMS = {
    "no metadata": Broken(drop(INGESTION), "metadata", file=INGESTION, remedy="command"),
    "two metadata": Broken(
        put("scoring_program/metadata", SCORING_COMMAND + "\n"),
        "metadata",
        file="scoring_program/metadata",
        remedy="Remove one",
    ),
    "metadata is not YAML": Broken(
        put(SCORING, "command: [\n"), "yaml", at="", file=SCORING, remedy="syntax"
    ),
    "no command": Broken(
        put(SCORING, "run: python3 run_scoring.py\n"),
        "command",
        "command",
        "run:",
        file=SCORING,
        remedy="command:",
    ),
    "empty command": Broken(
        put(SCORING, 'command: ""\n'), "command", "command", "command", file=SCORING
    ),
    "command is a list": Broken(
        put(SCORING, "command: [python3, run_scoring.py]\n"),
        "command",
        "command",
        "command",
        file=SCORING,
    ),
    "open quotes": Broken(
        swap(SCORING_COMMAND, "command: python3 run_scoring.py 'x", SCORING),
        "command",
        "command",
        "run_scoring",
        "'x",
        "quotes",
        file=SCORING,
    ),
    "further keys": Broken(
        swap(SCORING_COMMAND, SCORING_COMMAND + "\nimage: x", SCORING),
        "metadata",
        "image",
        "image",
        "x",
        file=SCORING,
    ),
    "script without interpreter": Broken(
        swap(SCORING_COMMAND, "command: ./run_scoring.py --codabench", SCORING),
        "execute-bit",
        "command",
        "./run",
        "./run_scoring.py",
        "python3",
        file=SCORING,
    ),
    "shell": Broken(
        swap(SCORING_COMMAND, SCORING_COMMAND + " && echo done", SCORING),
        "shell",
        "command",
        "&&",
        "&&",
        "program",
        file=SCORING,
    ),
    "variable": Broken(
        swap(SCORING_COMMAND, "command: DEBUG=1 python3 run_scoring.py --codabench", SCORING),
        "shell",
        "command",
        "DEBUG",
        "DEBUG=1",
        file=SCORING,
    ),
    "placeholder": Broken(
        swap(SCORING_COMMAND, SCORING_COMMAND + " --output $output", SCORING),
        "placeholder",
        "command",
        "$output",
        "$output",
        "/app/output",
        file=SCORING,
    ),
    "script missing": Broken(
        swap(SCORING_COMMAND, "command: python3 run_score.py --codabench", SCORING),
        "command-script",
        "command",
        "run_score.py",
        "run_score.py",
        file=SCORING,
    ),
    "script with a mistake": Broken(
        put("scoring_program/run_scoring.py", "import json\ndef main(:\n"),
        "syntax",
        at="def main",
        value="def main(:",
        file="scoring_program/run_scoring.py",
    ),
    "library missing": Broken(
        drop("scoring_program/HiggsML/"),
        "import",
        at="from HiggsML.",
        value="HiggsML",
        remedy="bundle build",
        file="scoring_program/run_scoring.py",
    ),
    "package that the image lacks": Broken(
        swap("import argparse", "import fastjet", "scoring_program/run_scoring.py"),
        "import",
        at="import fastjet",
        value="fastjet",
        remedy="Dockerfile",
        file="scoring_program/run_scoring.py",
    ),
    "unknown argument": Broken(
        swap(SCORING_COMMAND, SCORING_COMMAND + " --phase2", SCORING),
        "flag",
        "command",
        "--phase2",
        "--phase2",
        "--phase-2",
        file=SCORING,
    ),
    "argument without value": Broken(
        swap(SCORING_COMMAND, SCORING_COMMAND + " --output", SCORING),
        "flag",
        "command",
        "--output",
        "--output",
        "value",
        file=SCORING,
    ),
    "directories of a checkout": Broken(
        swap(" --codabench", "", SCORING),
        "flag",
        "command",
        "run_scoring.py",
        "run_scoring.py",
        "--codabench",
        file=SCORING,
    ),
    "no deadline": Broken(
        swap(" --deadline 540", "", INGESTION),
        "deadline",
        "command",
        COMMAND,
        "",
        "--deadline",
        file=INGESTION,
    ),
    "isolation off": Broken(
        swap("--deadline", "--isolation off --deadline", INGESTION),
        "isolation",
        "command",
        COMMAND,
        file=INGESTION,
    ),
    "resumed runs": Broken(
        swap("--deadline", "--resume --deadline", INGESTION),
        "resume",
        "command",
        COMMAND,
        remedy="--resume",
        file=INGESTION,
    ),
    "public events from the network": Broken(
        swap("--deadline", "--public-dataset --deadline", INGESTION),
        "public-dataset",
        "command",
        COMMAND,
        file=INGESTION,
    ),
    "fewer sets than scoring wants": Broken(
        swap("--num-of-sets 10", "--num-of-sets 5", INGESTION),
        "settings",
        "num_of_sets",
        "num_of_sets",
        "10",
        "agree",
        file=SETTINGS,
    ),
    "one systematic effect less": Broken(
        swap(" --systematics-jes", "", INGESTION),
        "settings",
        "systematics.jes",
        '"jes"',
        "True",
        "agree",
        file=SETTINGS,
    ),
    "settings missing": Broken(
        both(drop(SETTINGS), put("reference_data/readme.txt", "x")), "settings", file=SETTINGS
    ),
    "settings not JSON": Broken(
        put(SETTINGS, '{\n "num_of_sets": 10,\n}'), "json", file=SETTINGS, at="}"
    ),
}

SECRETS = {
    "seed in the command": Broken(
        swap("--deadline", "--random-seed 1 --deadline", INGESTION),
        "seed",
        "command",
        COMMAND,
        "",
        "--random-seed",
        file=INGESTION,
    ),
    "seed in the settings": Broken(
        swap('"num_of_sets": 10,', '"num_of_sets": 10,\n  "seed": 31415,', SETTINGS),
        "seed",
        "seed",
        '"seed"',
        "31415",
        "Remove",
        file=SETTINGS,
    ),
    "truth in the settings": Broken(
        swap('"num_of_sets": 10,', '"num_of_sets": 10,\n  "ground_truth_mus": [1.5],', SETTINGS),
        "truth",
        "ground_truth_mus",
        "ground_truth_mus",
        "[1.5]",
        "Remove",
        file=SETTINGS,
    ),
    "truth in a file of its own": Broken(
        put("reference_data/truth.json", '{"ground_truth_mus": [1]}'),
        "truth",
        "ground_truth_mus",
        "ground",
        "[1]",
        file="reference_data/truth.json",
    ),
    "seed of the dataset": Broken(
        swap('"scenario"', '"seed": 7,\n    "scenario"', EVENTS_METADATA),
        "dataset-seed",
        "seed",
        '"seed"',
        "7",
        "higgsml generate",
        file=EVENTS_METADATA,
    ),
    "public events": Broken(
        put(EVENTS, b"PAR1 practice PAR1"),
        "public-dataset",
        remedy="--input",
        file=EVENTS,
    ),
    "private events offered": Broken(
        swap("make_input_data_available: false", "make_input_data_available: true"),
        "input-data-offered",
        "make_input_data_available",
        "make_input_data_available",
        "True",
        "false",
    ),
    "no events": Broken(
        drop(EVENTS), "dataset", "tasks[0].input_data", None, "input_data/", "events"
    ),
    "events are not parquet": Broken(put(EVENTS, "text"), "dataset", file=EVENTS),
    "password file": Broken(
        put("ingestion_program/.env", "TOKEN=1"),
        "secret-file",
        file="ingestion_program/.env",
        remedy="replace",
    ),
    "git directory": Broken(
        put("scoring_program/.git/config", "x"),
        "secret-file",
        file="scoring_program/.git",
    ),
    "private key": Broken(
        put("reference_data/notes.txt", "x\n-----BEGIN RSA PRIVATE KEY-----\n"),
        "secret-file",
        at="BEGIN",
        file="reference_data/notes.txt",
    ),
    "compiled leftovers": Broken(
        put("scoring_program/__pycache__/a.pyc", b"x"),
        "leftover",
        file="scoring_program/__pycache__/a.pyc",
    ),
    "truth inside a zip": Broken(
        put("extra.zip", zipped([".netrc"])), "secret-file", file="extra.zip/.netrc"
    ),
}

ALL = {
    f"{group}: {name}": broken
    for group, table in {
        "top": TOP,
        "files": FILES,
        "tasks": TASKS,
        "phases": PHASES,
        "leaderboard": LEADERBOARD,
        "programs": PROGRAMS,
        "secrets": SECRETS,
    }.items()
    for name, broken in table.items()
}


KIND_OF = {
    **dict.fromkeys(
        (
            "top: no image name",
            "top: impossible image name",
            "files: zip is not one",
            "files: zip with a folder",
            "files: zip that leads outside",
            "files: solution without a model",
            "files: solution with metadata",
            "tasks: phase without tasks",
            "tasks: ingestion during scoring",
            "tasks: task without reference data",
            "phases: ends before it starts",
            "phases: too long for the queue",
            "phases: time limit below the deadline",
            "leaderboard: Force_Best",
            "leaderboard: ranking by nothing",
            "leaderboard: ranking by a hidden column",
            "leaderboard: score that is never written",
            "leaderboard: worst first",
            "programs: no metadata",
            "programs: two metadata",
            "programs: metadata is not YAML",
            "programs: no command",
            "programs: empty command",
            "programs: command is a list",
            "programs: open quotes",
            "programs: script without interpreter",
            "programs: shell",
            "programs: variable",
            "programs: placeholder",
            "programs: script missing",
            "programs: script with a mistake",
            "programs: library missing",
            "programs: package that the image lacks",
            "programs: unknown argument",
            "programs: argument without value",
            "programs: directories of a checkout",
            "programs: no deadline",
            "programs: isolation off",
            "programs: resumed runs",
            "programs: public events from the network",
            "programs: fewer sets than scoring wants",
            "programs: one systematic effect less",
            "programs: settings missing",
            "programs: settings not JSON",
            "secrets: seed in the command",
            "secrets: seed in the settings",
            "secrets: truth in the settings",
            "secrets: truth in a file of its own",
            "secrets: private events offered",
            "secrets: no events",
            "secrets: events are not parquet",
            "secrets: password file",
            "secrets: git directory",
            "secrets: private key",
            "secrets: truth inside a zip",
        ),
        "challenge",
    ),
    **dict.fromkeys(
        (
            "top: misspelled key",
            "top: upper-case key",
            "top: unknown key",
            "top: key in the wrong place",
            "top: key written twice",
            "top: title is a number",
            "top: flag in quotes",
            "top: image without a tag",
            "files: logo is a jpg called png",
            "files: logo is a line",
            "files: logo is tiny",
            "files: terms empty",
            "files: page with a relative link",
            "files: two pages of a name",
            "files: directory without a slash",
            "tasks: no tasks",
            "tasks: task that no phase has",
            "phases: unquoted time",
            "phases: time with an offset",
            "phases: phases in another order",
            "phases: phases of one name",
            "phases: all phases over",
            "phases: more a day than in total",
            "phases: no submissions",
            "phases: score output hidden",
            "leaderboard: no rule",
            "leaderboard: no ranking",
            "leaderboard: precision is a text",
            "leaderboard: second leaderboard",
            "programs: further keys",
            "secrets: seed of the dataset",
            "secrets: public events",
            "secrets: compiled leftovers",
        ),
        "advice",
    ),
}
"""Whom a mutation concerns, where it is not the platform that refuses it."""


def test_there_are_at_least_eighty_mutations():
    assert len(ALL) >= 80


@pytest.mark.parametrize(("name", "broken"), ALL.items(), ids=ALL.keys())
def test_mutation_is_reported(good_files, name, broken):
    files = dict(good_files)
    broken.change(files)
    found = findings(files)
    wanted = [f for f in found if (f.rule, f.file, f.key) == (broken.rule, broken.file, broken.key)]
    assert wanted, f"not reported; found: {[str(f) for f in found]}"
    finding = wanted[0]
    assert finding.kind == KIND_OF.get(name, "platform")
    assert broken.value in finding.value
    assert broken.remedy in finding.remedy
    assert finding.message
    assert finding.remedy.endswith((".", "?", "}")), finding.remedy
    if broken.at is not None:
        lines = files[broken.file].decode("utf-8", "replace").splitlines() or [""]
        assert finding.line is not None
        assert broken.at.strip("\n") in lines[finding.line - 1]
    # A mutation is reported as what it is: no crowd of other errors hides it.
    assert len(found) <= 8, [str(f) for f in found]


def test_findings_name_place_value_and_remedy(good_files):
    files = dict(good_files)
    swap("precision: 4", "precision: four")(files)
    (finding,) = findings(files)
    assert str(finding) == (
        f"competition.yaml:{finding.line}: leaderboards[0].columns[0].precision: this must be a "
        "whole number (found four). Write a whole number without quotes."
    )
    assert set(finding.as_dict()) == {
        *("kind", "severity", "rule", "file", "line", "key", "value", "message", "remedy")
    }


def test_a_public_dataset_is_an_error_for_a_competition(good_files):
    files = dict(good_files)
    put(EVENTS, b"PAR1 practice PAR1")(files)
    (finding,) = validate_tree(Tree.from_bytes(files), competition=True)
    assert (finding.severity, finding.rule) == ("error", "public-dataset")


def test_a_zip_in_a_folder_and_no_zip(tmp_path):
    path = tmp_path / "b.zip"
    path.write_bytes(zipped(["my_bundle/competition.yaml"]))
    (finding,) = validate_path(path)
    assert (finding.rule, finding.file) == ("root", "my_bundle/competition.yaml")
    path.write_text("text")
    (finding,) = validate_path(path)
    assert finding.rule == "bundle"
    (finding,) = validate_path(tmp_path / "absent.zip")
    assert finding.rule == "bundle"
    (finding,) = validate_path(tmp_path)
    assert finding.rule == "root"


def test_links_in_a_directory_and_in_a_zip(good_files, tmp_path):
    tree = Tree.from_bytes(good_files)
    entry = tree.files["logo.png"]
    files = dict(tree.files)
    files["reference_data/link"] = Entry(entry.size, stat.S_IFLNK | 0o777, entry.open)
    (finding,) = validate_tree(Tree(files))
    assert (finding.kind, finding.rule) == ("challenge", "link")
    assert finding.file == "reference_data/link"
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert Tree.from_directory(tmp_path).files["link"].is_link


def test_a_file_twice_in_a_zip(good_files, tmp_path):
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in good_files.items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("logo.png", b"x")
    (finding,) = [f for f in validate_path(path) if f.rule == "zip"]
    assert (finding.kind, finding.file) == ("challenge", "logo.png")
    assert "image-type" in [f.rule for f in refusals_of(validate_path(path))], "the last one counts"


def test_a_damaged_zip(good_files, tmp_path):
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in good_files.items():
            archive.writestr(name, content)
    content = bytearray(path.read_bytes())
    content[content.index(good_files["pages/terms.md"]) + 5] ^= 0xFF
    path.write_bytes(content)
    assert [f.file for f in errors_of(validate_path(path)) if f.rule == "zip"] == ["pages/terms.md"]


def test_the_tables_of_flags_are_those_of_the_programs():
    for name, table in (
        ("run_ingestion", contract.INGESTION_FLAGS),
        ("run_scoring", contract.SCORING_FLAGS),
    ):
        program = ROOT / f"{name.removeprefix('run_')}_program" / f"{name}.py"
        command = [sys.executable, str(program), "--help"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", shown))
        assert flags - {"-h", "--help"} == set(table)
