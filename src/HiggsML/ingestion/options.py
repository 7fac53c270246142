"""The options of a run, each stated once: name, flags, default and what it means.

``higgsml run`` (:mod:`HiggsML.cli.options`), the ingestion program and the words for a container
(:mod:`HiggsML.ingestion.arguments`), and the check of a competition's command
(:mod:`HiggsML.codabench.contract`) are made from the fields of :class:`IngestionOptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from HiggsML.errors import SettingsError
from HiggsML.isolation.budget.budgets import BUDGET_FLAGS, Budgets, available_processors
from HiggsML.isolation.cage.restrict import IsolationMode
from HiggsML.schema import NUISANCES

__all__ = ["BUDGET_OPTIONS", "OPTIONS", "IngestionOptions", "Option"]

_MOST_PSEUDO_EXPERIMENTS = 1 << 32


class Option(NamedTuple):
    """How an option is written on a command line.

    Attributes
    ----------
    name : str
        Field of :class:`IngestionOptions` (or of :class:`Budgets`).
    flag, program_flag : str
        Of ``higgsml run``, and of ``run_ingestion.py``, which has the reference's names.
    kind : type
        ``int``, ``float``, ``str``, ``Path`` or ``bool`` (a flag without a value); ``dict`` for
        the nuisance parameters, of which the program has one flag each.
    default : object
        What holds without it.
    help : str
        What it is.
    metavar : str, optional
        Stands for the value in help texts.
    least : float, optional
        The smallest value; what must be positive has 0 as its ``above``.
    above : float, optional
        A value below the smallest one.
    choices : tuple of str
        The only values.
    elsewhere : bool
        Whether it means the same in a container, and so is passed on to one.
    """

    name: str
    flag: str
    program_flag: str
    kind: type
    default: Any
    help: str
    metavar: str | None = None
    least: int | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    elsewhere: bool = True


def _written(flag: str, kind: type, help: str, **details: Any) -> dict[str, Any]:
    return {"option": {"flag": flag, "program_flag": flag, "kind": kind, "help": help, **details}}


@dataclass(frozen=True)
class IngestionOptions:
    """What to run; see :data:`OPTIONS` for those that a command line can set.

    Attributes
    ----------
    input_dir, submission, output : Path
        Dataset, directory (or zip file) with ``model.py``, and where results go.
    systematics : mapping of str to bool
        Which nuisance parameters vary; an absent name means no.
    test_size : float or int
        Share or number of rows of the dataset that form the test set.
    empty_output : bool
        Remove everything that is in ``output``, at once. The platform copies a submission's files
        there, which could pose as results.
    budgets : Budgets
        What the submission may use.
    checkpoint : bool
        Keep finished pseudo-experiments in a hidden file beside ``output`` until all are finished.
    debug : bool
        Run the submission in this process, by one worker and without any protection; its errors
        come through as they are.

    Examples
    --------
    >>> places = (Path("data"), Path("model"), Path("out"))
    >>> options = IngestionOptions(*places, systematics={"tes": True})
    >>> options.num_of_sets, options.enabled["tes"], options.enabled["jes"]
    (10, True, False)
    """

    input_dir: Path
    submission: Path
    output: Path
    num_of_sets: int = field(
        default=10,
        metadata=_written(
            "--sets",
            int,
            "Number of sets; each has one true mu.",
            program_flag="--num-of-sets",
            least=1,
        ),
    )
    num_pseudo_experiments: int = field(
        default=100,
        metadata=_written(
            "--pseudo-experiments",
            int,
            "Pseudo-experiments per set.",
            program_flag="--num-pseudo-experiments",
            least=1,
        ),
    )
    systematics: Mapping[str, bool] = field(default_factory=dict)
    seed: int | None = field(
        default=None,
        metadata=_written(
            "--seed",
            int,
            "Makes a run repeatable; without it every run draws a new truth.",
            program_flag="--random-seed",
            least=0,
        ),
    )
    workers: int | None = field(
        default=None,
        metadata=_written(
            "--workers",
            int,
            "Processes that measure pseudo-experiments; changes no number.  [default: as many as "
            "there are processors]",
            least=1,
        ),
    )
    scheduler: str | None = field(
        default=None,
        metadata=_written(
            "--scheduler",
            str,
            "Make pseudo-experiments on the Dask cluster with this scheduler; changes no number.",
            metavar="ADDRESS",
            elsewhere=False,
        ),
    )
    resume: bool = field(
        default=False,
        metadata=_written(
            "--resume",
            bool,
            "Go on with an interrupted run of the same command; the model is fitted again.",
            elsewhere=False,
        ),
    )
    deadline: float | None = field(
        default=None,
        metadata=_written(
            "--deadline",
            float,
            "Time for fit and predictions together (after --resume: for the rest of them).",
            metavar="SECONDS",
            above=0,
        ),
    )
    isolation: IsolationMode = field(
        default="prefer",
        metadata=_written(
            "--isolation",
            str,
            "What to do when a protection against the submission's code is not available here.",
            choices=("require", "prefer", "off"),
        ),
    )
    repeatable: Literal["require", "report", "off"] = field(
        default="report",
        metadata=_written(
            "--repeatable",
            str,
            "What to do when answers differ that are asked for again, of a Model that has seen "
            "nothing else.",
            choices=("require", "report", "off"),
        ),
    )
    test_size: float = 0.3
    empty_output: bool = False
    budgets: Budgets = field(default_factory=Budgets)
    checkpoint: bool = True
    debug: bool = False

    def __post_init__(self) -> None:
        for option in OPTIONS:
            value = getattr(self, option.name)
            if value is None or option.kind is dict:
                continue
            if option.least is not None and value < option.least:
                raise SettingsError(f"{option.name} must be at least {option.least}, got {value}")
            if option.above is not None and not value > option.above:
                raise SettingsError(f"{option.name} must be above {option.above}, got {value}")
            if option.choices and value not in option.choices:
                raise SettingsError(f"{option.name} must be one of {option.choices}, got {value!r}")
        if self.num_of_sets * self.num_pseudo_experiments > _MOST_PSEUDO_EXPERIMENTS:
            raise SettingsError("more than four thousand million pseudo-experiments: ask for fewer")
        if self.scheduler is not None and (self.workers or 1) > 1:
            raise SettingsError("workers and scheduler exclude each other: a cluster has its own")
        if self.debug and (
            self.isolation == "require"
            or self.scheduler
            or self.checkpoint
            or self.repeatable != "off"
        ):
            raise SettingsError(
                "debugging has one process, no isolation, no cluster and no checkpoint: leave them "
                'out, and set checkpoint=False and repeatable="off"'
            )
        if self.resume and not self.checkpoint:
            raise SettingsError("resume needs a checkpoint, which is turned off")
        unknown = sorted(set(self.systematics) - set(NUISANCES))
        if unknown:
            raise SettingsError(f"unknown systematics {unknown}; known are {', '.join(NUISANCES)}")

    def check_in_container(self) -> None:
        """Raise a SettingsError if an option means nothing in a container."""
        for option in OPTIONS:
            if not option.elsewhere and getattr(self, option.name):
                raise SettingsError(f"{option.flag} and --docker can not be combined")

    @property
    def enabled(self) -> dict[str, bool]:
        """Each nuisance parameter by name, and whether it varies."""
        return {name: bool(self.systematics.get(name, False)) for name in NUISANCES}

    @property
    def processes(self) -> int:
        """How many processes of the submission measure pseudo-experiments here."""
        if self.scheduler is not None or self.debug:
            return 1
        wanted = self.workers or available_processors()
        return min(wanted, self.num_of_sets * self.num_pseudo_experiments)


_SYSTEMATICS = Option(
    name="systematics",
    flag="--systematics",
    program_flag="--systematics-",
    kind=dict,
    default="all",
    help="Which nuisance parameters vary: " + ", ".join(NUISANCES) + ".",
    metavar="all|none|NAME,...",
)

OPTIONS: tuple[Option, ...] = tuple(
    _SYSTEMATICS
    if one.name == "systematics"
    else Option(name=one.name, default=one.default, **one.metadata["option"])
    for one in fields(IngestionOptions)
    if one.name == "systematics" or "option" in one.metadata
)
"""What a command line can set, beside dataset, submission and output."""

BUDGET_OPTIONS: tuple[Option, ...] = tuple(
    Option(
        name=name,
        flag=flag,
        program_flag=flag,
        kind=Budgets,
        default=None,
        help=f"Budget of the submission: {text}.",
        metavar=metavar,
    )
    for flag, (name, metavar, text) in BUDGET_FLAGS.items()
)
"""What it can set of the submission's budgets; the values are amounts with a unit."""
