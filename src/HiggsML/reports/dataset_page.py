"""The standard plots of a dataset, in one page or a folder.

Examples
--------
Draw all plots of the dataset that the project ships into one page::

    from HiggsML.datasets.reader import Data
    from HiggsML.reports.dataset_page import explore, write_page

    plots = explore(Data("input_data"), submission="sample_submission")
    write_page(plots, "explore.html", title="The mini dataset")
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

import HiggsML
from HiggsML.datasets.reader import Data
from HiggsML.errors import DataError, HiggsMLError, SettingsError, SubmissionError
from HiggsML.reports.page import write_from_template
from HiggsML.reports.svg import inline_svg
from HiggsML.schema import FEATURES, NUISANCES, PROCESSES, SIGNAL
from HiggsML.submission.model import load_model_class, make_model
from HiggsML.submission.value import Submission
from HiggsML.systematics import DEFAULT_SEED, systematics
from HiggsML.visualization.classes import correlation_plots, roc_curve_wrapper
from HiggsML.visualization.cut_scan import plot_scans, scan_features
from HiggsML.visualization.distributions import histogram_syst, stacked_histogram
from HiggsML.visualization.pyplot_figures import plain_figures
from HiggsML.visualization.style import LABELS, column_values, panel_grid, present, style

__all__ = [
    "FORMATS",
    "SECTIONS",
    "Plot",
    "explore",
    "most_plots",
    "score_events",
    "write_folder",
    "write_page",
]

FORMATS = ("png", "svg", "pdf")
"""Formats of the files in a folder."""

SECTIONS = {
    "features": (
        "Features by process",
        "Expected events at mu = 1, stacked by process, after the final cuts.",
    ),
    "correlations": (
        "Correlations",
        "Linear correlations of all features, for background and for signal.",
    ),
    "shifts": (
        "Systematic shifts",
        "Each nuisance parameter one standard deviation up, everything else nominal: the features "
        "that change most.",
    ),
    "cuts": (
        "Signal over background",
        "The single cuts that bring the largest share of signal, among those that keep a tenth of "
        "it.",
    ),
    "classifier": (
        "Classifier",
        "The output of the submission's score method on test events that it was not trained on.",
    ),
}
"""Title and text of each section of the page, in order."""

_LAYOUTS = {"features": "three", "correlations": "", "classifier": "two"}
_SHIFTED_FEATURES = 6
_SCANS = 4
_BINS = 30
_PIXELS_PER_INCH = 100  # at most: type then has the size of the page's own
_READABLE = 0.7  # least share of that size; on a narrow screen a wide figure scrolls instead
_PHONE = 600  # pixels; narrower figures fit on every screen


@dataclass(frozen=True)
class Plot:
    """One figure: its section (a key of :data:`SECTIONS`), a file name, and what to say of it."""

    section: str
    name: str
    figure: Figure
    caption: str


def explore(
    data: Data,
    *,
    submission: str | Path | None = None,
    columns: Sequence[str] | None = None,
    max_events: int = 100_000,
    seed: int = 0,
) -> Iterator[Plot]:
    """Draw the standard plots of a dataset, one after the other.

    Parameters
    ----------
    data : Data
        The dataset; plots show its training split.
    submission : str or Path, optional
        Directory of a submission. Its ``Model`` is trained **in this process, without isolation**,
        and its method ``score(features)``, an array with one number per event that is larger for
        signal, is drawn on events of the test split.
    columns : sequence of str, optional
        Features; all 28 by default.
    max_events : int
        Events to draw at most, chosen at random; expected yields stay those of the whole dataset.
    seed : int
        Choice of the events, and the noise of soft missing momentum.

    Raises
    ------
    SettingsError
        If a feature is unknown or ``max_events`` is not positive.
    SubmissionError
        If the submission fails, or has no such method.
    """
    names = list(FEATURES if columns is None else columns)
    if unknown := [name for name in names if name not in FEATURES]:
        close = get_close_matches(unknown[0], FEATURES, n=3)
        known = f"did you mean {', '.join(close)}?" if close else "see HiggsML.schema.FEATURES"
        raise SettingsError(f"unknown features {', '.join(unknown)}; {known}")
    if max_events < 1:
        raise SettingsError(f"max_events must be at least 1, got {max_events}")
    if submission is not None:  # before the minutes that the other plots take
        model_file = Submission.of(Path(submission)).model_file
        with _code_of(model_file.parent):
            _scoring_class(model_file)
    data.load_train_set(train_size=max_events, seed=seed)
    train = data.get_train_set()
    if train is None or train.empty:
        raise DataError(f"the training split of {data.path.name} is empty")
    events = systematics(train, seed=seed)
    yield from _features(events, names)
    if len(names) > 1:
        with plain_figures():
            figure = correlation_plots(events[[*names, "weights"]], events["labels"], names)
        caption = "In percent; pairs with an absent jet are left out."
        yield Plot("correlations", "correlations", figure, caption)
    yield from _shifts(train, events, names, seed)
    yield from _cuts(events, names)
    if submission is not None:
        yield from _classifier(data, Path(submission), max_events, seed)


def most_plots(columns: Sequence[str] | None, submission: object | None = None) -> int:
    """Return how many plots :func:`explore` draws, where cuts can be scanned.

    Examples
    --------
    >>> most_plots(["PRI_met"])
    8
    """
    number = len(FEATURES if columns is None else columns)
    correlations, cuts, classifier = int(number > 1), 1, 0 if submission is None else 2
    return number + correlations + len(NUISANCES) + cuts + classifier


def _features(events: pd.DataFrame, names: Sequence[str]) -> Iterator[Plot]:
    for name in names:
        labels = (events["labels"], events["weights"], events["detailed_labels"])
        with style():
            figure, (axes,) = panel_grid(1, size=(3.6, 2.5), pads=(0.72, 0.6), header=0.25)
            stacked_histogram(events, *labels, name, nbins=_BINS, ax=axes)
        yield Plot("features", name, figure, name)


def _one_up(name: str) -> float:
    """Return a nuisance parameter one standard deviation above its prior's center."""
    nuisance = NUISANCES[name]
    value = nuisance.loc + nuisance.scale
    return math.exp(value) if nuisance.prior == "lognormal" else value


def _shifts(
    train: pd.DataFrame, nominal: pd.DataFrame, names: Sequence[str], seed: int
) -> Iterator[Plot]:
    for nuisance in NUISANCES.values():
        value = _one_up(nuisance.name)
        shifts: dict[str, Any] = {nuisance.name: value}
        shifted = systematics(train, seed=seed, **shifts)
        changed = sorted(names, key=lambda name: -_change(name, nominal, shifted))
        if not nuisance.shape:
            # A rate changes all features alike: the same ones each time are easier to compare.
            changed = [name for name in ("DER_mass_vis", "PRI_n_jets", *names) if name in names]
            changed = list(dict.fromkeys(changed))[:2]
        weights, shown = (nominal["weights"], shifted["weights"]), changed[:_SHIFTED_FEATURES]
        with plain_figures():
            figure = histogram_syst(nominal, shifted, *weights, columns=shown)
        events, before = float(shifted["weights"].sum()), float(nominal["weights"].sum())
        caption = (
            f"{nuisance.name} = {value:.3g} ({nuisance.description}): {events / before - 1:+.2%} "
            "events pass the cuts."
            if nuisance.shape
            else f"{nuisance.name} = {value:.4g} ({nuisance.description}): "
            f"{events / before - 1:+.2%} events."
        )
        yield Plot("shifts", nuisance.name, figure, caption)


def _change(name: str, nominal: pd.DataFrame, shifted: pd.DataFrame) -> float:
    """Chi-square-like distance of a feature's two histograms, in bins of equal content."""
    before, after = column_values(nominal, name), column_values(shifted, name)
    inside = present(name, before)
    if not inside.any():
        return 0.0
    edges = np.unique(np.quantile(before[inside], np.linspace(0, 1, 26)))
    if edges.size < 2:
        return 0.0
    counts = [
        np.histogram(values, edges, weights=frame["weights"])[0]
        for values, frame in ((before, nominal), (after, shifted))
    ]
    return float(np.sum((counts[1] - counts[0]) ** 2 / np.maximum(counts[0], 1e-9)))


def _cuts(events: pd.DataFrame, names: Sequence[str]) -> Iterator[Plot]:
    if events["labels"].nunique() < 2:
        return
    scans = scan_features(events, events["labels"], events["weights"], names)
    better = {scan.variable: scan for scan in reversed(scans)}  # the better of two directions
    best = [scan for scan in scans if better[scan.variable] is scan][:_SCANS]
    if best:
        words = ", ".join(
            f"{scan.variable} {'>' if scan.direction == 'above' else '<'} {scan.best_cut:.4g}"
            for scan in best
        )
        yield Plot("cuts", "cuts", plot_scans(best), f"Best cuts: {words}.")


# ----------------------------------------------------------------------------------------------
# A submission's classifier
# ----------------------------------------------------------------------------------------------


def score_events(data: Data, submission: Path, events: pd.DataFrame) -> NDArray[np.float64]:
    """Train a submission in this process, and return its score of events, shape (rows,).

    Raises
    ------
    SubmissionError
        If it can not be loaded, its code fails, it has no method ``score``, or that does not
        return one finite number per event.
    """
    model_file = Submission.of(submission).model_file

    def get_train_set(**keywords: Any) -> pd.DataFrame | None:
        data.load_train_set(**{"seed": DEFAULT_SEED, **keywords})
        return data.get_train_set()

    with _code_of(model_file.parent):
        model = make_model(_scoring_class(model_file), get_train_set, systematics)
        model.fit()
        score = np.asarray(model.score(events[list(FEATURES)]), dtype=np.float64)
    if score.shape != (len(events),) or not np.isfinite(score).all():
        raise SubmissionError(
            f"Model.score must return one finite number for each of {len(events)} events; it "
            f"returned shape {score.shape}"
        )
    return score


def _scoring_class(model_file: Path) -> Any:
    """Load a submission's class Model, which must have a method ``score``."""
    model_class = load_model_class(model_file)
    if not callable(getattr(model_class, "score", None)):
        raise SubmissionError(
            f"the class Model of {model_file.parent.name} has no method score(features), which is "
            "needed to draw its classifier: one number per event, larger for signal"
        )
    return model_class


@contextmanager
def _code_of(folder: Path) -> Iterator[None]:
    """Name a submission's errors after it, and forget its modules and paths afterwards."""
    paths = list(sys.path)
    try:
        yield
    except HiggsMLError:
        raise
    except Exception as error:
        raise SubmissionError(f"{folder.name}: {type(error).__name__}: {error}") from error
    finally:
        sys.path[:] = paths
        inside = folder.resolve()
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and inside in Path(file).resolve().parents:
                del sys.modules[name]


def _test_events(data: Data, max_events: int, rng: np.random.Generator) -> pd.DataFrame:
    """Choose events of the test split, with the yields of the whole split."""
    share = min(1.0, max_events / max(data.test_size, 1))
    chosen = []
    for frame in data.iter_test_groups():
        chosen.append(frame[rng.random(len(frame)) < share])
    events = pd.concat(chosen, ignore_index=True) if chosen else pd.DataFrame()
    total = float(events["weights"].sum()) if len(events) else 0.0
    if total <= 0:
        raise DataError(f"the test split of {data.path.name} holds no events")
    scale = data.sum_weights() / total
    return events.assign(weights=events["weights"] * scale)


def _classifier(data: Data, submission: Path, max_events: int, seed: int) -> Iterator[Plot]:
    events = systematics(_test_events(data, max_events, np.random.default_rng(seed)), seed=seed)
    score = score_events(data, submission, events)
    name = Submission.of(submission).folder.name
    labels, weights = events["labels"], events["weights"]
    scored, processes = pd.DataFrame({"classifier score": score}), events["detailed_labels"]
    with plain_figures():
        roc = roc_curve_wrapper(score, labels, weights, plot_label=name, color="b")
        stacked = stacked_histogram(
            scored, labels, weights, processes, "classifier score", y_scale="log"
        )
    yield Plot("classifier", "roc", roc, f"ROC curve of {name}, {len(events):,} test events.")
    yield Plot("classifier", "score", stacked, "Its output, stacked by process.")


# ----------------------------------------------------------------------------------------------
# Writing
# ----------------------------------------------------------------------------------------------


def write_folder(
    plots: Iterable[Plot],
    directory: str | Path,
    *,
    file_format: str = "png",
    progress: Callable[[Plot], None] | None = None,
) -> list[Path]:
    """Write each plot to a file of its own, ``SECTION/NAME.FORMAT``, and return the files."""
    if file_format not in FORMATS:
        raise SettingsError(f"unknown format {file_format!r}; known are {', '.join(FORMATS)}")
    written = []
    for plot in plots:
        path = Path(directory) / plot.section / f"{plot.name}.{file_format}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            plot.figure.savefig(path)
        except OSError as error:
            raise DataError(f"{path} can not be written: {error}") from error
        written.append(path)
        if progress is not None:
            progress(plot)
    return written


def write_page(
    plots: Iterable[Plot],
    path: str | Path,
    *,
    title: str = "A HiggsML dataset",
    data: Data | None = None,
    progress: Callable[[Plot], None] | None = None,
) -> Path:
    """Write all plots into one self-contained page, light or dark as the reader's system.

    Parameters
    ----------
    plots : iterable of Plot
        From :func:`explore`.
    path : str or Path
        The HTML file.
    title : str
        Heading.
    data : Data, optional
        Adds the sizes of this dataset, as loaded, to the top of the page.
    progress : callable, optional
        Called after each plot.
    """
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS}
    for plot in plots:
        what = LABELS.get(plot.name, (plot.name, ""))[0].translate(
            {ord(c): None for c in '$\\<>&"'}
        )
        svg = inline_svg(plot.figure, name=f"{plot.section}-{plot.name}", description=what)
        # Drawn by this package from numbers alone.
        markup = Markup(svg)  # noqa: S704
        width = round(_PIXELS_PER_INCH * plot.figure.get_size_inches()[0])
        least = round(_READABLE * width) if width > _PHONE else None
        sections[plot.section].append(
            {"svg": markup, "caption": plot.caption, "width": width, "least": least}
        )
        if progress is not None:
            progress(plot)
    target = Path(path)
    try:
        write_from_template(
            target,
            "explore.html.j2",
            title=title,
            subtitle=f"Made by higgsml explore, version {HiggsML.__version__}",
            cards=[] if data is None else _cards(data),
            sections=[
                {
                    "title": SECTIONS[name][0],
                    "text": SECTIONS[name][1],
                    "layout": _LAYOUTS.get(name, ""),
                    "figures": figures,
                }
                for name, figures in sections.items()
                if figures
            ],
        )
    except OSError as error:
        raise DataError(f"{target} can not be written: {error}") from error
    return target


def _cards(data: Data) -> list[dict[str, str]]:
    """Return the numbers at the top: label, value, remark."""
    cards = [
        {"label": "Rows", "value": f"{data.total_rows:,}", "remark": "in the file"},
        {"label": "Test split", "value": f"{data.test_size:,}", "remark": "rows"},
    ]
    train = data.get_train_set()
    if train is not None:
        groups = train.groupby("detailed_labels", observed=True)["weights"].sum()
        for process in (SIGNAL, *(name for name in PROCESSES if name != SIGNAL)):
            if process in groups.index:
                value = f"{float(groups[process]):,.0f}"
                cards.append({"label": process, "value": value, "remark": "expected events drawn"})
    return cards
