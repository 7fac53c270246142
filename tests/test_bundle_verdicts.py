"""The validator's verdict is the platform's: what it takes, what it refuses, and who minds else.

The accepted and refused mutations were tried with the platform's own unpacker; others follow from
its serializers (Django REST framework 3.16).
"""

import io
import json
import zipfile
from datetime import UTC, datetime

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from HiggsML.cli.bundle import bundle as bundle_command
from HiggsML.codabench import validate_path, validate_tree
from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.rules import fields
from HiggsML.codabench.rules.fields import Refused
from HiggsML.codabench.rules.findings import exit_code, refusals_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
UUID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
QUESTION = {
    "key": "team",
    "type": "text",
    "title": "Team",
    "selection": [""],
    "is_required": True,
    "is_on_leaderboard": False,
}


def picture(width=64, height=64, kind="PNG", mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, kind)
    return buffer.getvalue()


def other_competition():
    """A competition that has nothing to do with this challenge."""
    document = {
        "version": 2,
        "title": "Iris",
        "image": "logo.png",
        "terms": "terms.md",
        "docker_image": "codalab/codalab-legacy:py37",
        "pages": [{"title": "Overview", "file": "overview.md"}],
        "tasks": [{"index": 0, "name": "Iris", "scoring_program": "scoring/"}],
        "solutions": [{"index": 0, "tasks": [0], "path": "solution/"}],
        "phases": [
            {
                "name": "First",
                "start": "2026-12-01 00:00:00",
                "end": "2026-12-31 00:00:00",
                "tasks": [0],
            },
            {"name": "Second", "start": "2027-01-01 00:00:00", "tasks": [0]},
        ],
        "leaderboards": [
            {
                "title": "Results",
                "key": "main",
                "primary_index": 0,
                "submission_rule": "Add",
                "columns": [
                    {"index": 0, "key": "accuracy", "title": "Accuracy", "sorting": "desc"},
                    {"index": 1, "key": "time", "title": "Time", "sorting": "asc"},
                ],
            }
        ],
    }
    files = {
        "logo.png": picture(),
        "terms.md": b"Be fair.",
        "overview.md": b"Classify irises.",
        "scoring/metadata.yaml": b"command: python3 score.py",
        "scoring/score.py": b"import sklearn, torch",
        "solution/predictions.csv": b"0,1",
    }
    return document, files


def found(document, files, **options):
    text = document if isinstance(document, bytes) else yaml.safe_dump(document, sort_keys=False)
    content = text if isinstance(text, bytes) else text.encode()
    tree = Tree.from_bytes({**files, "competition.yaml": content})
    return validate_tree(tree, now=NOW, **options)


def changed(path, value):
    """Return the competition with one value set; ``...`` removes it."""
    document, files = other_competition()
    *above, last = path.split(".")
    place = document
    for part in above:
        place = place[int(part)] if part.isdigit() else place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document, files


def test_another_competition_is_held_to_the_platform_only():
    assert found(*other_competition()) == []


PHASE, COLUMN = "phases.0", "leaderboards.0.columns.1"

ACCEPTED = [
    # stored, so not to be called ignored
    ("leaderboards.0.hidden", True),
    ("solutions.0.name", "The baseline"),
    ("solutions.0.description", "A simple one"),
    # tried on the platform
    (f"{PHASE}.start", "2026-12-01"),
    (f"{PHASE}.start", "11-30-2026"),
    (f"{PHASE}.max_submissions", 3),
    (f"{PHASE}.max_submissions", 0),
    ("tasks.0.scoring_program", "scoring"),
    ("solutions", []),
    (f"{COLUMN}.computation", None),
    ("queue", None),
    ("reward", None),
    ("contact_email", None),
    ("fact_sheet", None),
    (f"{COLUMN}.precision", 11),
    ("version", "2"),
    # as its serializers convert
    ("title", 2024),
    ("reward", 500),
    ("forum_enabled", "yes"),
    ("forum_enabled", 1),
    ("description", None),
    ("solutions", None),
    ("pages", []),
    (f"{PHASE}.max_submissions", "7"),
    (f"{PHASE}.max_submissions", 7.0),
    (f"{PHASE}.max_submissions_per_day", None),
    (f"{PHASE}.execution_time_limit", 0),
    (f"{PHASE}.execution_time_limit", None),
    (f"{PHASE}.execution_time_limit", 100_000),
    (f"{PHASE}.tasks", [0, 0]),
    (f"{PHASE}.start", "December 1, 2026 10:00"),
    (f"{PHASE}.start", "2026-12-01 00:00:00+02:00"),
    ("phases.1.end", ""),
    ("tasks.0.name", 5),
    ("tasks.0.index", 0.0),
    ("tasks.0.input_data", UUID),
    ("tasks.0.scoring_program", "./scoring/../scoring/"),
    ("tasks.0.key", UUID),
    ("solutions.0.key", UUID),
    ("queue", UUID),
    ("queue", ""),
    ("contact_email", "a@b.org"),
    ("contact_email", ""),
    ("fact_sheet", {"team": QUESTION}),
    ("fact_sheet", {}),
    ("leaderboards.0.primary_index", 7),
    (f"{COLUMN}.sorting", ...),
    (f"{COLUMN}.precision", -1),
    ("image", "./logo.png"),
    ("docker_image", "Not An Image"),
    ("zebra", 1),
    (f"{PHASE}.solutions", [0]),
    ("tasks.0.is_public", False),
]
REFUSED = [
    # tried on the platform
    *((f"fact_sheet.team.{name}", ...) for name in QUESTION),
    ("fact_sheet.team.type", "radio"),
    ("queue", "my-queue"),
    (f"{PHASE}.name", "x" * 257),
    ("tasks.0.name", "x" * 257),
    ("reward", "x" * 257),
    ("pages.0.title", "x" * 256),
    ("contact_email", "nobody"),
    (f"{PHASE}.auto_migrate_to_this_phase", True),
    (f"{COLUMN}.title", "x" * 37),
    ("forum_enabled", "perhaps"),
    ("competition_type", "Competition"),
    ("leaderboards.0.submission_rule", "add"),
    (f"{PHASE}.tasks", [7]),
    ("version", 2.0),
    ("version", ...),
    # as its serializers and its unpacker go
    *((name, ...) for name in ("title", "image", "terms", "pages", "tasks", "phases")),
    ("leaderboards", ...),
    ("title", None),
    ("title", True),
    ("title", "  "),
    ("title", "x" * 257),
    ("title", "a\0b"),
    ("docker_image", None),
    ("docker_image", "x" * 129),
    ("forum_enabled", None),
    ("fact_sheet", "text"),
    ("fact_sheet.team.more", 1),
    ("fact_sheet.team.key", "group"),
    ("queue", 5),
    ("pages", None),
    ("pages", [1]),
    ("pages.0.file", ...),
    ("pages.0.file", None),
    ("pages.0.file", "solution/"),
    ("terms", ""),
    ("image", "scoring/score.py"),
    ("tasks.0.index", ...),
    ("tasks.0.index", [0]),
    ("tasks.0.name", ...),
    ("tasks.0.scoring_program", ...),
    ("tasks.0.scoring_program", None),
    ("tasks.0.input_data", None),
    ("tasks.0.scoring_program", "nowhere/"),
    ("tasks.0.scoring_program", "terms.md/"),
    ("tasks.0.scoring_program", "../scoring/"),
    ("tasks.0.key", "no-uuid"),
    ("tasks.0.key", None),
    ("solutions.0.key", "the-baseline"),
    ("solutions", 3),
    ("solutions.0.tasks", [7]),
    ("solutions.0.tasks", None),
    ("solutions.0.path", ...),
    ("solutions.0.index", ...),
    ("phases", []),
    (f"{PHASE}.start", ...),
    (f"{PHASE}.start", "soon"),
    (f"{PHASE}.start", 20261201),
    (f"{PHASE}.end", ...),
    (f"{PHASE}.end", "2027-01-01 00:00:00"),
    (f"{PHASE}.tasks", ...),
    (f"{PHASE}.tasks", 0),
    (f"{PHASE}.index", None),
    (f"{PHASE}.public_data", None),
    (f"{PHASE}.max_submissions", -1),
    (f"{PHASE}.max_submissions", 2**31),
    (f"{PHASE}.max_submissions", 1.5),
    (f"{PHASE}.max_submissions", True),
    (f"{PHASE}.execution_time_limit", "long"),
    (f"{PHASE}.hide_output", "maybe"),
    ("leaderboards", []),
    ("leaderboards.0.primary_index", None),
    ("leaderboards.0.title", "x" * 65),
    ("leaderboards.0.key", "x" * 37),
    ("leaderboards.0.columns", []),
    ("leaderboards.0.columns", {}),
    (f"{COLUMN}.index", 0),
    (f"{COLUMN}.index", "0"),
    (f"{COLUMN}.key", "accuracy"),
    (f"{COLUMN}.key", []),
    (f"{COLUMN}.key", " accuracy "),
    (f"{COLUMN}.sorting", None),
    (f"{COLUMN}.sorting", "DESC"),
    (f"{COLUMN}.precision", "high"),
    (f"{COLUMN}.hidden", None),
    (f"{COLUMN}.computation", "avg"),
    (f"{COLUMN}.computation", "median"),
    (f"{COLUMN}.computation", ""),
    (f"{COLUMN}.computation_indexes", [0]),
]


def label(row):
    return f"{row[0]}={str(row[1])[:30]}".replace("\0", "NUL")


@pytest.mark.parametrize("row", ACCEPTED, ids=label)
def test_what_the_platform_takes_is_advice_at_most(row):
    assert [f for f in found(*changed(*row)) if f.kind != "advice"] == []


@pytest.mark.parametrize("row", REFUSED, ids=label)
def test_what_the_platform_refuses(row):
    path, value = row
    document, files = other_competition()
    if path.startswith("fact_sheet."):
        name = path.rsplit(".", 1)[-1]
        question = {**QUESTION, name: value} if value is not ... else {**QUESTION}
        if value is ...:
            del question[name]
        document["fact_sheet"] = {"team": question}
    else:
        document, files = changed(path, value)
    findings = found(document, files)
    assert refusals_of(findings), [str(f) for f in findings]
    assert exit_code(findings) == 1


@pytest.mark.parametrize(
    ("column", "accepted"),
    [
        ({"computation": "avg", "computation_indexes": [0]}, True),
        ({"computation": "avg", "computation_indexes": ["0"]}, True),
        ({"computation": None, "computation_indexes": None}, True),
        ({"computation": "avg", "computation_indexes": []}, True),
        ({"computation": "avg", "computation_indexes": [1]}, False),
        ({"computation": "avg", "computation_indexes": [7]}, False),
        ({"computation": "avg", "computation_indexes": ["x"]}, False),
        ({"computation": "avg", "computation_indexes": 0}, False),
        ({"computation": "avg", "computation_indexes": ""}, False),
    ],
)
def test_columns_that_are_computed(column, accepted):
    document, files = other_competition()
    document["leaderboards"][0]["columns"][1] |= column
    assert (refusals_of(found(document, files)) == []) is accepted


@pytest.mark.parametrize(
    ("name", "content", "accepted"),
    [
        ("overview.md", b"", False),
        ("overview.md", b" \n", True),
        ("overview.md", b"\xff", False),
        ("overview.md", b"a\0b", False),
        ("overview.md", b"[link](other.md)", True),
        ("terms.md", b"", False),
        ("logo.png", b"", False),
        ("logo.png", b"<svg/>", False),
        ("logo.png", picture(kind="JPEG"), True),
        ("logo.png", picture(kind="GIF"), True),
        ("logo.png", picture(kind="BMP"), False),
        ("logo.png", picture(kind="JPEG", mode="CMYK"), False),
        ("logo.png", picture(2000, 20), True),
        ("logo.png", picture(2000, 10), False),
        ("logo.png", picture()[:-30], False),
        ("scoring/metadata.yaml", b"no: command", True),
        ("solution/predictions.csv", b"", True),
        (".git/config", b"x", True),
    ],
)
def test_files(name, content, accepted):
    document, files = other_competition()
    findings = found(document, {**files, name: content})
    assert (refusals_of(findings) == []) is accepted
    assert {f.kind for f in findings} <= {"platform", "advice"}


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (b"- 1", False),
        (b"", False),
        (b"version: 2\ntitle: [", False),
        (b"version: 2\ntitle: \xff", False),
        (b"version: 2\nx: !tag {}", False),
        (b"version: 2\n? [a, b]\n: 1", False),
    ],
)
def test_texts_that_are_no_competition(text, accepted):
    _, files = other_competition()
    assert (refusals_of(found(text, files)) == []) is accepted


@pytest.mark.parametrize(
    ("start", "advised"),
    [
        ("2026-12-01", False),
        ("2026-12-01 00:00:00", False),
        ("2026-12-01 09:00:00", True),
    ],
)
def test_unquoted_times_lose_their_time_of_day(start, advised):
    document, files = other_competition()
    text = yaml.safe_dump(document, sort_keys=False)
    written = text.replace("start: '2026-12-01 00:00:00'", f"start: {start}").encode()
    assert [f.rule for f in found(written, files)] == ["time-unquoted"] * advised


def test_a_git_folder_is_reported_once():
    document, files = other_competition()
    files |= {f".git/objects/{number}": b"x" for number in range(50)}
    (finding,) = found(document, files)
    assert (finding.kind, finding.rule, finding.file) == ("advice", "secret-file", ".git")


def test_the_platforms_own_dump():
    document, files = other_competition()
    document |= dict.fromkeys(("reward", "contact_email", "fact_sheet", "queue"))
    document["version"] = "2"
    document["tasks"][0] |= {
        "is_public": False,
        "description": None,
        "scoring_program": "scoring_program-1.zip",
    }
    solution = {"name": "Baseline", "description": None, "tasks": [0], "path": "solution-1.zip"}
    document["solutions"] = [
        {"index": 0, "key": UUID, **solution},
        {"index": 1, "key": UUID, **solution},
    ]
    for index, phase in enumerate(document["phases"]):
        phase |= {"index": index, "solutions": [0], "execution_time_limit": 600}
        phase["start"] = phase["start"][:10]
    document["phases"][0]["end"] = document["phases"][0]["end"][:10]
    board = document["leaderboards"][0]
    del board["primary_index"]
    board |= {"index": 0, "hidden": False}
    del files["scoring/metadata.yaml"], files["scoring/score.py"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("metadata.yaml", "command: python3 score.py")
        archive.writestr("score.py", "")
    files |= {"scoring_program-1.zip": buffer.getvalue(), "solution-1.zip": buffer.getvalue()}
    findings = found(document, files)
    assert {f.kind for f in findings} == {"advice"}
    (dump,) = [f for f in findings if f.rule == "dump"]
    for lost in ("primary_index", "times of day", "public data", "starting kits"):
        assert lost in dump.message
    assert not [f for f in findings if f.rule == "unknown-key"]


def test_what_only_this_challenge_needs_is_left_out_for_others():
    document, files = other_competition()
    document["leaderboards"][0]["columns"][1] |= {"key": "quantiles_score", "title": "Score"}
    findings = found(document, files)
    assert exit_code(findings) == 3
    rules = {f.rule for f in findings if f.kind == "challenge"}
    assert {"score-key", "solution", "sorting"} <= rules
    assert exit_code(found(document, files, general=True)) == 0


def as_zip(path, document, files, more=()):
    content = yaml.safe_dump(document, sort_keys=False)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in [("competition.yaml", content), *files.items(), *more]:
            archive.writestr(name, text)
    return path


def test_zips(tmp_path):
    document, files = other_competition()
    path = as_zip(tmp_path / "a.zip", document, files, [("../evil.md", "x"), ("/abs.md", "x")])
    assert {f.kind for f in validate_path(path)} == {"advice"}
    with pytest.warns(UserWarning, match="Duplicate"):
        path = as_zip(tmp_path / "b.zip", document, files, [("logo.png", picture())])
    assert [(f.kind, f.rule) for f in validate_path(path)] == [("advice", "zip")]
    path = as_zip(tmp_path / "c.zip", document, files, [("logo.png/x", "x")])
    assert refusals_of(validate_path(path))
    document["tasks"][0]["input_data"] = "empty/"
    path = as_zip(tmp_path / "d.zip", document, files, [("empty/", "")])
    assert [(f.kind, f.rule) for f in validate_path(path)] == [("advice", "empty-file")]


@pytest.mark.parametrize(
    ("change", "code"),
    [({}, 0), ({"title": None}, 1), ({"leaderboards": "ours"}, 3)],
)
def test_kinds_in_text_json_and_exit_code(tmp_path, change, code):
    document, files = other_competition()
    if change.get("leaderboards") == "ours":
        document["leaderboards"][0]["columns"][0]["key"] = "quantiles_score"
    else:
        document |= change
    path = as_zip(tmp_path / "a.zip", document, files)
    shown = CliRunner().invoke(bundle_command, ["validate", str(path)])
    assert shown.exit_code == code
    assert (": the platform refuses this: 0" in shown.output) is (code != 1)
    assert ("this challenge needs this: solution" in shown.output) is (code == 3)
    done = CliRunner().invoke(bundle_command, ["validate", "--json", str(path)])
    content = json.loads(done.stdout)
    assert (content["valid"], content["accepted_by_platform"]) == (code == 0, code != 1)
    general = CliRunner().invoke(bundle_command, ["validate", "--general", str(path)])
    assert general.exit_code == (1 if code == 1 else 0)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
PLACES = sorted({path for path, _ in (*ACCEPTED, *REFUSED) if "fact_sheet." not in path})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), anything)
def test_any_value_anywhere_gets_a_verdict(path, value):
    try:
        document, files = changed(path, value)
        text = yaml.safe_dump(document, sort_keys=False)
    except (KeyError, yaml.YAMLError):
        return
    for finding in found(text.encode("utf-8", "surrogatepass"), files):
        assert finding.kind != "challenge"
        assert finding.message
        assert finding.remedy


@given(st.integers(-(10**12), 10**12))
def test_whole_numbers_in_every_writing(number):
    fits = 0 <= number < 2**31
    for written in (number, str(number), f" {number}.00 ", float(number)):
        try:
            assert fields.whole(written) == number
        except Refused:
            assert not fits


@given(st.text())
def test_texts_are_stored_stripped(text):
    stripped = text.strip()
    storable = not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in stripped)
    if storable and 0 < len(stripped) <= 36:
        assert fields.text(text, longest=36) == stripped
    else:
        with pytest.raises(Refused):
            fields.text(text, longest=36)


@given(st.datetimes(), st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%d %B %Y"]))
def test_times_are_read_as_written(moment, style):
    if moment.year < 1000:
        return
    read = fields.time_of(moment.strftime(style))
    assert read == datetime.strptime(moment.strftime(style), style).replace(tzinfo=UTC)


def old_competition():
    """The same competition in the platform's older format."""
    _, files = other_competition()
    phase = {"scoring_program": "scoring/", "max_submissions": 10}
    board = {"label": "Results", "rank": 1}
    document = {
        "title": "Iris",
        "image": "logo.png",
        "description": "Irises",
        "competition_docker_image": "codalab/codalab-legacy:py37",
        "has_registration": True,
        "end_date": "2027-03-01",
        "html": {"overview": "overview.md", "terms": "terms.md"},
        "phases": {
            1: {"phasenumber": 1, "label": "First", "start_date": "2026-12-01", **phase},
            2: {"phasenumber": 2, "label": "Second", "start_date": "2027-01-01", **phase},
        },
        "leaderboard": {
            "leaderboards": {"RESULTS": board},
            "columns": {
                "accuracy": {"leaderboard": board, "label": "Accuracy", "rank": 1},
                "time": {"leaderboard": board, "rank": 2, "sort": "asc", "numeric_format": 1},
            },
        },
    }
    return document, files


def changed_old(path, value):
    document, files = old_competition()
    *above, last = path.split(".") if path else ["version"]
    place = document
    for part in above:
        place = place[int(part)] if part.isdigit() else place[part]
    last = int(last) if last.isdigit() else last
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document, files


OLD_PHASE, OLD_COLUMN = "phases.1", "leaderboard.columns.time"


@pytest.mark.parametrize("version", [None, 1, "1", 1.5, "1.5"])
def test_the_older_format_is_accepted_with_advice(version):
    document, files = old_competition()
    if version is not None:
        document["version"] = version
    findings = found(document, files)
    assert {f.kind for f in findings} == {"advice"}
    (advice,) = (f for f in findings if f.rule == "old-format")
    assert "older format" in advice.message
    assert exit_code(findings) == 0


@pytest.mark.parametrize(
    "row",
    [
        ("tasks", []),  # of the other format, ignored
        ("description", ...),
        ("competition_docker_image", ""),
        ("end_date", "null"),
        ("end_date", ...),
        ("end_date", "2026-01-01"),
        ("queue", UUID),
        ("html.overview", "terms.md"),
        (f"{OLD_PHASE}.scoring_program", ...),
        (f"{OLD_PHASE}.execution_time_limit", 0),
        (f"{OLD_PHASE}.start_date", "2027-06-01"),  # ends before it starts
        (f"{OLD_PHASE}.color", "yellow"),
        ("phases.2.auto_migration", True),
        (OLD_COLUMN + ".sort", ""),
        (OLD_COLUMN + ".rank", ...),
        (OLD_COLUMN + ".computed", {"operation": "Avg", "fields": "accuracy"}),
        (OLD_COLUMN + ".leaderboard", {"label": "results"}),
        (
            "phases.2",
            {"phasenumber": 0, "is_parallel_parent": True, "label": "x"} | {"start_date": 1},
        ),
    ],
    ids=label,
)
def test_what_the_platform_takes_in_the_older_format(row):
    assert [f for f in found(*changed_old(*row)) if f.kind != "advice"] == []


@pytest.mark.parametrize(
    "row",
    [
        *((name, ...) for name in ("title", "image", "html", "phases", "leaderboard")),
        ("version", 3),
        ("version", "1.6"),
        ("title", "x" * 257),
        ("queue", "mine"),
        ("html", ["overview.md"]),
        ("html.terms", ...),
        ("html.overview", "nowhere.md"),
        ("html.overview", None),
        ("phases", [{"phasenumber": 1}]),
        ("phases", {}),
        *((f"{OLD_PHASE}.{name}", ...) for name in ("phasenumber", "label", "start_date")),
        (f"{OLD_PHASE}.phasenumber", "first"),
        (f"{OLD_PHASE}.start_date", None),
        (f"{OLD_PHASE}.label", "x" * 252),  # its task is called so, too
        (f"{OLD_PHASE}.scoring_program", "nowhere/"),
        (f"{OLD_PHASE}.scoring_program", None),
        (f"{OLD_PHASE}.public_data", None),
        (f"{OLD_PHASE}.auto_migration", True),
        (f"{OLD_PHASE}.max_submissions", -1),
        ("end_date", "soon"),
        ("leaderboard.leaderboards", ...),
        ("leaderboard.leaderboards", {}),
        ("leaderboard.leaderboards.RESULTS.label", ...),
        ("leaderboard.columns", ...),
        ("leaderboard.columns", {}),
        (OLD_COLUMN + ".leaderboard", ...),
        (OLD_COLUMN + ".sort", "up"),
        (OLD_COLUMN + ".label", "x" * 37),
        (OLD_COLUMN + ".rank", "last"),
        ("leaderboard.columns." + "x" * 37, {"leaderboard": {"label": "Results"}}),
        (OLD_COLUMN, None),
    ],
    ids=label,
)
def test_what_the_platform_refuses_in_the_older_format(row):
    findings = found(*changed_old(*row))
    assert refusals_of(findings), [str(f) for f in findings]


def test_pages_of_the_older_format_may_be_empty():
    document, files = old_competition()
    assert refusals_of(found(document, {**files, "terms.md": b"", "overview.md": b""})) == []


def test_a_dot_in_the_name_of_a_column_of_the_older_format():
    document, files = old_competition()
    columns = document["leaderboard"]["columns"]
    for name in ("f1.macro", "recall.macro"):
        columns[name] = {"leaderboard": {"label": "Results"}}
    assert refusals_of(found(document, files)) == []


OLD_PLACES = (
    *("title", "image", "queue", "html", "html.terms", "phases", "phases.1", "leaderboard"),
    *(f"{OLD_PHASE}.{name}" for name in ("phasenumber", "label", "start_date", "scoring_program")),
    *("leaderboard.leaderboards", "leaderboard.leaderboards.RESULTS", "leaderboard.columns"),
    *(f"{OLD_COLUMN}{name}" for name in ("", ".leaderboard", ".label", ".sort", ".rank")),
    *("end_date", "version", "competition_docker_image"),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(OLD_PLACES), anything)
def test_any_value_anywhere_in_the_older_format_gets_a_verdict(path, value):
    try:
        document, files = changed_old(path, value)
        text = yaml.safe_dump(document, sort_keys=False)
    except yaml.YAMLError:
        return
    for finding in found(text.encode("utf-8", "surrogatepass"), files):
        assert finding.kind != "challenge"
        assert finding.message
        assert finding.remedy
