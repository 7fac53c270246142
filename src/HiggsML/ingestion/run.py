"""The judged form of an ingestion: the submission runs in processes of its own."""

from __future__ import annotations

from contextlib import ExitStack

from HiggsML.ingestion.options import IngestionOptions
from HiggsML.ingestion.stages.fit import fit
from HiggsML.ingestion.stages.measure import measure
from HiggsML.ingestion.stages.prepare import prepare
from HiggsML.ingestion.stages.repeat import repeat
from HiggsML.ingestion.stages.state import Progress
from HiggsML.ingestion.stages.write import write
from HiggsML.ingestion.workers import Surroundings
from HiggsML.results import Settings
from HiggsML.seal import recorded
from HiggsML.submission.value import open_submission

__all__ = ["run_ingestion"]


def run_ingestion(
    options: IngestionOptions,
    progress: Progress | None = None,
    *,
    surroundings: Surroundings | None = None,
) -> Settings:
    """Run a submission and write its results; former ones stay unless everything succeeds.

    Parameters
    ----------
    options : IngestionOptions
        What to run.
    progress : callable, optional
        Called with a stage ("fit", "predict", "repeat"), and how many of how many steps are done.
    surroundings : Surroundings, optional
        What the run shares with others; by default it is on its own.

    Returns
    -------
    Settings
        What was run, with the true mus.

    Raises
    ------
    HiggsMLError
        If the data, the options or the submission are at fault; the message names the
        pseudo-experiment and quotes the participant's traceback.

    Examples
    --------
    >>> places = (folder / "dataset", folder / "submission", folder / "new_run" / "predictions")
    >>> options = IngestionOptions(*places, num_of_sets=1, num_pseudo_experiments=2, seed=7)
    >>> sorted(run_ingestion(options).mus)
    [0]
    """
    with (
        recorded(options.output, options.input_dir, tell=options.empty_output) as recorder,
        open_submission(options.submission) as submission,
        ExitStack() as held,
    ):
        around = surroundings or Surroundings(options.deadline)
        with around.turn():
            run = prepare(
                options, submission, progress or (lambda *_: None), held, recorder, around
            )
            to_measure = run.left > 0
            if to_measure:
                with run.told_how_far():
                    fit(run)
        if to_measure:
            with run.told_how_far():
                measure(run)
        repeatability = repeat(run)  # nothing of the first pass runs any more
        around.raise_if_stopped()
        run.processes.close()
        return write(run, repeatability, recorder)
