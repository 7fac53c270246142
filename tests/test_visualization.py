"""What the plots show, in numbers; that nothing global changes; and what they refuse."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from sklearn.metrics import roc_auc_score, roc_curve

from HiggsML import visualization as vis
from HiggsML.errors import DataError
from HiggsML.reports.svg import inline_svg
from HiggsML.results import Predictions
from HiggsML.schema import MISSING
from HiggsML.statistics.official_scores import bootstrap_scores, compute_scores, coverage_penalty
from HiggsML.visualization.classes import _correlation
from HiggsML.visualization.measurement import pulls_of
from HiggsML.visualization.ranking import ranking_plot
from HiggsML.visualization.style import BLUE, PROCESS_COLORS, VERMILION, new_figure


def events(n=2000, seed=0):
    """A frame with a few features, an absent jet in half of the events, and labels."""
    rng = np.random.default_rng(seed)
    process = rng.choice(["ztautau", "ttbar", "diboson", "htautau"], n, p=[0.5, 0.2, 0.1, 0.2])
    jet = rng.exponential(50, n) + 26
    frame = pd.DataFrame(
        {
            "PRI_had_pt": rng.exponential(30, n) + 26,
            "PRI_met": rng.exponential(25, n),
            "PRI_jet_leading_pt": np.where(rng.random(n) < 0.5, jet, MISSING),
            "PRI_n_jets": rng.integers(0, 4, n),
            "weights": rng.uniform(0.5, 2.0, n),
            "detailed_labels": process,
            "labels": (process == "htautau").astype(int),
        }
    )
    return frame.astype({"PRI_had_pt": np.float32, "PRI_met": np.float32})


def shifted(frame):
    return frame.assign(PRI_had_pt=frame["PRI_had_pt"] * 1.03, PRI_met=frame["PRI_met"] + 1.5)


def measured(n_sets=4, n=300, seed=1, shrink=1.0):
    rng = np.random.default_rng(seed)
    mus = {i: float(mu) for i, mu in enumerate(rng.uniform(0.1, 3, n_sets))}
    predictions = {}
    for index, mu in mus.items():
        mu_hat = rng.normal(mu, 0.3, n)
        delta = np.full(n, 0.3 * shrink)
        predictions[index] = Predictions(mu_hat, delta, mu_hat - delta, mu_hat + delta)
    return predictions, mus


def stairs(axes):
    return [patch for patch in axes.patches if isinstance(patch, StepPatch)]


@pytest.fixture(autouse=True)
def _no_figure_stays():
    yield
    plt.close("all")


def render(figure):
    """Draw it, which is where matplotlib would warn."""
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def every_figure():
    frame = events()
    other = shifted(frame)
    label, weight = frame["labels"].to_numpy(), frame["weights"].to_numpy()
    predictions, mus = measured()
    scores = compute_scores(predictions, mus)
    bootstrap = bootstrap_scores(predictions, mus, n_bootstraps=50)
    one = predictions[0]
    return {
        "correlation_plots": lambda: vis.correlation_plots(frame, label),
        "pair_plots": lambda: vis.pair_plots(frame, label),
        "pair_plots_syst": lambda: vis.pair_plots_syst(frame, other),
        "stacked_histogram": lambda: vis.stacked_histogram(
            frame, label, weight, frame["detailed_labels"], "PRI_met", 2.0
        ),
        "histogram_classes": lambda: vis.histogram_classes(frame, label, weight),
        "histogram_syst": lambda: vis.histogram_syst(frame, other, weight, weight),
        "event_vise_syst": lambda: vis.event_vise_syst(frame, other),
        "event_vise_syst_arrow": lambda: vis.event_vise_syst_arrow(frame, other),
        "roc_curve_wrapper": lambda: vis.roc_curve_wrapper(frame["PRI_met"], label, weight),
        "visualize_scatter": lambda: vis.visualize_scatter(predictions, mus),
        "visualize_coverage": lambda: vis.visualize_coverage(predictions, mus),
        "interval_plot": lambda: vis.interval_plot(one.p16, one.p84, mus[0]),
        "pull_plot": lambda: vis.pull_plot(predictions, mus),
        "width_and_coverage_plot": lambda: vis.width_and_coverage_plot(predictions, mus),
        "coverage_function_plot": lambda: vis.coverage_function_plot(scores.coverage, 1200),
        "bootstrap_plot": lambda: vis.bootstrap_plot(bootstrap),
    }


PLOTS = set(vis.__all__) - {"Dataset_visualise", "custom_pretty_print"}


def test_every_plot_is_covered():
    assert set(every_figure()) == PLOTS


@pytest.mark.parametrize("name", sorted(PLOTS))
def test_returns_a_figure_and_changes_no_global_setting(name):
    make = every_figure()[name]
    before = dict(mpl.rcParams)
    figure = make()
    render(figure)
    assert isinstance(figure, Figure)
    assert figure.axes
    assert dict(mpl.rcParams) == before
    assert plt.gcf() is figure
    plt.close(figure)


def test_import_changes_no_global_setting():
    code = (
        "import matplotlib as mpl; before = {k: mpl.rcParams._get(k) for k in mpl.rcParams}; "
        "import HiggsML.visualization; "
        "assert before == {k: mpl.rcParams._get(k) for k in mpl.rcParams}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figure_keeps_its_style_when_drawn_later_and_shows_itself_in_notebooks():
    figure = vis.interval_plot([0.0], [2.0], 1.0)
    assert figure._repr_png_().startswith(b"\x89PNG")


# ----------------------------------------------------------------------------------------------
# Distributions
# ----------------------------------------------------------------------------------------------


def test_stacked_histogram_heights_are_weighted_counts():
    frame = events()
    label, weight = frame["labels"].to_numpy(), frame["weights"].to_numpy()
    process = frame["detailed_labels"].to_numpy()
    figure = vis.stacked_histogram(frame, label, weight, process, "PRI_met", mu_hat=3.0, nbins=12)
    patches = stairs(figure.axes[0])
    values = frame["PRI_met"].to_numpy(np.float64)
    edges = patches[0].get_data().edges
    count = {
        name: np.histogram(values[process == name], edges, weights=weight[process == name])[0]
        for name in PROCESS_COLORS
    }
    by_color = {to_hex(patch.get_facecolor()): patch for patch in patches if patch.get_fill()}
    assert len(edges) == 13
    base = 0.0
    for name in sorted(("ztautau", "ttbar", "diboson"), key=lambda name: count[name].sum()):
        top, _, baseline = by_color[PROCESS_COLORS[name]].get_data()
        np.testing.assert_allclose(top - baseline, count[name])
        np.testing.assert_allclose(baseline, base)
        base = top
    at_one, at_three = (patch.get_data()[0] for patch in patches if not patch.get_fill())
    np.testing.assert_allclose(at_one, base + count["htautau"])
    np.testing.assert_allclose(at_three, base + 3 * count["htautau"])


def test_stacked_histogram_leaves_absent_jets_out_and_says_so():
    frame = events()
    column, weight = frame["PRI_jet_leading_pt"], frame["weights"]
    figure = vis.stacked_histogram(
        *(frame, frame["labels"], weight, frame["detailed_labels"], column.name),
        y_scale="log",
    )
    render(figure)
    absent = weight[column == MISSING].sum() / weight.sum()
    assert f"{absent:.1%} without this jet" in figure.axes[0].get_title(loc="right")
    assert figure.axes[0].get_xlim()[0] > 0
    assert figure.axes[0].get_yscale() == "log"


def test_stacked_histogram_draws_on_given_axes_and_knows_foreign_processes():
    frame = events(200)
    names = np.where(frame["labels"] == 1, "htautau", "a $strange_ process")
    host = new_figure(4, 3)
    axes = host.add_subplot()
    arguments = (frame["labels"], frame["weights"], names, "PRI_n_jets")
    assert vis.stacked_histogram(frame, *arguments, ax=axes) is host
    render(host)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert r"a \$strange_ process" in texts


def test_histogram_syst_heights_are_weighted_counts():
    frame = events()
    other = shifted(frame)[:-100]
    weight, other_weight = frame["weights"].to_numpy(), 2 * other["weights"].to_numpy()
    figure = vis.histogram_syst(frame, other, weight, other_weight, columns=["PRI_had_pt"], nbin=8)
    main, below = figure.axes
    before, after = (patch.get_data()[0] for patch in stairs(main))
    edges = stairs(main)[0].get_data()[1]
    values = other["PRI_had_pt"].to_numpy(np.float64)
    np.testing.assert_allclose(after, np.histogram(values, edges, weights=other_weight)[0])
    np.testing.assert_allclose(before, np.histogram(frame["PRI_had_pt"], edges, weights=weight)[0])
    (ratio,) = [line.get_ydata() for line in below.lines if line.get_gid() == "ratio"]
    np.testing.assert_allclose(ratio, (after / before)[before > 0])


def test_correlation_uses_weights_and_pairs_that_have_both():
    frame = events()
    names = ["PRI_had_pt", "PRI_met", "PRI_jet_leading_pt"]
    frame["PRI_jet_leading_pt"] += 0.5 * frame["PRI_met"] * (frame["PRI_jet_leading_pt"] != MISSING)
    weight = frame["weights"].to_numpy()
    matrix = _correlation(frame, names, weight)
    jets = frame[frame["PRI_jet_leading_pt"] != MISSING]
    covariance = np.cov(
        jets[["PRI_met", "PRI_jet_leading_pt"]].T.to_numpy(np.float64), aweights=jets["weights"]
    )
    expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert matrix[1, 2] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(np.diag(matrix), 1.0)
    flat = _correlation(frame, names[:2], np.ones(len(frame)))
    np.testing.assert_allclose(flat, frame[names[:2]].astype(float).corr(), rtol=1e-6)


def test_correlation_plot_shows_percent_and_survives_a_constant_column():
    frame = events().assign(constant=3.0)
    figure = vis.correlation_plots(frame, frame["labels"], ["PRI_met", "constant"])
    render(figure)
    image = figure.axes[0].images[0].get_array()
    assert image[0, 0] == pytest.approx(100.0)
    assert np.ma.getmaskarray(image)[1, 1] or np.isnan(image[1, 1])


def test_roc_curve_agrees_with_scikit_learn_including_ties():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 2, 3000)
    score = np.round(label + rng.normal(0, 1, label.size), 1)
    weight = rng.uniform(0.1, 2, label.size)
    figure = vis.roc_curve_wrapper(score, label, weight, "mine", "r", 1.5)
    line = figure.axes[0].lines[-1]
    area = roc_auc_score(label, score, sample_weight=weight)
    assert line.get_label() == f"mine (area {area:.3f})"
    assert (to_hex(line.get_color()), line.get_linewidth()) == (VERMILION, 1.5)
    false_rate, true_rate, _ = roc_curve(label, score, sample_weight=weight)
    np.testing.assert_allclose(
        np.interp(0.3, line.get_xdata(), line.get_ydata()),
        np.interp(0.3, false_rate, true_rate),
        rtol=1e-9,
    )
    again = vis.roc_curve_wrapper(score, label, weight, "other", ax=figure.axes[0])
    assert again is figure
    assert [text.get_text()[:6] for text in figure.axes[0].get_legend().get_texts()] == [
        "chance",
        "mine (",
        "other ",
    ]


# ----------------------------------------------------------------------------------------------
# Single events
# ----------------------------------------------------------------------------------------------


def test_pair_plots_draw_the_sample_that_the_legend_states():
    frame = events()
    columns = ["PRI_had_pt", "PRI_met"]
    figure = vis.pair_plots(frame, frame["labels"], sample_size=25, columns=columns)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["background, 25 events drawn", "signal, 25 events drawn"]
    scatter = next(axes for axes in figure.axes if axes.lines)
    background, signal = scatter.lines
    pairs = set(zip(frame["PRI_had_pt"].astype(float), frame["PRI_met"].astype(float), strict=True))
    drawn = set(zip(background.get_xdata(), background.get_ydata(), strict=True))
    assert len(drawn) == len(signal.get_xdata()) == 25
    assert drawn <= pairs


def test_pair_plots_sample_follows_the_weights():
    frame = events().assign(weights=lambda frame: np.where(frame["PRI_met"] > 30, 1.0, 0.0))
    figure = vis.pair_plots(frame, frame["labels"], 50, ["PRI_had_pt", "PRI_met"])
    scatter = next(axes for axes in figure.axes if axes.lines)
    assert scatter.lines[0].get_ydata().min() > 30


def test_pair_plots_of_many_columns_use_one_pair_of_axes():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 12)), columns=[f"x{i}" for i in range(12)])
    figure = vis.pair_plots(frame, rng.integers(0, 2, 60), sample_size=20)
    render(figure)
    (axes,) = figure.axes
    assert axes.lines[0].get_xdata().size == 20 * 12 * 11 // 2
    assert len(axes.get_yticklabels()) == 12


def test_pair_plots_syst_shows_the_same_events_shifted():
    frame = events()
    figure = vis.pair_plots_syst(frame, shifted(frame), 30, ["PRI_had_pt", "PRI_met"])
    scatter = next(axes for axes in figure.axes if axes.lines)
    nominal, moved = scatter.lines
    np.testing.assert_allclose(moved.get_xdata(), 1.03 * nominal.get_xdata(), rtol=1e-6)


def test_event_vise_syst_shows_the_difference():
    frame = events()
    columns = ["PRI_met", "PRI_jet_leading_pt"]
    figure = vis.event_vise_syst(frame, shifted(frame), columns, sample_size=40)
    met, jet = (axes.lines[-1] for axes in figure.axes)
    np.testing.assert_allclose(met.get_ydata(), 1.5, rtol=1e-5)
    assert met.get_xdata().size == 40
    assert jet.get_xdata().min() > 0  # absent jets are not drawn
    assert np.all(jet.get_ydata() == 0)
    assert "40 of 2,000 events" in figure.texts[0].get_text()


def test_arrows_lead_from_nominal_to_shifted():
    frame = events()
    figure = vis.event_vise_syst_arrow(frame, shifted(frame), ["PRI_had_pt", "PRI_met"], 15)
    (arrows,) = figure.axes[0].collections
    np.testing.assert_allclose(arrows.V, 1.5, rtol=1e-5)
    np.testing.assert_allclose(arrows.U, 0.03 * arrows.X, rtol=1e-4)


@pytest.mark.parametrize(("shift", "factor"), [(20.0, 1), (1.5, 2), (0.15, 20), (0.0, 1)])
def test_arrows_too_short_to_see_are_magnified_and_the_figure_says_so(shift, factor):
    frame = pd.DataFrame({"PRI_had_pt": np.linspace(26, 76, 50), "PRI_met": np.linspace(0, 50, 50)})
    figure = vis.event_vise_syst_arrow(frame, frame.assign(PRI_met=frame["PRI_met"] + shift))
    (arrows,) = figure.axes[0].collections
    assert arrows.scale == pytest.approx(1 / factor)
    said = " ".join(figure.texts[0].get_text().split())
    assert (f"arrows {factor} times as long as the shift" in said) == (factor > 1)
    as_asked = vis.event_vise_syst_arrow(frame, frame + 1, magnify=7)
    assert as_asked.axes[0].collections[0].scale == pytest.approx(1 / 7)


@pytest.mark.parametrize(("tail", "cut"), [(60.0, False), (900.0, True)])
def test_a_long_tail_does_not_squeeze_the_bulk(tail, cut):
    met = np.append(np.linspace(0, 50, 400), tail)
    frame = pd.DataFrame({"PRI_met": met, "PRI_had_pt": np.linspace(26, 76, 401)})
    label = np.arange(401) % 2
    figures = {
        "pairs": vis.pair_plots(frame, label, 401),
        "arrows": vis.event_vise_syst_arrow(frame, frame + 1, sample_size=401),
        "stack": vis.stacked_histogram(
            frame, label, np.ones(401), np.where(label == 1, "htautau", "ttbar"), "PRI_met"
        ),
    }
    for figure in figures.values():
        assert (figure.axes[0].get_xlim()[1] < 60) == cut
    assert (figures["pairs"].legends[0].get_title().get_text() == "long tails cut off") == cut
    assert ("long tails cut off" in figures["arrows"].texts[0].get_text()) == cut
    assert ("outside the range" in figures["stack"].axes[0].get_title(loc="right")) == cut


def test_notes_fit_into_narrow_figures():
    frame = events()
    one = ["PRI_met"]
    for figure in (
        vis.histogram_syst(frame, frame, frame["weights"], frame["weights"], one),
        vis.event_vise_syst_arrow(frame, shifted(frame), ["PRI_had_pt", "PRI_met"]),
    ):
        render(figure)
        (text,) = figure.texts
        box = text.get_window_extent()
        assert box.x0 > 0
        assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)
        assert not any(box.overlaps(legend.get_window_extent()) for legend in figure.legends)


@pytest.mark.parametrize(("n_columns", "n_panels"), [(2, 1), (4, 6), (6, 5)])
def test_arrow_panels(n_columns, n_panels):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, n_columns))).add_prefix("x")
    assert len(vis.event_vise_syst_arrow(frame, frame + 1).axes) == n_panels


def test_samples_are_reproducible():
    frame = events()

    def drawn(seed):
        figure = vis.event_vise_syst(frame, shifted(frame), ["PRI_met"], 10, seed=seed)
        return figure.axes[0].lines[-1].get_xdata()

    np.testing.assert_array_equal(drawn(4), drawn(4))
    assert not np.array_equal(drawn(4), drawn(5))


def test_unequal_frames_can_not_be_compared_event_by_event():
    frame = events()
    with pytest.raises(DataError, match="dopostprocess=False"):
        vis.event_vise_syst(frame, frame[:-1])


def test_a_column_without_values_is_drawn_empty():
    frame = events(50).assign(PRI_jet_leading_pt=MISSING)
    label, weight = frame["labels"], frame["weights"]
    names = frame["detailed_labels"]
    for figure in (
        vis.stacked_histogram(frame, label, weight, names, "PRI_jet_leading_pt"),
        vis.histogram_syst(frame, frame, weight, weight, ["PRI_jet_leading_pt"]),
        vis.pair_plots(frame, label, 5, ["PRI_met", "PRI_jet_leading_pt"]),
        vis.event_vise_syst(frame, frame, ["PRI_jet_leading_pt"]),
        vis.event_vise_syst_arrow(frame, frame, ["PRI_met", "PRI_jet_leading_pt"]),
        vis.correlation_plots(frame, label, ["PRI_met", "PRI_jet_leading_pt"]),
    ):
        render(figure)


def test_a_million_rows_are_no_problem():
    rng = np.random.default_rng(0)
    n = 1_000_000
    frame = pd.DataFrame({"PRI_met": rng.exponential(20, n).astype(np.float32)})
    label = rng.integers(0, 2, n)
    name = np.where(label == 1, "htautau", "ztautau")
    vis.stacked_histogram(frame, label, np.ones(n), name, "PRI_met")
    vis.pair_plots(frame, label)
    title = vis.correlation_plots(frame, label).axes[0].get_title(loc="left")
    assert title == f"background: 100,000 of {(label == 0).sum():,} events"
    roc = vis.roc_curve_wrapper(frame["PRI_met"], label, np.ones(n))
    assert roc.axes[0].lines[-1].get_xdata().size <= 1000


# ----------------------------------------------------------------------------------------------
# Wrong arguments
# ----------------------------------------------------------------------------------------------

REFUSED = {
    "unknown column": lambda f: vis.correlation_plots(f, f["labels"], ["PRI_met", "nope"]),
    "unknown field": lambda f: vis.stacked_histogram(
        f, f["labels"], f["weights"], f["detailed_labels"], "nope"
    ),
    "unknown in the shifted frame": lambda f: vis.histogram_syst(
        f, f.drop(columns="PRI_met"), f["weights"], f["weights"]
    ),
    "text column": lambda f: vis.pair_plots(f, f["labels"], columns=["detailed_labels"]),
    "no column": lambda f: vis.pair_plots(f, f["labels"], columns=[]),
    "no row": lambda f: vis.correlation_plots(f[:0], f["labels"][:0]),
    "short labels": lambda f: vis.correlation_plots(f, f["labels"][:-1]),
    "short weights": lambda f: vis.histogram_syst(f, f, f["weights"][:-1], f["weights"]),
    "no bins": lambda f: vis.histogram_syst(f, f, f["weights"], f["weights"], nbin=0),
    "no sample": lambda f: vis.event_vise_syst(f, f, sample_size=0),
    "arrows of no length": lambda f: vis.event_vise_syst_arrow(f, f, magnify=0),
    "one column of arrows": lambda f: vis.event_vise_syst_arrow(f, f, ["PRI_met"]),
    "NaN score": lambda f: vis.roc_curve_wrapper(f["PRI_met"] * np.nan, f["labels"], f["weights"]),
    "one class": lambda f: vis.roc_curve_wrapper(f["PRI_met"], f["labels"] * 0, f["weights"]),
    "no results": lambda f: vis.visualize_scatter({}, {}),
    "unknown mu": lambda f: vis.visualize_scatter({1: {"mu_hats": [1.0]}}, {0: 1.0}),
    "missing key": lambda f: vis.visualize_coverage({0: {"mu_hats": [1.0]}}, {0: 1.0}),
    "unequal ends": lambda f: vis.interval_plot([0.0, 1.0], [2.0], 1.0),
    "unknown score": lambda f: vis.bootstrap_plot(None, names=["nope"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_arguments_give_a_named_error(case):
    with pytest.raises(DataError):
        REFUSED[case](events(50))


# ----------------------------------------------------------------------------------------------
# Measurements
# ----------------------------------------------------------------------------------------------


def drawn_intervals(axes, gid):
    (line,) = [line for line in axes.lines if line.get_gid() == gid]
    x = line.get_xdata().reshape(-1, 3)
    return line, x[:, 0], x[:, 1], line.get_ydata().reshape(-1, 3)[:, 0]


def test_interval_plot_colors_match_the_coverage_and_order_the_predictions():
    predictions, mus = measured(1, 1000)
    result, mu = predictions[0], mus[0]
    (axes,) = vis.interval_plot(result.p16, result.p84, mu, result.mu_hat).axes
    covered = (result.p16 <= mu) & (mu <= result.p84)
    for gid, mask, color in (("contain", covered, BLUE), ("miss", ~covered, VERMILION)):
        line, low, high, rank = drawn_intervals(axes, gid)
        assert line.get_color() == color
        assert sorted(zip(low, high, strict=True)) == sorted(
            zip(result.p16[mask], result.p84[mask], strict=True)
        )
        np.testing.assert_array_equal(
            rank, np.sort(np.argsort(np.argsort(result.mu_hat))[mask] + 1)
        )
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == [f"{covered.sum()} contain the true μ", f"{(~covered).sum()} miss the true μ"]


def test_many_intervals_have_short_tick_labels():
    low = np.linspace(0, 1, 20_000)
    figure = vis.interval_plot(low, low + 0.5, 1.0)
    render(figure)
    (axes,) = figure.axes
    assert "10k" in [text.get_text() for text in axes.get_yticklabels()]
    assert axes.yaxis.get_offset_text().get_text() == ""


def test_interval_ends_count_as_covered():
    (axes,) = vis.interval_plot([1.0, 0.0, 1.5], [2.0, 1.0, 2.0], 1.0).axes
    assert drawn_intervals(axes, "contain")[1].size == 2
    assert drawn_intervals(axes, "miss")[1].tolist() == [1.5]


def test_a_wild_interval_does_not_squeeze_the_others():
    low = np.append(np.full(999, 0.9), -1e4)
    (axes,) = vis.interval_plot(low, np.full(1000, 1.1), 1.0).axes
    assert axes.get_xlim()[0] > 0


@pytest.mark.parametrize("suffix", ["", "s"])
def test_visualize_coverage_accepts_both_spellings(suffix):
    result = {f"p16{suffix}": [0.0, 1.2], f"p84{suffix}": [1.1, 1.5]}
    figure = vis.visualize_coverage({0: result, 3: result}, {0: 1.0, 3: 1.3})
    render(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "set 0, μ = 1",
        "set 3, μ = 1.3",
    ]
    assert drawn_intervals(figure.axes[0], "contain")[1].tolist() == [0.0]
    assert drawn_intervals(figure.axes[1], "contain")[1].tolist() == [1.2]


def test_visualize_scatter_shows_the_means():
    results = {0: {"mu_hats": [1.0, 2.0]}, 1: {"mu_hats": [2.0, 3.0]}}
    figure = vis.visualize_scatter(results, [1.0, 2.0])
    upper = next(axes for axes in figure.axes if axes.get_ylabel() == "predicted μ")
    lower = next(axes for axes in figure.axes if axes is not upper)
    for axes, expected in ((upper, [1.5, 2.5]), (lower, [0.5, 0.5])):
        (means,) = [line for line in axes.lines if line.get_gid() == "mean"]
        assert list(means.get_xdata()) == [1.0, 2.0]
        assert list(means.get_ydata()) == expected


def test_pulls_are_binned_and_what_is_left_out_is_said():
    mu_hat, delta = np.array([1.1, 0.8, 9.0, 1.0]), np.array([0.1, 0.2, 0.5, 0.0])
    results = {0: Predictions(mu_hat, delta, mu_hat - delta, mu_hat + delta)}
    pulls, without = pulls_of(results, {0: 1.0})
    np.testing.assert_allclose(pulls, [1.0, -1.0, 16.0])
    assert without == 1
    (axes,) = vis.pull_plot(results, {0: 1.0}).axes
    assert stairs(axes)[0].get_data()[0].sum() == 3
    texts = " ".join(text.get_text() for text in axes.texts)
    assert "1 beyond ±5" in texts
    assert "1 left out" in texts


def test_width_and_coverage_points():
    predictions, mus = measured(5, 400, shrink=0.7)
    scores = compute_scores(predictions, mus)
    figure = vis.width_and_coverage_plot(predictions, mus)
    upper = next(axes for axes in figure.axes if axes.get_ylabel() == "coverage")
    lower = next(axes for axes in figure.axes if axes is not upper)
    points = {}
    for line in upper.lines:
        if line.get_gid() in ("inside", "outside"):
            points |= dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert points == {one.mu: pytest.approx(one.coverage) for one in scores.sets}
    (means,) = [line for line in lower.lines if line.get_gid() == "mean"]
    np.testing.assert_allclose(means.get_ydata(), 0.42)


@pytest.mark.parametrize("coverage", [0.0, 0.5, 0.6827, 0.9, 1.0])
@pytest.mark.parametrize("n", [1, 2, 50, 10_000, 1_000_000])
def test_coverage_function_shows_the_run(coverage, n):
    figure = vis.coverage_function_plot(coverage, n, spread=(coverage - 0.01, coverage + 0.01))
    render(figure)
    (axes,) = figure.axes
    (run,) = [line for line in axes.lines if line.get_gid() == "run"]
    assert run.get_ydata()[0] == pytest.approx(coverage_penalty(coverage, n))
    assert axes.get_xlim()[0] <= coverage <= axes.get_xlim()[1]
    assert run.get_ydata()[0] < axes.get_ylim()[1]


def test_bootstrap_histograms_hold_every_resampling():
    predictions, mus = measured()
    bootstrap = bootstrap_scores(predictions, mus, n_bootstraps=70)
    figure = vis.bootstrap_plot(bootstrap, observed=compute_scores(predictions, mus).as_dict())
    assert [stairs(axes)[0].get_data()[0].sum() for axes in figure.axes] == [70, 70, 70]


# ----------------------------------------------------------------------------------------------
# SVG
# ----------------------------------------------------------------------------------------------


def test_svg_holds_text_theme_colors_and_no_address():
    predictions, mus = measured(1, 1000)
    one = predictions[0]
    figure = vis.interval_plot(one.p16, one.p84, mus[0], one.mu_hat)
    svg = inline_svg(figure, name="a", description="Figure: intervals")
    assert "signal strength μ</text>" in svg
    assert "var(--blue)" in svg
    assert BLUE not in svg
    assert "http" not in svg
    assert "<style" not in svg
    assert len(svg) < 60_000
    assert svg.count("H") >= 1000
    assert svg == inline_svg(figure, name="a", description="Figure: intervals")


def test_svg_rounds_places_but_never_labels():
    figure = vis.bootstrap_plot(bootstrap_scores(*measured(), n_bootstraps=50), names=["coverage"])
    title = figure.axes[0].get_title(loc="left")
    assert len(title.split()[0]) > 4
    assert f">{title}</text>" in inline_svg(figure, name="b", description="Figure")


def test_svg_refuses_markup_as_description():
    with pytest.raises(ValueError, match="plain words"):
        inline_svg(vis.interval_plot([0.0], [1.0], 0.5), name="c", description='"><script>')


@pytest.mark.parametrize(
    "names", [["demo"], ["a", "a_method_with_a_name_of_more_than_forty_letters"] * 9]
)
def test_a_ranking_has_room_for_its_labels_and_takes_the_colors_of_the_page(names):
    n = len(names)
    figure = ranking_plot(
        names,
        scores=np.linspace(0.2, 0.3, n),
        errors=np.full(n, 0.01),
        coverages=np.full(n, 0.68),
        coverage_error=0.015,
        widths=np.full(n, 0.13),
        limit=0.12,
    )
    figure.canvas.draw()
    whole = figure.bbox
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= whole.x1
        assert box.y1 <= whole.y1
    svg = inline_svg(figure, name="ranking", description="Ranking")
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) == set()
