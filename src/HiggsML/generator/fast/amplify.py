"""The fast engine: any number of selected events from the library, reproducibly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from HiggsML.errors import SettingsError
from HiggsML.generator.fast.boson import TRIAL_WEIGHT, attempt_boson
from HiggsML.generator.fast.library import Library, load_library
from HiggsML.generator.fast.pair import attempt_pair
from HiggsML.schema import PROCESSES

__all__ = ["amplify"]

# Arrays of this many float32 stay in the processor's cache.
_TRIALS = 60_000
_EFFICIENCY = {"ztautau": 0.033, "htautau": 0.1, "ttbar": 0.02, "diboson": 0.012}
# Cross-sections [fb] of H -> tau tau in all modes, and of those with a W, a Z or top quarks, whose
# events with further leptons are a library of their own (official table of the challenge).
_ALL_MODES, _ASSOCIATED = 2045.6, 130.6


def amplify(
    process: str,
    n: int,
    rng: np.random.Generator,
    library: Library | None = None,
    *,
    associated: Library | None = None,
    half: int | None = None,
) -> NDArray[np.float32]:
    """Generate ``n`` selected events of one process.

    Parameters
    ----------
    process : {"ztautau", "diboson", "ttbar", "htautau"}
    n : int
        Number of rows.
    rng : numpy.random.Generator
        The only source of randomness: the same state gives the same rows.
    library : Library, optional
        Truth-level events to amplify; the shipped ones by default.
    associated : Library, optional
        For H, the events with further leptons; the shipped ones with the shipped library.
    half : {1, 2}, optional
        Use only this half of the shipped library.

    Returns
    -------
    numpy.ndarray of shape (n, 16), float32
        The primary columns in the order of ``PRI_COLUMNS``; GeV and radians, three decimals.

    Raises
    ------
    SettingsError
        If the process is unknown.
    DataError
        If the library is not there.

    """
    if process not in PROCESSES:
        raise SettingsError(f"unknown process {process!r}; known: {', '.join(PROCESSES)}")
    if library is None:
        library = load_library(process, half)
        if process == "htautau":
            associated = load_library("htautau_associated", half)
    rows: list[NDArray[np.float32]] = [np.empty((0, 16), dtype=np.float32)]
    n_events = 0
    while n_events < n:
        # Small requests need not pay for a whole block of trials.
        trials = min(_TRIALS, int(1.2 * (n - n_events) / _EFFICIENCY[process]) + 500)
        if process in ("ztautau", "htautau"):
            parts = [attempt_boson(process, trials, rng, library)]
        else:
            parts = [attempt_pair(trials, rng, library)]
        if associated is not None:
            share = _ASSOCIATED * associated.kept_share / (_ALL_MODES * library.kept_share)
            number = rng.poisson(trials * share / TRIAL_WEIGHT)
            parts.append(attempt_pair(number, rng, associated))
        rows += parts
        n_events += sum(len(part) for part in parts)
    # Rows come out in the order of the library: mix them before the surplus is cut off.
    return np.concatenate(rows)[rng.permutation(n_events)[:n]]
