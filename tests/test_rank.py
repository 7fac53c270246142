"""Rank many submissions: run them, keep them, make a row again, find a changed byte."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html import escape
from urllib.parse import unquote

import numpy as np
import pytest
from click.testing import CliRunner

from HiggsML.cli.rank import rank
from HiggsML.cli.runs import runs
from HiggsML.codabench.container import ProgramFailedError
from HiggsML.datasets import Data
from HiggsML.errors import ResultsError, SettingsError, SubmissionError
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ranking.archive import Archive
from HiggsML.ranking.board import compute_ranking, csv_table, markdown
from HiggsML.ranking.own_runs import write_own_board
from HiggsML.ranking.pages import statement, write_board
from HiggsML.ranking.refits import with_resampled_training
from HiggsML.ranking.run import measure_all, reproduce
from HiggsML.ranking.submissions import find_submissions
from tests.pipeline_fixtures import tiny_dataset

__all__ = ["tiny_dataset"]

COUNTS = """
class Model:
    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set
    def fit(self):
        train = self.get_train_set()
        signal = train["labels"] == 1
        self.s, self.b = train["weights"][signal].sum(), train["weights"][~signal].sum()
    def predict(self, test_set):
        n = len(test_set["data"])
        mu, delta = (n - self.b) / self.s, {scale} * n**0.5 / self.s
        return {{"mu_hat": mu, "delta_mu_hat": delta, "p16": mu - delta, "p84": mu + delta}}
"""


def write(folder, **models):
    for name, text in models.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "model.py").write_text(text)
    return folder


REMEMBERS = (
    COUNTS.replace("return {{", "return {")
    .replace("}}", "}")
    .replace("{scale}", "1")
    .replace("        n = len", "        self.seen = getattr(self, 'seen', 0) + 1\n        n = len")
    .replace('"mu_hat": mu,', '"mu_hat": mu + self.seen,')
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("ranking")


@pytest.fixture(scope="module")
def submissions(place):
    return write(
        place / "submissions",
        honest=COUNTS.format(scale=1),
        wide=COUNTS.format(scale=9),
        broken=COUNTS.format(scale=1).replace("n = len", "raise ValueError('no'); n = len"),
        remembers=REMEMBERS,
    )


@pytest.fixture(scope="module")
def options(tiny_dataset, place):
    return IngestionOptions(
        tiny_dataset,
        tiny_dataset,
        place / "unused",
        num_of_sets=3,
        num_pseudo_experiments=6,
        workers=2,
        isolation="off",
    )


@pytest.fixture(scope="module")
def finished(submissions, options, place):
    """Rank once; tests look at it, or change a copy."""
    archive = Archive(place / "board")
    count = measure_all(archive, find_submissions(submissions), options)
    ranking = compute_ranking(archive)
    write_board(archive, ranking)
    return archive, ranking, count


@pytest.fixture
def archive(finished, tmp_path):
    return Archive(shutil.copytree(finished[0].folder, tmp_path / "elsewhere"))


def test_everyone_gets_a_line_and_the_failure_its_reason(finished):
    archive, ranking, _ = finished
    assert {entry.name for entry in ranking.entries} == {"honest", "wide"}
    assert "ValueError: no" in ranking.failed["broken"]
    rows = list(csv.DictReader(csv_table(ranking).splitlines()))
    assert [row["name"] for row in rows][-2:] == ["broken", "remembers"]
    assert "ValueError: no" in rows[-2]["reason"]
    page = (archive.folder / "index.html").read_text()
    assert all(name in page for name in ("honest", "wide", "broken", "remembers"))
    assert "://" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    assert "ranked by the interval score" in statement(ranking)


def test_only_the_owner_can_read_the_entropy_and_it_is_nowhere_else(finished):
    archive, _, _ = finished
    assert oct((archive.folder / "entropy.json").stat().st_mode)[-3:] == "600"
    entropy = str(archive.entropy())
    kept = [path for path in archive.folder.rglob("*") if path.is_file()]
    assert [p.name for p in kept if entropy in p.read_text(errors="replace")] == ["entropy.json"]


def test_a_model_that_remembers_has_no_place(finished):
    assert "differ when they are asked for again" in finished[1].failed["remembers"]


def test_the_answers_are_those_of_a_run_on_its_own(finished, submissions, options, tmp_path):
    archive, _, count = finished
    # 18, and all of them again: most were made once for all submissions. Only the one that
    # remembers is asked for one of them twice more, which nobody else needs.
    assert 36 <= count.made <= 38
    assert 3 * 36 < count.shown < 4 * 36
    run_ingestion(
        replace(options, submission=submissions / "honest", output=tmp_path, seed=archive.entropy())
    )
    kept = sorted((archive.run_folder("honest") / "predictions").glob("result_*.json"))
    assert len(kept) == 3
    for path in kept:
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_every_run_has_a_log(finished):
    archive, _, _ = finished
    assert "ValueError: no" in archive.log("broken").read_text()
    assert archive.log("honest").read_text() == ""


def test_all_measure_the_same_and_one_that_joins_later_does_too(
    archive, submissions, options, tmp_path
):
    before = (archive.run_folder("honest") / "run.json").read_bytes()
    shutil.copytree(submissions / "honest", tmp_path / "later" / "twin")
    everyone = find_submissions(submissions) | find_submissions(tmp_path / "later")
    count = measure_all(archive, everyone, options)
    assert count.shown == 36  # of the new one only
    ranking = compute_ranking(archive)
    assert (archive.run_folder("honest") / "run.json").read_bytes() == before
    np.testing.assert_array_equal(ranking.answers["twin"].p16, ranking.answers["honest"].p16)
    np.testing.assert_array_equal(ranking.answers["twin"].mu, ranking.answers["wide"].mu)
    pair = next(p for p in ranking.by_interval.pairs if {p.first, p.second} == {"honest", "twin"})
    assert pair.p_value == 1.0


def test_a_changed_submission_runs_again_where_it_failed_and_is_told_where_it_is_ranked(
    archive, submissions, options, tmp_path, caplog
):
    mine = shutil.copytree(submissions, tmp_path / "mine")
    shutil.copy(mine / "honest" / "model.py", mine / "broken" / "model.py")
    shutil.copy(mine / "honest" / "model.py", mine / "wide" / "model.py")
    count = measure_all(archive, find_submissions(mine), options)
    assert count.shown == 36  # of the one that had failed
    assert archive.record("broken").status == "finished"
    (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert "wide is ranked with other files" in warning
    assert "give them another name" in warning


def test_other_numbers_or_another_folder_are_refused(archive, submissions, options, place):
    everyone = find_submissions(submissions)
    for changed, words in (
        ({"num_of_sets": 4}, "begun with --sets 3, not 4"),
        ({"systematics": {"tes": True}}, "--systematics none, not tes: all"),
        ({"seed": 1}, "another seed"),
    ):
        with pytest.raises(SettingsError, match=words):
            measure_all(archive, everyone, replace(options, **changed))
    with pytest.raises(SettingsError, match="not empty and holds no ranking"):
        measure_all(Archive(submissions), everyone, options)
    with pytest.raises(ResultsError, match="holds no ranking"):
        Archive(submissions).settings()
    with (
        archive.held(),
        pytest.raises(SettingsError, match="another process ranks into it"),
    ):
        measure_all(archive, everyone, options)


def test_what_was_interrupted_just_before_the_end_is_only_scored(archive, submissions, options):
    (archive.run_folder("honest") / "run.json").unlink()
    shutil.rmtree(archive.run_folder("honest") / "scores")
    count = measure_all(archive, find_submissions(submissions), options)
    assert count.made == 0
    assert archive.record("honest").status == "finished"
    assert (archive.run_folder("honest") / "scores" / "detailed_results.html").is_file()


def test_a_row_is_reproduced_after_the_archive_was_moved(archive, options):
    assert archive.damage() == []
    assert reproduce(archive, "honest", options) == []
    result = archive.run_folder("honest") / "predictions" / "result_1.json"
    result.write_text(result.read_text().replace("1", "2", 1))
    assert reproduce(archive, "honest", options) == ["result_1.json differs"]
    with pytest.raises(ResultsError, match="did not finish"):
        reproduce(archive, "broken", options)
    with pytest.raises(ResultsError, match="no run 'nobody'; it has broken, honest, remembers"):
        reproduce(archive, "nobody", options)
    (archive.folder / "entropy.json").unlink()
    with pytest.raises(ResultsError, match="published copy"):
        reproduce(archive, "honest", options)


@pytest.mark.parametrize(
    "name",
    [
        "runs/honest/predictions/result_0.json",
        "runs/honest/submission/model.py",
        "runs/broken/log.txt",
        "ranking.json",
        "board.csv",
        "SHA256SUMS",
    ],
)
def test_a_changed_byte_is_named(archive, name):
    path = archive.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert archive.damage()
    if name != "SHA256SUMS":
        assert archive.damage() == [f"{name} was changed"]
    (archive.folder / "runs" / "stranger.txt").write_text("x")
    assert any("stranger.txt was added" in one for one in archive.damage()) or name == "SHA256SUMS"


def test_the_archive_is_a_crate_that_lists_every_file(finished):
    archive, _, _ = finished
    graph = json.loads((archive.folder / "ro-crate-metadata.json").read_text())["@graph"]
    files = {entity["@id"] for entity in graph if entity["@type"] == "File"}
    there = {
        path.relative_to(archive.folder).as_posix()
        for path in archive.folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    assert files == there - {"entropy.json", "SHA256SUMS", "ro-crate-metadata.json"}


def test_refits_measure_the_same_on_other_training_events(archive, options, tmp_path):
    measure_all(archive, {}, options, refits=1)
    parts = {entry.name: entry.training for entry in compute_ranking(archive).entries}
    # Counting takes the sums of weights alone, which drawing events again leaves as they are.
    assert parts["honest"] == pytest.approx(0.0, abs=1e-6)
    data = Data(options.input_dir)
    other = Data(with_resampled_training(data, tmp_path / "other", seed=1))
    data.load_train_set()
    other.load_train_set()
    one, two = data.get_train_set(), other.get_train_set()
    assert not one["PRI_lep_pt"].equals(two["PRI_lep_pt"])
    for process, events in one.groupby("detailed_labels", observed=True):
        again = two[two["detailed_labels"] == process]
        assert again["weights"].sum() == pytest.approx(events["weights"].sum(), rel=1e-5)
    np.testing.assert_array_equal(
        data.parquet_file.read_row_group(0)["PRI_lep_pt"].to_numpy()[: data.test_size],
        other.parquet_file.read_row_group(0)["PRI_lep_pt"].to_numpy()[: data.test_size],
    )


def test_a_list_names_submissions_and_mistakes_are_told(submissions):
    table = submissions.parent / "list.csv"
    table.write_text("name,path\nfirst,submissions/honest\nsecond,submissions/wide\n")
    assert list(find_submissions(table)) == ["first", "second"]
    for text, words in (
        ("name,path\nfirst,nowhere\n", "line 2: nowhere does not exist"),
        ("who,where\na,b\n", "needs the columns name and path"),
        ("name,path\na/b,submissions/honest\n", "'a/b' can not be the name"),
        ("name,path\n.a,submissions/honest\n", "'.a' can not be the name"),
        (f"name,path\n{'a' * 200},submissions/honest\n", "can not be the name"),
        ("name,path\na\x07,submissions/honest\n", "can not be the name"),
        ("name,path\na,submissions/honest\nA,submissions/wide\n", "have one name, A"),
        ("name;path\na;submissions/honest\n", "needs the columns name and path"),
        ("", "holds no submission"),
        ("name,path\na,submissions/honest\na,submissions/wide\n", "have one name, a"),
        ("name,path\n", "holds no submission"),
    ):
        table.write_text(text)
        with pytest.raises(SubmissionError, match=re.escape(words)):
            find_submissions(table)


def test_a_killed_ranking_goes_on_where_it_was(submissions, options, tmp_path):
    slow = COUNTS.format(scale=1).replace("n = len", "import time; time.sleep(0.2); n = len")
    everyone = write(shutil.copytree(submissions, tmp_path / "submissions"), slow=slow)
    board = tmp_path / "board"
    main = [sys.executable, "-c", "from HiggsML.cli import main; main()", "rank"]
    command = [
        *(*main, everyone, "--output", board, "--input", options.input_dir),
        *("--sets", "3", "--pseudo-experiments", "8"),
        *("--workers", "1", "--isolation", "off", "--seed", "5"),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as killed:
        checkpoint = board / "runs" / "slow" / ".predictions.checkpoint.jsonl"
        for _ in range(3000):
            if checkpoint.is_file() and len(checkpoint.read_bytes().splitlines()) > 5:
                break
            time.sleep(0.1)
        os.kill(killed.pid, signal.SIGKILL)
    done = len(checkpoint.read_bytes().splitlines()) - 1
    assert 0 < done < 24
    subprocess.run(command, check=True, capture_output=True)
    ranking = compute_ranking(Archive(board))
    assert {entry.name for entry in ranking.entries} == {"honest", "slow", "wide"}
    np.testing.assert_array_equal(ranking.answers["slow"].p16, ranking.answers["honest"].p16)
    rescored = subprocess.run(
        [*main, "--rescore", board], check=True, capture_output=True, text=True
    )
    assert "honest" in rescored.stdout


def test_a_folder_is_searched_and_mistakes_are_told(submissions, tmp_path):
    with pytest.raises(SubmissionError, match="holds no submission"):
        find_submissions(tmp_path)
    with pytest.raises(SubmissionError, match="is a submission itself"):
        find_submissions(submissions / "honest")
    with pytest.raises(SubmissionError, match="does not exist"):
        find_submissions(tmp_path / "nowhere")
    place = write(tmp_path / "all", both="x", board="x")
    (place / "board" / "ranking.json").write_text("{}")  # no submission
    (place / "notes.txt").write_text("neither")
    (place / "one.ZIP").write_bytes(b"broken, which its own line will say")
    assert list(find_submissions(place)) == ["both", "one"]
    (place / "both.zip").write_bytes(b"")
    with pytest.raises(SubmissionError, match="have one name, both"):
        find_submissions(place)
    (place / "both.zip").unlink()
    (place / "both.zip").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SubmissionError, match="have one name, both"):
        find_submissions(place)


@pytest.mark.parametrize("name", ["Équipe <b>ü|x<b> $1$ 100%", "日本 チーム #1", "a_b*c*"])
def test_a_name_is_shown_as_it_is_and_is_no_markup(archive, name):
    shutil.copytree(archive.run_folder("honest"), archive.run_folder(name))
    shutil.copytree(archive.run_folder("broken"), archive.run_folder(f"{name} broken"))
    ranking = compute_ranking(archive)
    write_board(archive, ranking)
    for page in ("index.html", "versus.html"):
        text = (archive.folder / page).read_text()
        assert escape(name, quote=False) in text
        assert "<b>" not in text
    (link,) = re.findall(r'href="(runs/[^"]*)"><bdi>' + re.escape(escape(name)), text_of(archive))
    assert (archive.folder / unquote(link)).is_file()
    rows = markdown(ranking).splitlines()
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}
    assert "<b>" not in markdown(ranking)
    assert {row["name"] for row in csv.DictReader(csv_table(ranking).splitlines())} >= {name}
    assert archive.damage() == []
    graph = json.loads((archive.folder / "ro-crate-metadata.json").read_text())["@graph"]
    assert f"runs/{name}/submission/model.py" in {unquote(one["@id"]) for one in graph}


def text_of(archive):
    return (archive.folder / "index.html").read_text()


def test_one_submission_alone_and_none_at_all_have_a_board(archive):
    for name in ("wide", "remembers", "broken"):
        shutil.rmtree(archive.run_folder(name))
    alone = compute_ranking(archive)
    write_board(archive, alone)
    assert statement(alone) == "honest is the only submission that has finished."
    (archive.run_folder("honest") / "predictions" / "result_0.json").write_text("{}")
    none = compute_ranking(archive)
    write_board(archive, none)
    assert "nothing to rank" in statement(none)
    assert "result_0.json" in none.failed["honest"]


def test_a_number_that_was_never_sealed_is_found_when_scored_again(archive):
    (archive.run_folder("honest") / "predictions" / "result_0.json").unlink()
    result = CliRunner().invoke(rank, ["--rescore", str(archive.folder)])
    assert isinstance(result.exception, ResultsError)
    assert "runs/honest/predictions/result_0.json is missing" in str(result.exception)
    shutil.rmtree(archive.folder / "runs")
    (archive.folder / "ranking.json").write_text('{"num_of_sets": 1}')
    with pytest.raises(ResultsError, match=r"ranking.json is damaged or of another version"):
        archive.settings()


def test_a_board_is_scored_again_where_there_is_no_dataset(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board = str(archive.folder)
    scored = CliRunner().invoke(rank, ["--rescore", board])
    assert scored.exit_code == 0, scored.output
    for words in (["--reproduce", board, "honest"], [str(tmp_path)]):
        refused = CliRunner().invoke(rank, words)
        assert refused.exit_code == 2
        assert "there is no dataset at 'input_data'" in refused.output
    for words in ([], [str(tmp_path), "--rescore", board]):
        unclear = CliRunner().invoke(rank, words)
        assert unclear.exit_code == 2
        assert "Name the SUBMISSIONS to rank, or --rescore" in unclear.output


def test_own_runs_are_ranked_with_those_that_measured_the_same(archive, tmp_path):
    outputs = tmp_path / "outputs"
    for name, kept in (("first", "honest"), ("second", "wide"), ("<i>other|", "honest")):
        shutil.copytree(archive.run_folder(kept), outputs / name)
    settings = outputs / "<i>other|" / "predictions" / "test_settings.json"
    content = json.loads(settings.read_text())
    content["ground_truth_mus"] = [mu + 0.01 for mu in content["ground_truth_mus"]]
    settings.write_text(json.dumps(content))
    board = tmp_path / "board"
    result = CliRunner().invoke(runs, [str(outputs), "--board", str(board)])
    assert result.exit_code == 0, result.output
    index = (board / "index.html").read_text()
    other = (board / "2" / "index.html").read_text()
    assert "first" in index
    assert "<i>" not in index + other
    assert 'href="2/index.html"' in index
    assert 'href="../index.html"' in other
    rows = json.loads((board / "board.json").read_text())["rows"]
    assert {row["name"] for row in rows} == {"first", "second"}
    assert rows[0]["test_split"] > 0
    for page in (board / "index.html", board / "2" / "index.html"):
        links = re.findall(r'href="([^"#]*detailed_results.html)"', page.read_text())
        assert links
        assert all((page.parent / unquote(link)).is_file() for link in links)
    for path in (outputs / "first" / "predictions").glob("result_*.json"):
        path.unlink()
    write_own_board({"first": outputs / "first"}, board)
    assert "result_0.json" in (board / "index.html").read_text()
    with pytest.raises(ResultsError, match="no run"):
        write_own_board({}, board)


def test_in_containers_each_runs_alone_and_a_failed_program_is_its_own_fault(
    finished, submissions, options, tmp_path, monkeypatch
):
    kept = finished[0].run_folder("honest") / "predictions"
    asked = []

    def run_in_docker(mine, scores, *, image, restrictions, log):
        asked.append((image, restrictions.memory, mine.seed, mine.resume))
        log("ingestion", "INFO: predict: 3 of 18")
        log("ingestion", "a line")
        if "raise ValueError" in (mine.submission / "model.py").read_text():
            raise ProgramFailedError("exit code 1: no")
        shutil.copytree(kept, mine.output, dirs_exist_ok=True)

    monkeypatch.setattr("HiggsML.codabench.container.run_in_docker", run_in_docker)
    words = ["--input", options.input_dir, "--output", tmp_path, "--sets", 3]
    words += ["--pseudo-experiments", 6, "--docker", "--image", "mine", "--memory", "2g"]
    result = CliRunner().invoke(rank, [str(word) for word in (submissions, *words)])
    assert result.exit_code == 0, result.output
    archive = Archive(tmp_path)
    assert set(asked) == {("mine", f"{2 << 30}b", archive.entropy(), False)}
    assert archive.record("broken").reason == "exit code 1: no"
    assert archive.record("honest").status == "finished"
    assert archive.log("honest").read_text() == "[ingestion] a line\n"
    refused = CliRunner().invoke(rank, [str(submissions), *map(str, words[:4]), "--image", "x"])
    assert "--image needs --docker" in str(refused.exception)
