"""The fast engine against published figures of the official events, and what calibrates it."""

import numpy as np
import pytest
from generator_figures import Moments, measure, regions, selected, targets

from HiggsML.generator.fast.calibration import Calibration, calibrate, shipped_calibration
from HiggsML.generator.fast.library import load_library
from HiggsML.schema import PROCESSES

ROWS = {"ztautau": 60_000, "htautau": 30_000, "ttbar": 15_000, "diboson": 10_000}


@pytest.mark.parametrize("process", PROCESSES)
def test_expected_events_by_region(process):
    """Every region within its tolerance of the official number, and four statistical errors."""
    factors = shipped_calibration().get(process, Calibration())
    found = measure(process, ROWS[process], factors)
    for name, (official, tolerance) in targets(process).items():
        if name == "kept" or name.startswith("yield"):
            value, error = found[name]
            assert value == pytest.approx(official, abs=tolerance + 4.0 * error), name


def test_regions_cover_every_event_once():
    frame = next(selected("htautau", 2_000, Calibration(), 3))[1]
    assert (np.sum(list(regions(frame).values()), axis=0) == 1).all()


def test_moments_are_those_of_numpy():
    values = np.random.default_rng(1).gamma(2.0, 30.0, 5_000)
    moments = Moments()
    for part in np.split(np.append(values, [-25.0] * 8), [2_000, 5_004]):
        moments.add(part)
    (mean, mean_error), (sd, sd_error) = moments.figures()
    assert mean == pytest.approx(values.mean())
    assert sd == pytest.approx(values.std())
    assert mean_error == pytest.approx(values.std() / np.sqrt(5_000))
    again = [np.random.default_rng(k).choice(values, 5_000).std() for k in range(200)]
    assert sd_error == pytest.approx(np.std(again), rel=0.3)


def test_calibration_scales_what_it_says():
    library = load_library("htautau")
    changed = calibrate(library, Calibration(recoil=1.1, response=0.9, noise=2.0, fakes=3.0))
    for name, factor in (
        ("boson_pt", 1.1),
        ("jet_pt", 1.1),
        ("response", 0.9),
        ("residual_x", 2.0),
        ("fakes", 3.0),
        ("jet_eta", 1.0),
    ):
        np.testing.assert_allclose(
            getattr(changed, name), factor * getattr(library, name), rtol=1e-5
        )
