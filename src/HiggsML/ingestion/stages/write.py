"""Last stage: put the results where former ones were."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import numpy as np

from HiggsML.ingestion.identity import package_version
from HiggsML.ingestion.options import IngestionOptions
from HiggsML.ingestion.output import replacement
from HiggsML.ingestion.repeatability import Repeatability
from HiggsML.ingestion.stages.state import Run
from HiggsML.ingestion.workers import Task
from HiggsML.isolation.cage.restrict import isolation_level
from HiggsML.pseudo_experiments.seeds import draw_mu
from HiggsML.pseudo_experiments.store import EventStore
from HiggsML.results import (
    REPEATABLE,
    REPEATS,
    Answer,
    Predictions,
    Settings,
    write_duration,
    write_predictions,
    write_settings,
)
from HiggsML.seal import Recorder

__all__ = ["write"]

MIN_REPEATS = 20.0
"""Stored test events per expected event below which results are poor; see physics notes in
``pages/data.md``."""


def write(run: Run, repeatability: Repeatability, recorder: Recorder) -> Settings:
    """Write answers, duration, and what was run with its truth; all of them or none."""
    options = run.options
    settings = Settings(
        num_of_sets=options.num_of_sets,
        num_pseudo_experiments=options.num_pseudo_experiments,
        systematics=options.enabled,
        mus={i: draw_mu(run.seed, i) for i in range(options.num_of_sets)},
        details=_details(run, repeatability),
        notices=tuple(_notices(run.store, repeatability)),
    )
    with replacement(options.output) as directory:
        write_predictions(directory, _by_set(run.checkpoint.answers, options))
        write_duration(directory, run.seconds(), fit_seconds=run.fit_seconds or None)
        write_settings(directory, settings)  # the truth last
        recorder.seal(directory)
    run.checkpoint.remove()
    return settings


def _by_set(answers: Mapping[Task, Answer], options: IngestionOptions) -> dict[int, Predictions]:
    count = range(options.num_pseudo_experiments)
    return {
        index: Predictions(*np.array([answers[Task(index, number)] for number in count]).T)
        for index in range(options.num_of_sets)
    }


def _details(run: Run, repeatability: Repeatability) -> dict[str, str]:
    """Say how the run was made, for the report; nothing here helps to guess the truth."""
    missing = [name for name, state in run.protections.items() if state != "on"]
    if not run.protections:
        isolation = "off"
    else:
        isolation = f"partial, without {', '.join(missing)}" if missing else "complete"
    packages = ("numpy", "pandas", "scikit-learn", "pyarrow")
    return {
        "isolation": isolation,
        "isolation level": f"{isolation_level(run.protections):g}",
        REPEATABLE: repeatability.state,
        "dataset": str(run.data.metadata.get("scenario", run.data.path.name)),
        "python": platform.python_version(),
        "HiggsML": package_version("higgsml-uncertainty"),
        **{name: package_version(name) for name in packages},
        REPEATS: f"{min(run.store.effective_repeats().values()):.3g}",
    }


def _notices(store: EventStore, repeatability: Repeatability) -> list[str]:
    notices = []
    if repeatability.why:
        what = "An answer must not depend on others" if repeatability.state == "no" else "Unknown"
        notices.append(f"{what}: {repeatability.why}.")
    poor = {name: n for name, n in store.effective_repeats().items() if n < MIN_REPEATS}
    if not poor:
        return notices
    listed = ", ".join(f"{name} {number:.2g}" for name, number in poor.items())
    return [
        *notices,
        "The test set is small: it holds fewer than "
        f"{MIN_REPEATS:.0f} simulated events per expected event ({listed}). Pseudo-experiments "
        "repeat the same events, so these scores test the software, not a method.",
    ]
