"""The seed tree: every random number of a run has a branch of its own.

A branch is a keyed hash (BLAKE2) of its path in the tree, with the run's entropy as the key. A
stream of random numbers, even if it were led back to its branch, tells nothing of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from hashlib import blake2b
from typing import SupportsInt

import numpy as np

from HiggsML.physics.shifts import draw_nuisances
from HiggsML.schema import MU_RANGE

__all__ = [
    "Purpose",
    "draw_mu",
    "draw_order",
    "experiment_nuisances",
    "generator",
    "model_seed",
    "seed_sequence",
]


class Purpose(IntEnum):
    """First branch of the seed tree: streams that must not overlap.

    Examples
    --------
    >>> Purpose.EVENTS.name, int(Purpose.EVENTS)
    ('EVENTS', 2)
    """

    MU = 0
    NUISANCES = 1
    EVENTS = 2
    ORDER = 3
    MODEL = 4
    REPEAT = 5


_BRANCH_BYTES = 32


def seed_sequence(seed: int, purpose: Purpose, *path: int) -> np.random.SeedSequence:
    """Return the node of the seed tree at ``purpose`` and, say, set and experiment.

    Examples
    --------
    >>> rng = np.random.default_rng(seed_sequence(7, Purpose.EVENTS, 0, 3))
    >>> 0 <= rng.random() < 1
    True
    """
    return np.random.SeedSequence(_branch([seed], purpose, *path))


def draw_mu(seed: int, set_index: int) -> float:
    """Draw the true signal strength of a set, uniform in :data:`HiggsML.schema.MU_RANGE`.

    Examples
    --------
    >>> draw_mu(7, set_index=0) == draw_mu(7, set_index=0) != draw_mu(7, set_index=1)
    True
    """
    rng = np.random.default_rng(seed_sequence(seed, Purpose.MU, set_index))
    return float(rng.uniform(*MU_RANGE))


def experiment_nuisances(
    seed: int, set_index: int, experiment: int, enabled: Mapping[str, bool]
) -> dict[str, float | None]:
    """Draw the nuisance parameters of one pseudo-experiment.

    Examples
    --------
    >>> values = experiment_nuisances(7, set_index=0, experiment=3, enabled={"tes": True})
    >>> values["tes"] is not None, values["jes"]
    (True, 1.0)
    """
    node = seed_sequence(seed, Purpose.NUISANCES, set_index, experiment)
    return draw_nuisances(enabled, np.random.default_rng(node))


def model_seed(seed: int, *task: int) -> int:
    """Return the seed of a Model's global generators: in one pseudo-experiment, or in fit."""
    return int(seed_sequence(seed, Purpose.MODEL, *task).generate_state(1, np.uint64)[0])


def draw_order(seed: int, n_sets: int, n_experiments: int) -> Iterator[tuple[int, int]]:
    """Yield all (set, experiment) pairs in a random order, which tells a model nothing.

    Examples
    --------
    >>> sorted(draw_order(7, n_sets=2, n_experiments=2))
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    rng = np.random.default_rng(seed_sequence(seed, Purpose.ORDER))
    # Four bytes for each: millions of pairs are made as they are needed.
    order = np.arange(n_sets * n_experiments, dtype=np.uint32)
    rng.shuffle(order)
    for number in order:
        yield divmod(int(number), n_experiments)


def generator(sequence: np.random.SeedSequence, branch: int) -> np.random.Generator:
    """Return the generator of a numbered branch, without the state that ``spawn`` keeps."""
    entropy = (
        sequence.entropy if isinstance(sequence.entropy, Iterable) else [sequence.entropy or 0]
    )
    node = _branch(entropy, *sequence.spawn_key, branch)
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(node)))


def _branch(entropy: Iterable[SupportsInt], *path: int) -> int:
    """Return 256 bits for a place in the tree of an entropy."""
    key = blake2b(_text(entropy)).digest()
    digest = blake2b(_text(path), key=key, digest_size=_BRANCH_BYTES, person=b"HiggsML seeds")
    return int.from_bytes(digest.digest(), "little")


def _text(numbers: Iterable[SupportsInt]) -> bytes:
    return ",".join(str(int(number)) for number in numbers).encode()
