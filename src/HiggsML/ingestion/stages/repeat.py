"""Fourth stage: ask again for some answers, see :mod:`HiggsML.ingestion.repeatability`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from HiggsML.errors import SubmissionError, TimeLimitError
from HiggsML.ingestion.repeatability import Repeatability, ask_again, chosen
from HiggsML.ingestion.stages.processes import cluster, fitted_again, start_all, workers
from HiggsML.ingestion.stages.state import Run
from HiggsML.ingestion.workers import Executor, LocalProcesses, Task
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.results import Answer

__all__ = ["repeat"]

_SHORT_FIT = 30.0  # s
_START_OF_PROCESS = 4.0  # s of predictions, for which another process is worth its start
_SHARE_FOR_SECOND_FIT = 0.1  # of the run


def repeat(run: Run) -> Repeatability:
    """Ask fresh processes for some answers once more, and compare.

    Raises
    ------
    SubmissionError
        If answers must be the same, and are not, or that can not be found out.
    """
    options = run.options
    if options.repeatable == "off":
        return Repeatability("off")
    run.around.begin_again()
    tasks = chosen(run.seed, run.measured or run.checkpoint.answers)
    repeatability = ask_again(tasks, run.checkpoint.answers, partial(_asked, run))
    if options.repeatable == "require" and repeatability.state != "yes":
        unknown = "" if repeatability.state == "no" else "answers could not be asked for again: "
        raise SubmissionError(f"{unknown}{repeatability.why}")
    return repeatability


def _asked(run: Run, tasks: list[Task]) -> list[tuple[Task, Answer]]:
    """Have fresh processes of the fitted Model measure pseudo-experiments."""
    if isinstance(run.model_state, bytes):
        try:
            if run.options.scheduler is not None:
                return _collected(run, cluster(run, run.model_state), tasks)
            with _fresh(run, len(tasks)) as sandboxes:
                processes = LocalProcesses(workers(run, sandboxes), run.model_state)
                return _collected(run, processes, tasks)
        except TimeLimitError:
            raise
        except SubmissionError as error:
            # Say that fit has left a file which only its own process finds.
            run.model_state = f"asked again, {error}"
    _allow_second_fit(run, run.model_state)
    with fitted_again(run) as one_process:
        return _collected(run, one_process, tasks)


def _collected(run: Run, executor: Executor, tasks: list[Task]) -> list[tuple[Task, Answer]]:
    answers: list[tuple[Task, Answer]] = []
    with closing(executor.run(tasks)) as results:
        for pair in results:
            answers.append(pair)
            run.progress("repeat", len(answers), len(tasks))
    return answers


@contextmanager
def _fresh(run: Run, n_tasks: int) -> Iterator[list[Sandbox]]:
    """Give the spare process if it is still there, and as many others as are worth their start."""
    options, spare, run.spare = run.options, run.spare, None
    seconds = n_tasks * (run.seconds() - run.fit_seconds) / max(1, len(run.measured))
    worthwhile = 1 + int(seconds * options.processes / _START_OF_PROCESS)
    count = min(options.processes, n_tasks, worthwhile)
    with ExitStack() as stack:
        if spare is not None:
            stack.callback(spare.close)
            spare.go_on()
        others = start_all(options, run.submission, run.around, count - (spare is not None))
        with run.around.turn():
            sandboxes = stack.enter_context(others)
        yield [*([] if spare is None else [spare]), *sandboxes]


def _allow_second_fit(run: Run, reason: str) -> None:
    """Refuse to fit again where that takes too long."""
    left = run.seconds_left()
    if left is not None and left < run.fit_seconds:
        raise TimeLimitError(f"fit would take {run.fit_seconds:.0f} s again; {reason}")
    most = max(_SHORT_FIT, _SHARE_FOR_SECOND_FIT * run.seconds())
    if run.options.repeatable == "report" and run.fit_seconds > most:
        raise TimeLimitError(f"fit takes {run.fit_seconds:.0f} s; {reason}")
