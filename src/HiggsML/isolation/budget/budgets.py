"""Budgets of a submission: how much it may use of everything that could run out.

The kernel enforces some of them in the submission's own process
(:class:`HiggsML.isolation.cage.restrict.Limits`), but knows no limit for a whole tree of
processes: the trusted process watches that (:mod:`HiggsML.isolation.budget.watch`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from HiggsML.errors import SettingsError
from HiggsML.isolation.cage.restrict import Limits
from HiggsML.machine import machine_memory

__all__ = [
    "BUDGET_FLAGS",
    "BudgetFlag",
    "Budgets",
    "available_processors",
    "parse_amount",
]

_SHARE_OF_MACHINE = 0.8
_RESERVED_BYTES = 4 << 30  # address space that libraries reserve without using it
_RESERVED_BYTES_PER_CPU = 256 << 20  # stacks of threads, arenas of allocators
_TASKS_PER_CPU = 16
_CGROUP_PROCESSORS = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


@dataclass(frozen=True)
class Budgets:
    """What a submission may use; ``None`` means no limit, or the default that is named.

    Attributes
    ----------
    fit_seconds : float, optional
        Import, ``__init__`` and ``fit`` together. By default only the run's deadline holds.
    predict_seconds : float, optional
        One prediction.
    memory_bytes : int, optional
        Memory of all its processes together. By default 80 % of the machine's (or the
        container's).
    tasks : int, optional
        Processes and threads at a time, all together. By default 512, more on large machines.
    open_files : int
        Open files of each process.
    disk_bytes, files : int
        Size and number of its temporary files.
    log_bytes : int
        Of what it prints; the rest is dropped.
    state_bytes : int
        Of the fitted Model, pickled for other workers.
    train_sets : int
        Calls of ``get_train_set``.
    """

    fit_seconds: float | None = None
    predict_seconds: float | None = 600.0
    memory_bytes: int | None = None
    tasks: int | None = None
    open_files: int = 2048
    disk_bytes: int = 4 << 30
    files: int = 20_000
    log_bytes: int = 1 << 20
    state_bytes: int = 1 << 30
    train_sets: int = 64

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value > 0:
                raise SettingsError(f"the budget {name} must be positive, got {value}")

    def resolved(self, *, workers: int = 1) -> Budgets:
        """Return the same with this machine's defaults filled in, memory shared among workers."""
        memory = self.memory_bytes or int(machine_memory() * _SHARE_OF_MACHINE / workers)
        tasks = self.tasks or max(512, _TASKS_PER_CPU * (os.cpu_count() or 1))
        return replace(self, memory_bytes=memory, tasks=tasks)

    @classmethod
    def from_flags(cls, values: Mapping[str, float | None]) -> Budgets:
        """Return budgets with the values of :data:`BUDGET_FLAGS` that were given, by name."""
        given: dict[str, Any] = {
            name: int(value) if name.endswith("_bytes") else value
            for name, value in values.items()
            if value is not None
        }
        return cls(**given)

    def as_flags(self) -> list[str]:
        """Return the words of a command line that set what differs from the defaults."""
        default = Budgets()
        words = []
        for flag, (name, _, _) in BUDGET_FLAGS.items():
            if (value := getattr(self, name)) != getattr(default, name):
                words += [flag, f"{value}"]
        return words

    def limits(self, *, mapped_bytes: int = 0) -> Limits:
        """Return those that the kernel can enforce on each process.

        It counts address space, so that of ``mapped_bytes`` of training events comes on top.
        """
        own = self.resolved()
        assert own.memory_bytes is not None  # noqa: S101 (for the type checker)
        reserved = _RESERVED_BYTES + _RESERVED_BYTES_PER_CPU * (os.cpu_count() or 1)
        # Drivers of graphics cards reserve more address space than any machine has memory.
        has_gpu = any(Path("/dev").glob("nvidia[0-9]*"))
        return Limits(
            memory_bytes=None if has_gpu else own.memory_bytes + reserved + mapped_bytes,
            processes=own.tasks,
            file_bytes=own.disk_bytes,
            open_files=own.open_files,
        )


class BudgetFlag(NamedTuple):
    """A budget that a command line can set: its name in :class:`Budgets`, unit, and what it is."""

    budget: str
    metavar: str
    help: str


BUDGET_FLAGS = {
    "--fit-seconds": BudgetFlag(
        "fit_seconds", "SECONDS", "import and fit (default: what the deadline leaves)"
    ),
    "--predict-seconds": BudgetFlag("predict_seconds", "SECONDS", "one prediction (default: 600)"),
    "--memory": BudgetFlag(
        "memory_bytes", "SIZE", "memory in each worker, such as 8g (default: 80 % of the machine's)"
    ),
    "--disk": BudgetFlag("disk_bytes", "SIZE", "temporary files, such as 500m (default: 4g)"),
    "--log-size": BudgetFlag("log_bytes", "SIZE", "output that is kept, such as 64k (default: 1m)"),
}
"""Flags of ``higgsml run`` and of the ingestion program."""

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_amount(text: str) -> float:
    """Return an amount of a budget: seconds, or bytes with a unit as Docker writes them.

    Raises
    ------
    SettingsError
        If it is none, or not positive.

    Examples
    --------
    >>> parse_amount("90"), parse_amount("0.5"), parse_amount("8g"), parse_amount("1.5 MB")
    (90, 0.5, 8589934592, 1572864)
    """
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([kmgt]?)b?", text.strip().lower())
    amount = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if amount <= 0:
        raise SettingsError(f"{text!r} is not a positive number (of seconds; of bytes, 500m, 8g)")
    return int(amount) if amount.is_integer() else amount


def available_processors() -> int:
    """Return how many processors this process may use: its affinity, or the container's share."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    for quota, period in _cgroup_processors():
        if quota > 0 and period > 0:
            count = min(count, max(1, quota // period))
    return count


def _cgroup_processors() -> Iterator[tuple[int, int]]:
    """Yield microseconds of processor time and of the clock, where a control group limits them."""
    for names in _CGROUP_PROCESSORS:
        try:
            text = " ".join(Path(name).read_text(encoding="ascii") for name in names)
            quota, period = (int(word) for word in text.split())
        except (OSError, ValueError):  # "max" means no limit
            continue
        yield quota, period
