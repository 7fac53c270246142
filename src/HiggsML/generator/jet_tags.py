"""What decides whether a jet may be tagged as a tau, packed into one byte per jet.

The detector tags by the number of tracks about a jet's axis, the tagged jet's charge is that of the
tracks, and a jet that holds an isolated photon is discarded. The charge of a quark is seen in its
jet's: a jet beside a W is more often of the opposite charge. So the charges of an event count as
positive what a W as first boson has, and as negative what it has as second.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["JetTags", "decode", "encode"]

_MATCHED, _PHOTON = np.uint8(16), np.uint8(32)


class JetTags(NamedTuple):
    """Tracks (0, 1, or 2 for more), their charge (-2 .. 2), and what is within.

    ``matched`` tells a hadronic tau of a heavy hadron, ``photon`` an isolated photon.
    """

    tracks: NDArray[np.int8]
    charge: NDArray[np.int8]
    matched: NDArray[np.bool_]
    photon: NDArray[np.bool_]


def encode(
    tracks: NDArray[Any], charge: NDArray[Any], *, matched: Any = False, photon: Any = False
) -> NDArray[np.uint8]:
    """Pack into bytes.

    Examples
    --------
    >>> encode(np.array([1, 5]), np.array([-1, 0]))
    array([ 6, 12], dtype=uint8)
    """
    code = np.minimum(tracks, 2) * 5 + np.clip(charge, -2, 2) + 2
    flags = np.where(matched, _MATCHED, 0) + np.where(photon, _PHOTON, 0)
    return np.asarray(code + flags, dtype=np.uint8)


def decode(code: NDArray[np.uint8]) -> JetTags:
    """Unpack bytes; zero, which stands for no jet, has no tracks."""
    tracks, charge = np.divmod((code & 15).astype(np.int8), np.int8(5))
    return JetTags(
        tracks,
        np.where(code == 0, 0, charge - 2).astype(np.int8),
        (code & _MATCHED) > 0,
        (code & _PHOTON) > 0,
    )
