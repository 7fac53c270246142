"""Seeds for the submission's random numbers, so that an honest random prediction can be repeated.

Before each prediction the global generators of :mod:`random`, NumPy and (if the submission has
imported it) PyTorch get a seed of the pseudo-experiment's own, and so do the generators that the
Model and the submission's modules hold. One that ``predict`` makes without a seed is out of reach.
"""

from __future__ import annotations

import contextlib
import gc
import random
import sys
import types
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["held_generators", "seed_generators"]

_MOST_OBJECTS = 200_000  # are looked at
_OUT_OF_REACH = (type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType)
_NO_CONTAINERS = (str, bytes, bytearray, int, float, complex, bool, type(None))


def held_generators(model: Any, folder: Path) -> list[Any]:
    """Return the random generators that a Model and the modules of its folder hold.

    The order is that of attributes, which pickling keeps.
    """
    modules = [
        vars(module)
        for module in list(sys.modules.values())
        if str(getattr(module, "__file__", None)).startswith(str(folder))
    ]
    kinds = _kinds()
    seen: set[int] = set()
    generators: list[Any] = []
    todo: deque[Any] = deque([model, *(value for names in modules for value in names.values())])
    while todo and len(seen) < _MOST_OBJECTS:
        one = todo.popleft()
        if isinstance(one, _NO_CONTAINERS) or id(one) in seen or isinstance(one, _OUT_OF_REACH):
            continue
        seen.add(id(one))
        if isinstance(one, kinds):
            generators.append(one)
        else:
            todo.extend(gc.get_referents(one))
    return generators


def seed_generators(seed: int, held: Iterable[Any]) -> None:
    """Seed the global generators, and those that :func:`held_generators` has found.

    Parameters
    ----------
    seed : int
        At least 0 and below 2**64.
    held : iterable
        Each gets a seed of its own.
    """
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002 (the global one is meant)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        with contextlib.suppress(Exception):  # half imported
            torch.manual_seed(seed)
    for number, generator in enumerate(held, start=1):
        with contextlib.suppress(Exception):  # a kind of its own that wants something else
            _seed(generator, (seed + number) % 2**64)


def _kinds() -> tuple[type, ...]:
    torch: Any = sys.modules.get("torch")
    kinds: tuple[type, ...] = (
        *(random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator),
    )
    generator = getattr(torch, "Generator", None)
    return kinds if generator is None else (*kinds, generator)


def _seed(generator: Any, seed: int) -> None:
    if isinstance(generator, np.random.Generator):
        generator = generator.bit_generator
    if isinstance(generator, np.random.BitGenerator):
        generator.state = type(generator)(seed).state
    elif isinstance(generator, np.random.RandomState):
        generator.seed(seed & 0xFFFFFFFF)
    elif isinstance(generator, random.Random):
        generator.seed(seed)
    else:
        generator.manual_seed(seed)
