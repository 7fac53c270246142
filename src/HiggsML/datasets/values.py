"""What the rows of a dataset must hold: numbers in their ranges, without contradictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from HiggsML.errors import DataError
from HiggsML.physics.features import derive_in_chunks
from HiggsML.schema import DER_COLUMNS, MISSING, PRI_COLUMNS, PROCESSES, SIGNAL

__all__ = ["check_processes", "checked_columns"]

_OF_ONE_JET = ("PRI_jet_leading_pt", "PRI_jet_subleading_pt")
_OF_LEPTONS = ("PRI_lep_pt", "PRI_had_pt")
_MOMENTA = (*_OF_LEPTONS, "PRI_jet_all_pt", "PRI_met", *_OF_ONE_JET)
_JETS = {
    number: tuple(f"PRI_jet_{jet}_{part}" for part in ("pt", "eta", "phi"))
    for number, jet in ((1, "leading"), (2, "subleading"))
}
_MAY_LACK = frozenset(name for names in _JETS.values() for name in names)
_OF_ALL_JETS = ("PRI_n_jets", "PRI_jet_all_pt", *_JETS[1], *_JETS[2])
_RANGES = {
    **dict.fromkeys(_MOMENTA, (0.0, 14_000.0, "momenta in GeV")),
    **{
        name: (-3.15, 3.15, "angles in radians, from -pi to pi")
        for name in PRI_COLUMNS
        if name.endswith("_phi")
    },
    **{name: (-15.0, 15.0, "pseudorapidities") for name in PRI_COLUMNS if name.endswith("_eta")},
    "PRI_n_jets": (0.0, 100.0, "numbers of jets"),
}
"""Lowest and highest value that columns can have in collisions of 14 TeV, and what they hold."""
_ROUNDING = 0.01  # GeV, of sums of momenta
_ROOM = 0.9
"""So much of what they should be momenta of jets must agree: copies of events may be smeared."""
_DERIVED_ROWS = 2_000  # of each piece are computed again
_DERIVED_ROOM = 0.01, 0.05  # of the quantity, and in its unit: primaries are rounded
_DERIVED_SHARE = 0.02  # may differ more: some quantities jump


class _Column(NamedTuple):
    """Values of a column, and where they stand."""

    path: Path
    name: str
    first_row: int
    values: NDArray[np.float32]

    def refuse(self, wrong: NDArray[np.bool_], what: str, instead: str) -> None:
        """Raise a DataError that shows the first of the wrong values, if there is any."""
        if wrong.any():
            rows = np.flatnonzero(wrong)
            raise DataError(
                f"{self.path}: column {self.name} has {rows.size} {what}, the first is "
                f"{self.values[rows[0]]:g} in row {self.first_row + rows[0]} of those read; "
                f"{instead}"
            )


def checked_columns(table: pa.Table, path: Path, first_row: int = 0) -> dict[str, Any]:
    """Return a table's columns, after checking every value: arrays (float32), processes as text."""
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        if column.null_count:
            mark = f"; a jet that is not there has {MISSING:g}" if name in _MAY_LACK else ""
            raise DataError(f"{path}: column {name} has {column.null_count} empty values{mark}")
        # Combining even a single chunk would copy it.
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if name == "detailed_labels":
            check_processes(column, path)
            columns[name] = column.cast(pa.string())
            continue
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            values = column.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        # Both are NaN if any value is; and most columns are right, as both tell.
        lowest, highest = (values.min(), values.max()) if values.size else (0.0, 0.0)
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            bad = np.flatnonzero(~np.isfinite(values))
            raise DataError(
                f"{path}: column {name} has {bad.size} values that are NaN or infinite, the first "
                f"in row {first_row + bad[0]} of those read"
            )
        columns[name] = values
        named = _Column(path, name, first_row, values)
        if lowest <= 0:
            _check_momenta(named)
        _check_range(named, lowest, highest)
    if len(table) and columns["weights"].min() < 0:
        raise DataError(f"{path}: {(columns['weights'] < 0).sum()} weights are negative")
    is_signal = pc.equal(columns["detailed_labels"], SIGNAL).to_numpy(zero_copy_only=False)
    wrong = np.count_nonzero(columns["labels"] != is_signal)
    if wrong:
        raise DataError(f"{path}: labels must be 1 for {SIGNAL} and 0 else; {wrong} rows differ")
    if columns.keys() >= set(_OF_ALL_JETS):
        _check_jets({name: _Column(path, name, first_row, columns[name]) for name in _OF_ALL_JETS})
    if columns.keys() >= {*PRI_COLUMNS, *DER_COLUMNS} and len(table):
        _check_derived(columns, path)
    return columns


def check_processes(column: pa.Array | pa.ChunkedArray, path: Path) -> None:
    """Refuse names of processes that the challenge does not know."""
    unknown = set(column.unique().to_pylist()) - {*PROCESSES, None}
    if unknown:
        raise DataError(
            f"{path}: unknown process {sorted(unknown)} in detailed_labels; known are "
            f"{', '.join(PROCESSES)}"
        )


def _check_momenta(column: _Column) -> None:
    """Refuse negative momenta; a jet that is not there has -25, and nothing else."""
    if column.name not in _MOMENTA:
        return
    wrong = column.values < 0
    if column.name in _OF_ONE_JET:
        wrong &= column.values != MISSING
    column.refuse(
        wrong, "negative values", f"only a jet that is not there is marked, with {MISSING:g}"
    )
    if column.name in _OF_LEPTONS:
        column.refuse(column.values == 0, "zeros", "every event has a lepton and a tau")
    elif column.name in _OF_ONE_JET:
        column.refuse(column.values == 0, "zeros", f"a jet that is not there has {MISSING:g}")


def _check_range(column: _Column, lowest: float, highest: float) -> None:
    """Refuse momenta in MeV, angles in degrees and numbers that mark what is not there."""
    low, high, what = _RANGES.get(column.name, (-np.inf, np.inf, "any numbers"))
    if low <= lowest and highest <= high:
        return
    wrong = (column.values < low) | (column.values > high)
    if column.name in _MAY_LACK:
        wrong &= column.values != MISSING
    column.refuse(wrong, f"values outside {low:g} .. {high:g}", f"it must hold {what}")


def _check_jets(columns: dict[str, _Column]) -> None:
    """Refuse jets that PRI_n_jets does not count, or counts in vain, and sums that lack them."""
    counted, all_pt = columns["PRI_n_jets"], columns["PRI_jet_all_pt"]
    n_jets = counted.values
    counted.refuse(n_jets != np.floor(n_jets), "values that are no whole numbers", "it counts jets")
    least = np.zeros(len(n_jets), dtype=np.float32)
    for number, names in _JETS.items():
        counts = n_jets >= number
        for name in names:
            column = columns[name]
            column.refuse(
                counts == (column.values == MISSING),
                "values that disagree with PRI_n_jets",
                f"it must be {MISSING:g} where PRI_n_jets is below {number}, and only there",
            )
        pt = columns[names[0]]
        if number > 1:
            pt.refuse(
                counts & (_ROOM * pt.values > columns[_OF_ONE_JET[0]].values),
                f"values far above {_OF_ONE_JET[0]}",
                "the leading jet is the one of the largest momentum",
            )
        least += np.where(counts, pt.values, np.float32(0))
    all_pt.refuse(
        (all_pt.values < _ROOM * least) | ((n_jets == 0) & (all_pt.values > _ROUNDING)),
        "values that disagree with the jets",
        "it must be the sum of the momenta of all jets, 0 without any",
    )


def _check_derived(columns: dict[str, Any], path: Path) -> None:
    """Refuse stored derived quantities that are not those of the primaries, looking at some rows.

    Pseudo-experiments compute theirs from the primaries: a model would be trained on others.
    """
    rows = np.linspace(0, len(columns["weights"]) - 1, _DERIVED_ROWS).astype(np.intp)
    derived = np.empty((len(DER_COLUMNS), len(rows)), np.float32)
    derive_in_chunks({name: columns[name][rows] for name in PRI_COLUMNS}, derived)
    relative, absolute = _DERIVED_ROOM
    for name, values in zip(DER_COLUMNS, derived, strict=True):
        stored = columns[name][rows]
        wrong = np.abs(stored - values) > relative * np.abs(values) + absolute
        share = wrong.mean()
        if share > _DERIVED_SHARE:
            first = np.argmax(wrong)
            raise DataError(
                f"{path}: column {name} contradicts the PRI_ columns, from which it follows, in "
                f"{share:.0%} of the rows looked at: {stored[first]:g}, where it would be "
                f"{values[first]:g}; correct it, or leave the DER_ columns out, and they are "
                "computed"
            )
