"""Datasets: which events in which proportion, and the two files that hold them.

Rows come in blocks. A block holds every process in the proportion of the whole file, shuffled, and
has random streams of its own, one per process, so that the bytes of the file do not depend on how
many processes of this machine share the work. A block never crosses the end of the test split.
"""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import secrets
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from HiggsML.crate import CRATE_FILE
from HiggsML.errors import DataError, SettingsError
from HiggsML.files import partial_directory
from HiggsML.generator.croissant import croissant, research_object
from HiggsML.generator.fast.amplify import amplify
from HiggsML.generator.pythia.rows import make_rows, read_rows
from HiggsML.generator.unfinished import VERSION, go_on
from HiggsML.schema import LABEL_COLUMNS, PRI_COLUMNS, PROCESSES, SIGNAL

__all__ = [
    "CROISSANT_FILE",
    "DATA_FILE",
    "METADATA_FILE",
    "Engine",
    "expected_events",
    "generate_dataset",
    "recommended_events",
]

Engine = Literal["fast", "pythia"]

DATA_FILE = "FAIR_Universe_HiggsML_data.parquet"
METADATA_FILE = "FAIR_Universe_HiggsML_data_metadata.json"
CROISSANT_FILE = "FAIR_Universe_HiggsML_data_croissant.json"

TEST_SHARE = 0.3
"""Share of the rows, from the start of the file, that readers use as the test split."""

TEST_ROWS_PER_EXPECTED = 20
"""Below this the bootstrap repeats test rows so often that the coverage suffers."""

LUMINOSITY = 10
"""Integrated luminosity in inverse femtobarns that the weights stand for."""

# A block is a row group; in smaller ones the dictionaries of the columns take up to 15 % more.
_ROWS_PER_BLOCK = 250_000
_MIN_TEST_ROWS = 10
_WRITE_ORDER = ("ztautau", "diboson", "ttbar", "htautau")
_SHUFFLE_STREAM = len(PROCESSES)

_SEED_NOTE = (
    "The seed is public, so anyone can make these events again: for practice only. "
    "Generate without a seed for a competition."
)

_ENGINES: Mapping[str, str] = MappingProxyType(
    {
        "fast": "amplified from a library of Pythia 8 events, with fresh decays and detector",
        "pythia": "whole Pythia 8 events through a parametrized detector",
    }
)

# The rows of the Pythia engine are kept here until the dataset is complete.
_UNFINISHED = ".pythia-rows"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Scenario:
    """Expected events and share of the generated rows, by process."""

    expected: Mapping[str, float]
    shares: Mapping[str, float]


_OFFICIAL_YIELDS = {"ztautau": 1_002_395.0, "diboson": 3_783.0, "ttbar": 44_192.0, SIGNAL: 1_015.0}

# In each scenario the share of ztautau is as large as it must be for 20 test rows per expected
# event at a moderate size; the rest goes to the signal, which classifiers learn from, and gives
# the rare backgrounds more than their part, since their weights would else be large.
_SCENARIOS: Mapping[str, _Scenario] = MappingProxyType(
    {
        # The backgrounds as after a tight selection: one in 200 is left, the signal stays.
        "mini": _Scenario(
            expected={
                process: value if process == SIGNAL else value / 200
                for process, value in _OFFICIAL_YIELDS.items()
            },
            shares={"ztautau": 0.70, "diboson": 0.02, "ttbar": 0.06, SIGNAL: 0.22},
        ),
        # Near the shares of the official simulation (0.729, 0.003, 0.032, 0.236).
        "official": _Scenario(
            expected=_OFFICIAL_YIELDS,
            shares={"ztautau": 0.735, "diboson": 0.008, "ttbar": 0.037, SIGNAL: 0.22},
        ),
    }
)


class _Plan(NamedTuple):
    """All that a block needs, small enough to send to another process."""

    entropy: int
    rows: Mapping[str, int]
    edges: tuple[int, ...]
    library_half: int | None = None
    finished_rows: Path | None = None
    """Folder of the Pythia engine's rows; none with the fast engine."""

    def rows_before(self, block: int) -> dict[str, int]:
        """Rows of each process in all blocks before this one; exact totals after the last."""
        total = self.edges[-1]
        bounds = np.cumsum([0, *(self.rows[process] for process in PROCESSES)]).tolist()
        marks = [bound * self.edges[block] // total for bound in bounds]
        return dict(zip(PROCESSES, (high - low for low, high in pairwise(marks)), strict=True))

    def rows_of_block(self, block: int) -> dict[str, int]:
        """Rows of each process in a block."""
        start, end = self.rows_before(block), self.rows_before(block + 1)
        return {process: end[process] - start[process] for process in PROCESSES}

    def stream(self, block: int, purpose: int) -> np.random.Generator:
        seed = np.random.SeedSequence(self.entropy, spawn_key=(block, purpose))
        return np.random.default_rng(seed)


class _Block(NamedTuple):
    primaries: NDArray[np.float32]
    processes: NDArray[np.int8]


def _scenario(name: str) -> _Scenario:
    if name not in _SCENARIOS:
        raise SettingsError(
            f"unknown scenario {name!r}: choose one of {', '.join(map(repr, _SCENARIOS))}"
        )
    return _SCENARIOS[name]


def expected_events(scenario: Literal["mini", "official"]) -> dict[str, float]:
    """Expected events of every process in a pseudo-experiment, before the cuts of a shift.

    Parameters
    ----------
    scenario
        "mini" or "official".

    Raises
    ------
    SettingsError
        If the scenario is unknown.
    """
    return dict(_scenario(scenario).expected)


def recommended_events(scenario: Literal["mini", "official"]) -> int:
    """Smallest dataset whose test split holds 20 rows per expected event of every process.

    Parameters
    ----------
    scenario
        "mini" or "official".

    Returns
    -------
    int
        Number of rows of the whole dataset.

    Raises
    ------
    SettingsError
        If the scenario is unknown.

    Examples
    --------
    >>> recommended_events("mini")
    477350
    """
    plan = _scenario(scenario)
    most = max(plan.expected[process] / plan.shares[process] for process in PROCESSES)
    # A little more than the exact quotient, since row numbers are rounded.
    return 10 * math.ceil(most * TEST_ROWS_PER_EXPECTED / TEST_SHARE / 10) + 10


def _check_count(name: str, value: object, *, minimum: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < minimum:
        raise SettingsError(f"{name} must be a whole number of at least {minimum}, not {value!r}")


def _make_plan(
    scenario: str, events: int, seed: int | None, library_half: int | None = None
) -> _Plan:
    chosen = _scenario(scenario)
    smallest = math.ceil(_MIN_TEST_ROWS / TEST_SHARE / min(chosen.shares.values())) + 10
    if events < smallest:
        raise SettingsError(
            f"events = {events} leaves fewer than {_MIN_TEST_ROWS} test rows for the rarest "
            f"process of scenario {scenario!r}: ask for at least {smallest}"
        )
    rows = {process: round(events * chosen.shares[process]) for process in PROCESSES}
    rows["ztautau"] += events - sum(rows.values())

    test_rows = int(events * TEST_SHARE)
    edges = [0]
    for start, end in ((0, test_rows), (test_rows, events)):
        blocks = math.ceil((end - start) / _ROWS_PER_BLOCK)
        edges += [start + (end - start) * (k + 1) // blocks for k in range(blocks)]
    entropy = secrets.randbits(128) if seed is None else int(seed)
    return _Plan(entropy, rows, tuple(edges), library_half)


def _make_block(plan: _Plan, block: int) -> _Block:
    rows, start = plan.rows_of_block(block), plan.rows_before(block)

    def events(code: int, process: str) -> NDArray[np.float32]:
        if plan.finished_rows is not None:
            return read_rows(plan.finished_rows, process, start[process], rows[process])
        rng = plan.stream(block, code)
        return amplify(process, rows[process], rng, half=plan.library_half)

    primaries = np.concatenate([events(*item) for item in enumerate(PROCESSES)])
    codes = np.repeat(np.arange(len(PROCESSES), dtype=np.int8), [rows[p] for p in PROCESSES])
    order = plan.stream(block, _SHUFFLE_STREAM).permutation(len(codes))
    return _Block(primaries[order], codes[order])


def _blocks(plan: _Plan, workers: int) -> Iterator[_Block]:
    """Give the blocks in order; at most two per worker exist at a time."""
    count = len(plan.edges) - 1
    if workers == 1 or plan.edges[-1] <= _ROWS_PER_BLOCK:  # a process takes longer to start
        for block in range(count):
            yield _make_block(plan, block)
        return
    # Forking would copy the threads' locks of the caller; a fresh interpreter is safe.
    pool = ProcessPoolExecutor(min(workers, count), mp_context=multiprocessing.get_context("spawn"))
    try:
        waiting: deque[Future[_Block]] = deque()
        for block in range(count):
            waiting.append(pool.submit(_make_block, plan, block))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


_ARROW_SCHEMA = pa.schema(
    [
        *((name, pa.float32()) for name in PRI_COLUMNS),
        ("weights", pa.float32()),
        ("detailed_labels", pa.string()),
        ("labels", pa.float32()),
    ]
)


def _to_table(block: _Block, weights: NDArray[np.float32]) -> Any:
    signal = block.processes == PROCESSES.index(SIGNAL)
    columns = [
        *(np.ascontiguousarray(column) for column in block.primaries.T),
        weights[block.processes],
        pa.array(PROCESSES).take(pa.array(block.processes)),
        signal.astype(np.float32),
    ]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=_ARROW_SCHEMA)


def _metadata(scenario: str, engine: str, plan: _Plan, seed: int | None) -> dict[str, object]:
    expected = _SCENARIOS[scenario].expected
    columns = [*PRI_COLUMNS, *LABEL_COLUMNS]
    metadata: dict[str, object] = {
        "author": "higgsml-uncertainty",
        "total_rows": plan.edges[-1],
        "total_columns": len(columns),
        "columns": columns,
        "detailed_labels": list(_WRITE_ORDER),
        "sum_weights": math.fsum(expected.values()),
        "luminosity": LUMINOSITY,
        "scenario": scenario,
        "generator": {"name": engine, "version": VERSION, "events": _ENGINES[engine]},
        "processes": {
            process: {"rows": plan.rows[process], "expected_events": expected[process]}
            for process in _WRITE_ORDER
        },
    }
    if plan.library_half is not None:
        metadata["library_half"] = plan.library_half
    if seed is not None:
        metadata |= {"seed": int(seed), "note": _SEED_NOTE}
    return metadata


def _prepare_directory(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise SettingsError(f"output {output} is not a directory: name a new or empty directory")
    present = sorted(path.name for path in output.glob("*.parquet"))
    if present:
        raise DataError(
            f"output directory {output} already holds {present[0]}: "
            "choose another directory, or delete the file first"
        )
    output.mkdir(parents=True, exist_ok=True)


def generate_dataset(
    output: Path,
    *,
    scenario: Literal["mini", "official"] = "mini",
    events: int,
    seed: int | None = None,
    workers: int = 1,
    engine: Engine = "fast",
    library_half: Literal[1, 2] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Generate a dataset in the official file layout, without the derived columns.

    Beside the events and their metadata, a Croissant file and an RO-Crate describe the dataset for
    machines. The files are written under temporary names and take their own at the very end, the
    data last: a directory with the parquet file holds a complete dataset. Memory use does not grow
    with ``events``.

    Parameters
    ----------
    output
        Directory for the four files; it is created if missing and must hold no parquet file.
    scenario
        "official" (about a million expected events) or "mini" (same signal, every background
        divided by 200).
    events
        Rows of the dataset. The first 30 % are the test split; below ``recommended_events`` it
        has fewer than 20 rows per expected event, which a logged warning says.
    seed
        Whole number of at least 0. The same seed gives the same bytes with the same versions of
        the libraries, whatever ``workers`` is; it is recorded in the metadata. Without it, 128
        bits come from the operating system and are recorded nowhere.
    workers
        Processes of this machine that generate events.
    engine
        "fast", or "pythia": the slow reference with some five rows a second and core, which needs
        the extra ``[pythia]``. The latter continues where an interrupted run of the same arguments
        stopped.
    library_half
        Let the fast engine use one half of its library only, 1 or 2: to test what a classifier
        learns of the library instead of the physics.
    progress
        Called with (rows written, rows in all) after every block.

    Returns
    -------
    Path
        The output directory.

    Raises
    ------
    SettingsError
        If an argument is out of range or ``output`` is not a directory.
    DataError
        If the output directory already holds a parquet file.
    """
    _check_count("events", events, minimum=1)
    _check_count("workers", workers, minimum=1)
    if seed is not None:
        _check_count("seed", seed, minimum=0)
    _check_engine(engine, library_half)
    events, output = int(events), Path(output)
    plan = _make_plan(scenario, events, seed, library_half)
    recommended = recommended_events(scenario)
    if events < recommended:
        _LOG.warning(
            "%d events are fit for a quick try: with fewer than %d the test split has fewer than "
            "%d rows per expected event, and intervals lose coverage",
            events,
            recommended,
            TEST_ROWS_PER_EXPECTED,
        )
    _prepare_directory(output)
    try:
        _write_dataset(output, plan, scenario, engine, seed, workers, progress)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{output}: the dataset can not be written ({reason}): make room, or choose another "
            "directory"
        ) from error
    return output


def _write_dataset(
    output: Path,
    plan: _Plan,
    scenario: str,
    engine: Engine,
    seed: int | None,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write the files under temporary names, then give them their own, the data last."""
    events = plan.edges[-1]
    if engine == "pythia":
        plan = _make_pythia_rows(output, plan, scenario, seed, workers, progress)
    expected = _SCENARIOS[scenario].expected
    weights = np.array([expected[p] / plan.rows[p] for p in PROCESSES], dtype=np.float32)
    with partial_directory(output) as partial:
        data = partial / DATA_FILE
        written = 0
        with pq.ParquetWriter(data, _ARROW_SCHEMA, compression="zstd") as writer:
            for block in _blocks(plan, workers):
                writer.write_table(_to_table(block, weights))
                written += len(block.processes)
                if progress is not None and engine == "fast":
                    progress(written, events)
        description = (
            f"Simulated proton-proton collisions, scenario {scenario}: {_ENGINES[engine]}."
        )
        metadata = _metadata(scenario, engine, plan, seed)
        _write_document(partial / METADATA_FILE, metadata)
        described = croissant(data, scenario=scenario, description=description)
        _write_document(partial / CROISSANT_FILE, described)
        files = {
            "One simulated event per row.": data,
            "How the events were made, in numbers.": partial / METADATA_FILE,
            "The columns, for machines.": partial / CROISSANT_FILE,
        }
        whole = research_object(
            files,
            scenario=scenario,
            description=description,
            generator={"name": engine, "version": VERSION},
        )
        _write_document(partial / CRATE_FILE, whole)
        for name in (METADATA_FILE, CROISSANT_FILE, CRATE_FILE, DATA_FILE):  # the data last
            (partial / name).replace(output / name)
    if plan.finished_rows is not None:
        shutil.rmtree(plan.finished_rows)


def _write_document(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def _check_engine(engine: str, library_half: int | None) -> None:
    if engine not in _ENGINES:
        raise SettingsError(f"unknown engine {engine!r}: choose one of {', '.join(_ENGINES)}")
    if library_half not in (None, 1, 2):
        raise SettingsError(f"library_half must be 1 or 2, not {library_half!r}")
    if library_half is not None and engine != "fast":
        raise SettingsError(f"engine {engine!r} has no library: leave library_half away")


def _make_pythia_rows(
    output: Path,
    plan: _Plan,
    scenario: str,
    seed: int | None,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> _Plan:
    """Generate, or go on to generate, all rows; return the plan that reads them."""
    folder = output / _UNFINISHED
    asked = {"scenario": scenario, "events": plan.edges[-1], "seed": seed}
    plan = plan._replace(entropy=go_on(folder, asked, entropy=plan.entropy)["entropy"])

    def count(rows: int) -> None:
        if progress is not None:
            progress(rows, plan.edges[-1])

    make_rows(folder, plan.rows, entropy=plan.entropy, workers=workers, progress=count)
    return plan._replace(finished_rows=folder)
