"""Unpack a bundle as the platform does, into directories that its containers can mount."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.rules.findings import Findings
from HiggsML.codabench.rules.programs import program_command
from HiggsML.errors import BundleError

__all__ = ["Column", "Competition", "Phase", "Program", "Solution", "Task", "unpack"]

_DEFAULT_TIME_LIMIT = 600


@dataclass(frozen=True)
class Program:
    """An unpacked program and the words of its command."""

    directory: Path
    command: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """What one run needs besides a submission."""

    index: int
    name: str
    ingestion: Program | None
    scoring: Program
    input_data: Path | None
    reference_data: Path | None


@dataclass(frozen=True)
class Phase:
    """When which tasks are run; times are as they are written."""

    name: str
    start: str
    end: str
    time_limit: int
    tasks: tuple[int, ...]


@dataclass(frozen=True)
class Solution:
    """A submission that the bundle brings, and the tasks it is for."""

    directory: Path
    tasks: tuple[int, ...]


@dataclass(frozen=True)
class Column:
    """A column of the leaderboard; only those that are not computed are read from a score."""

    key: str
    title: str
    computed: bool
    hidden: bool


@dataclass(frozen=True)
class Competition:
    """An unpacked bundle; ``settings`` is the whole of ``competition.yaml``."""

    title: str
    image: str
    tasks: dict[int, Task]
    phases: tuple[Phase, ...]
    solutions: tuple[Solution, ...]
    columns: tuple[Column, ...]
    settings: dict[str, Any]


def unpack(bundle: Path, directory: Path) -> Competition:
    """Unpack a valid bundle; each directory or zip that it names goes to a directory of its own.

    Raises
    ------
    BundleError
        If it is not a zip, or a program has no command.
    """
    tree = Tree.from_zip(bundle)
    try:
        content = yaml.safe_load(tree.read("competition.yaml"))
        return _Unpacker(tree, directory).competition(content)
    except (KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise BundleError(
            f"{bundle} can not be unpacked ({type(error).__name__}: {error}): "
            "`higgsml bundle validate` says why"
        ) from error


class _Unpacker:
    """Unpacks every path once."""

    def __init__(self, tree: Tree, directory: Path) -> None:
        self._tree = tree
        self._directory = directory
        self._done: dict[str, Path] = {}

    def competition(self, content: dict[str, Any]) -> Competition:
        tasks = [self._task(task) for task in content["tasks"]]
        return Competition(
            title=content["title"],
            image=content.get("docker_image", ""),
            tasks={task.index: task for task in tasks},
            phases=tuple(
                Phase(
                    name=phase["name"],
                    start=str(phase["start"]),
                    end=str(phase.get("end", "")),
                    time_limit=int(phase.get("execution_time_limit", _DEFAULT_TIME_LIMIT)),
                    tasks=tuple(phase["tasks"]),
                )
                for phase in content["phases"]
            ),
            solutions=tuple(
                Solution(self._files(solution["path"]), tuple(solution["tasks"]))
                for solution in content.get("solutions", ())
            ),
            columns=tuple(
                Column(
                    key=column["key"],
                    title=column["title"],
                    computed="computation" in column,
                    hidden=bool(column.get("hidden", False)),
                )
                for column in content["leaderboards"][0]["columns"]
            ),
            settings=content,
        )

    def _task(self, task: dict[str, Any]) -> Task:
        optional = {
            name: self._files(task[name]) if name in task else None
            for name in ("input_data", "reference_data")
        }
        return Task(
            index=task["index"],
            name=task["name"],
            ingestion=self._program(task["ingestion_program"])
            if "ingestion_program" in task
            else None,
            scoring=self._program(task["scoring_program"]),
            **optional,
        )

    def _program(self, name: str) -> Program:
        directory = self._files(name)
        command = program_command(Tree.from_directory(directory), Findings([]))
        if command is None:
            raise BundleError(f"{name} has no metadata.yaml with a command")
        return Program(directory, tuple(command[0]))

    def _files(self, name: str) -> Path:
        if name not in self._done:
            target = self._directory / name.rstrip("/").removesuffix(".zip").replace("/", "-")
            self._tree.below(name).extract(target)
            self._done[name] = target
        return self._done[name]
