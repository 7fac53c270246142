"""The result page: complete, self-contained, safe against hostile text, and true."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from HiggsML.errors import ResultsError
from HiggsML.reports.run_page import render_report, save_figures
from HiggsML.results import Predictions, Settings
from HiggsML.schema import NUISANCES
from HiggsML.statistics.official_scores import bootstrap_scores, compute_scores
from tests.run_page_fixtures import constant, measured

HOSTILE = "</script><script>alert('x')</script><img src=http://evil.example/ onerror=alert(1)>\"'&"


def render(path, predictions, mus, **options):
    n = next(iter(predictions.values())).p16.size
    settings = Settings(len(predictions), n, dict.fromkeys(NUISANCES, True), mus)
    settings = options.pop("settings", settings)
    render_report(
        path,
        predictions=predictions,
        mus=mus,
        scores=compute_scores(predictions, mus),
        settings=settings,
        **{"duration_minutes": 1.5, **options},
    )
    return path.read_text(encoding="utf-8")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "detailed_results.html"


class Page(HTMLParser):
    """Collects elements with their attributes, and fails on tags that do not nest."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data

    def count(self, tag):
        return sum(name == tag for name, _ in self.elements)


def assert_self_contained(html):
    for _, attributes in Page(html).elements:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "poster", "data", "srcset"):
                assert value.startswith(("#", "data:,")), (name, value)
            assert not name.startswith("on"), name
    for target in re.findall(r"url\(([^)]*)\)", html):
        assert target.startswith("#"), target
    assert "@import" not in html
    assert "http" not in html.replace("http-equiv", "")


def test_page_is_complete_and_self_contained(path):
    predictions, mus = measured(12, 40)
    html = render(
        path,
        predictions,
        mus,
        bootstrap=bootstrap_scores(predictions, mus, n_bootstraps=50),
        phase_2=bootstrap_scores(predictions, mus, unit="set", n_bootstraps=60),
        details={"isolation": "Landlock 7", "python": "3.11.7"},
        notices=["The data set is small."],
    )
    assert_self_contained(html)
    page = Page(html)
    scores = compute_scores(predictions, mus)
    assert page.count("svg") == 4 + 3 + 12
    assert page.count("tr") == 1 + 12
    for text in (
        f"{scores.quantiles_score:.3f}".replace("-", "\N{MINUS SIGN}"),
        f"{100 * scores.coverage:.1f}\N{NO-BREAK SPACE}%",
        f"{scores.rmse:.3f}",
        "90 s",
        "Landlock 7",
        "3.11.7",
        "The data set is small.",
        "68 % of resamplings",
        "60 resamplings",
        "tes, jes, soft_met, ttbar_scale, diboson_scale, bkg_scale",
    ):
        assert text in page.text, text


def test_rows_hold_the_scores_to_sort_by(path):
    predictions, mus = measured(3, 200, shrink=0.2)
    html = render(path, predictions, mus)
    scores = compute_scores(predictions, mus)
    values = [
        float(attributes["data-value"])
        for tag, attributes in Page(html).elements
        if tag in ("td", "th") and "data-value" in attributes
    ]
    rows = np.reshape(values, (3, 10))
    for row, one in zip(rows, scores.sets, strict=True):
        mean = predictions[one.set_index].mu_hat.mean()
        off = predictions[one.set_index].mu_hat - one.mu
        root = np.sqrt(np.mean(off**2))
        expected = [one.set_index, one.mu, mean, mean - one.mu, root, one.coverage, one.interval]
        expected += [one.rmse, one.mae, one.quantiles_score]
        np.testing.assert_allclose(row, expected)
    assert html.count('class="off" title') == 3  # every coverage is far too small


def test_page_tells_what_ran_how_long_and_how_good(path):
    predictions, mus = measured(3, 200, spread=0.06)
    about = {
        "submission": "mine",
        "date": "2026-11-29 01:55 UTC",
        "command": "higgsml run mine --seed 3",
        "seed": "3",
    }
    settings = Settings(3, 200, dict.fromkeys(NUISANCES, True), mus, details={"dataset": "mini"})
    html = render(
        path,
        predictions,
        mus,
        settings=settings,
        about=about,
        fit_minutes=1.0,
        details=settings.details,
    )
    text = Page(html).text
    off = np.concatenate([predictions[i].mu_hat - mus[i] for i in mus])
    for words in (
        "mine",
        "2026-11-29 01:55 UTC, mini dataset, 3 sets ",
        "higgsml run mine --seed 3",
        ", seed 3",
        "fit: 60 s; the rest: 0.05 s per pseudo-experiment",
        "Sample submission",
        "Information limit",
        "of the information limit",
        f"root mean square; mean absolute: {np.mean(np.abs(off)):.3f}",
        "Challenge's RMSE",
    ):
        assert words in text, words
    assert "information limit</text>" in html  # the line in the figure of the widths
    assert "seed" not in Page(render(path, predictions, mus, settings=settings)).text


def test_hostile_text_stays_text(path):
    html = render(
        path,
        *measured(1, 5),
        about={"submission": HOSTILE, "command": HOSTILE, "seed": HOSTILE},
        details={HOSTILE: HOSTILE, "isolation": HOSTILE, "odd": "\x00\ud800\u202eabc\x1b[31m"},
        notices=[HOSTILE, "{{ 7 * 7 }}{% raw %}"],
    )
    page = Page(html)
    assert page.count("script") == 1
    assert page.count("img") == 0
    assert HOSTILE in page.text
    assert "{{ 7 * 7 }}{% raw %}" in page.text
    assert "\x00" not in html
    assert "\u202e" not in html
    assert "onerror=alert(1)&gt;" in html


def test_long_text_is_cut(path):
    html = render(path, *measured(1, 5), details={"log": "x" * 10_000_000})
    assert len(html) < 200_000


def test_policy_allows_this_script_alone(path):
    html = render(path, *measured(1, 5))
    (policy,) = (
        attributes["content"]
        for tag, attributes in Page(html).elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy


def test_nothing_about_the_test_data_but_mu(path):
    predictions, mus = measured(2, 20)
    html = render(path, predictions, mus)
    assert "seed" not in html.lower()
    # No list of single predictions that could be matched with single pseudo-experiments.
    assert not any(f"{value:.6f}" in html for value in predictions[0].mu_hat)


def test_full_size_page_is_small_and_reproducible(path):
    predictions, mus = measured(10, 1000)
    first = render(path, predictions, mus)
    assert path.stat().st_size < 1_000_000
    assert render(path, predictions, mus) == first


def test_many_sets_are_folded(path):
    html = render(path, *measured(40, 3))
    page = Page(html)
    assert page.count("svg") == 4 + 40
    assert "28 more sets" in page.text


EDGES = {
    "one set, two experiments": lambda: measured(1, 2),
    "one set, one experiment": lambda: measured(1, 1),
    "constant, no width": lambda: ({i: constant(1) for i in range(3)}, {0: 0.5, 1: 1.0, 2: 2.0}),
    "all zero": lambda: ({0: constant(0)}, {0: 1.0}),
    "huge": lambda: (
        {0: Predictions(*np.full((2, 40), 1e4), np.full(40, -1e4), np.full(40, 1e4))},
        {0: 1.0},
    ),
    "wild": lambda: measured(2, 60, spread=3000.0),
    "tiny": lambda: measured(2, 60, spread=1e-9),
    "negative uncertainty": lambda: (
        {0: Predictions(np.ones(9), -np.ones(9), np.zeros(9), np.full(9, 2.0))},
        {0: 1.0},
    ),
    "one wild interval": lambda: (
        {0: Predictions(*np.ones((2, 99)), np.r_[np.zeros(98), -1e4], np.full(99, 2.0))},
        {0: 1.0},
    ),
}


@pytest.mark.parametrize("case", EDGES)
def test_edge_cases(case, path):
    predictions, mus = EDGES[case]()
    html = render(
        path,
        predictions,
        mus,
        duration_minutes=None,
        bootstrap=bootstrap_scores(predictions, mus, n_bootstraps=20),
        phase_2=bootstrap_scores(predictions, mus, unit="set", n_bootstraps=20),
    )
    assert_self_contained(html)
    assert not re.search(r"\b(nan|inf)\b", html)


def test_settings_without_systematics(path):
    predictions, mus = measured(1, 5)
    settings = Settings(1, 5, dict.fromkeys(NUISANCES, False), mus)
    scores = compute_scores(predictions, mus)
    arguments = {"predictions": predictions, "mus": mus, "scores": scores}
    render_report(path, settings=settings, duration_minutes=0.0, **arguments)
    assert "<dt>Systematics</dt><dd>none</dd>" in path.read_text(encoding="utf-8")


def test_a_failure_leaves_the_old_page_and_no_partial_one(path, tmp_path):
    predictions, mus = measured(2, 5)
    path.write_text("old")
    scores = compute_scores(predictions, mus)
    settings = Settings(2, 5, dict.fromkeys(NUISANCES, True), mus)
    with pytest.raises(ResultsError, match="set 1"):
        render_report(
            path,
            predictions={0: predictions[0]},
            mus=mus,
            scores=scores,
            settings=settings,
            duration_minutes=1.0,
        )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_figures_are_saved_for_a_paper(tmp_path):
    predictions, mus = measured(2, 20)
    settings = Settings(2, 20, dict.fromkeys(NUISANCES, True), mus)
    scores = compute_scores(predictions, mus)
    arguments = {"predictions": predictions, "scores": scores, "settings": settings}
    for kind, start in (("pdf", b"%PDF"), ("svg", b"<?xml")):
        paths = save_figures(tmp_path / kind, kind, **arguments)
        assert len(paths) == 4 + 2
        assert all(path.read_bytes().startswith(start) for path in paths)
        assert tmp_path / kind / f"pulls.{kind}" in paths
