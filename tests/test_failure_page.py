"""The page of a submission without a score, and when the scoring program writes it."""

import json

import pytest

from HiggsML.errors import HiggsMLError
from HiggsML.reports.failure_page import render_failure
from HiggsML.seal import Recorder
from tests.pipeline_fixtures import SCORING, doors

__all__ = ["doors"]


@pytest.mark.parametrize("by_ingestion", [True, False])
def test_the_page_shows_the_reason_cleaned_and_escaped(tmp_path, by_ingestion):
    path = tmp_path / "new" / "detailed_results.html"
    reason = "first line\n<script>alert(1)</script> \x1b[31m\u202e\ud800 é"
    render_failure(path, reason, by_ingestion=by_ingestion)
    page = path.read_text(encoding="utf-8")
    assert "first line\n&lt;script&gt;alert(1)&lt;/script&gt; \ufffd[31m\ufffd\ufffd é" in page
    assert "<script" not in page
    assert "src=" not in page
    assert "default-src 'none'" in page
    assert ("could not be run" in page) is by_ingestion


def test_a_long_reason_is_cut(tmp_path):
    path = tmp_path / "detailed_results.html"
    render_failure(path, "x" * 100_000, by_ingestion=True)
    assert path.stat().st_size < 20_000


def test_scoring_repeats_why_the_ingestion_failed(doors, tmp_path):
    prediction, output = tmp_path / "predictions", tmp_path / "scores"
    recorder = Recorder(prediction, None, tell=True)
    recorder.begin()
    recorder.fail(HiggsMLError("Model.fit failed:\nmodel.py, line 3\nValueError: too few events"))
    (prediction / "metadata").write_text("exitCode: null\ningestionExitCode: 1\n")
    end = doors.run(SCORING, "--prediction", prediction, "--output", output)
    assert end.returncode == 1
    assert end.stdout == ""
    (last,) = end.stderr.splitlines()
    assert last == (
        "Error: the ingestion failed: Model.fit failed: | model.py, line 3 | "
        "ValueError: too few events"
    )
    assert [path.name for path in output.iterdir()] == ["detailed_results.html"]
    assert "line 3\nValueError: too few events" in (output / "detailed_results.html").read_text()


def test_a_former_page_and_scores_do_not_stay(doors, tmp_path):
    prediction, output = tmp_path / "predictions", tmp_path / "scores"
    output.mkdir()
    for name in ("scores.json", "detailed_results.html"):
        (output / name).write_text(json.dumps({"quantiles_score": 99}))
    Recorder(prediction, None, tell=True).begin()
    end = doors.run(SCORING, "--prediction", prediction, "--output", output)
    assert end.returncode == 1
    assert not (output / "scores.json").exists()
    assert "ended before it could say why" in (output / "detailed_results.html").read_text()
