"""What is left to a fit: a few factors that act on a library when it is loaded.

They were fitted to published figures of the official events by ``benchmarks/calibrate_generator.py
--fit``, which writes the file that is read here, with the covariance.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from HiggsML.generator.fast.library import Library

__all__ = ["Calibration", "calibrate", "shipped_calibration"]


@dataclass(frozen=True)
class Calibration:
    """Factors; 1 leaves a library as Pythia and the detector made it.

    ``recoil`` acts on the transverse momenta of bosons and jets, ``response`` on the measured pt of
    jets, ``resolution`` on its spread about the mean, ``noise`` on what else the calorimeter adds
    to the missing momentum, ``fakes`` on the probability of a jet to be tagged as a tau.
    """

    recoil: float = 1.0
    response: float = 1.0
    resolution: float = 1.0
    noise: float = 1.0
    fakes: float = 1.0


def calibrate(library: Library, calibration: Calibration) -> Library:
    """Return a library with the factors applied."""
    recoil, noise = np.float32(calibration.recoil), np.float32(calibration.noise)
    mean = library.response.mean(axis=1, keepdims=True)
    spread = np.float32(calibration.resolution) * (library.response - mean)
    return replace(
        library,
        boson_pt=library.boson_pt * recoil,
        jet_pt=library.jet_pt * recoil,
        residual_x=library.residual_x * noise,
        residual_y=library.residual_y * noise,
        response=np.float32(calibration.response) * np.maximum(mean + spread, 0.0),
        fakes=np.float32(library.fakes * calibration.fakes),
    )


@functools.cache
def shipped_calibration() -> dict[str, Calibration]:
    """Return the fitted factors of every library."""
    source = resources.files("HiggsML.generator.fast") / "data" / "calibration.json"
    fitted = json.loads(source.read_text(encoding="utf-8"))
    return {process: Calibration(**values) for process, values in fitted["factors"].items()}
