"""The fast engine: reproducibility, ranges, physics, and the smoothing's conservation laws."""

from __future__ import annotations

import numpy as np
import pytest
from generator_statistics import auc, features, sigma_mu
from scipy.stats import ks_2samp

from HiggsML.errors import DataError, SettingsError
from HiggsML.generator.fast.amplify import amplify
from HiggsML.generator.fast.boson import Kernel, attempt_boson
from HiggsML.generator.fast.library import LEAF, load_library, pack, unpack
from HiggsML.schema import MISSING, PRI_COLUMNS, PROCESSES

COLUMN = {name: k for k, name in enumerate(PRI_COLUMNS)}


@pytest.fixture(scope="module", params=PROCESSES)
def process(request):
    return request.param


@pytest.fixture(scope="module")
def rows(process):
    return amplify(process, 4_000, np.random.default_rng(1))


def test_same_generator_same_bytes(process, rows):
    again = amplify(process, 4_000, np.random.default_rng(1))
    assert rows.tobytes() == again.tobytes()
    assert rows.tobytes() != amplify(process, 4_000, np.random.default_rng(2)).tobytes()


def test_shape_dtype_and_decimals(rows):
    assert rows.shape == (4_000, 16)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    thousandths = rows.astype(np.float64) * 1000.0
    assert np.abs(thousandths - np.rint(thousandths)).max() < 0.1  # float32 near 1000 GeV


def test_official_selection(rows):
    assert rows[:, COLUMN["PRI_lep_pt"]].min() >= 20.0
    assert rows[:, COLUMN["PRI_had_pt"]].min() >= 22.5  # raw 20 times the energy scale
    assert np.abs(rows[:, COLUMN["PRI_lep_eta"]]).max() <= 2.5
    assert np.abs(rows[:, COLUMN["PRI_had_eta"]]).max() <= 2.9
    for name in PRI_COLUMNS:
        if name.endswith("_phi"):
            assert np.abs(rows[:, COLUMN[name]]).max() <= 25.0


def test_missing_jets_are_marked(rows):
    number = rows[:, COLUMN["PRI_n_jets"]]
    for least, jet in ((1, "leading"), (2, "subleading")):
        for quantity in ("pt", "eta", "phi"):
            column = rows[:, COLUMN[f"PRI_jet_{jet}_{quantity}"]]
            assert (column[number < least] == MISSING).all()
            assert (column[number >= least] > MISSING).all()
    assert (rows[number == 0, COLUMN["PRI_jet_all_pt"]] == 0.0).all()
    two = number >= 2
    leading, second = (COLUMN[f"PRI_jet_{jet}_pt"] for jet in ("leading", "subleading"))
    assert (rows[two, leading] >= rows[two, second]).all()
    exactly = number == 2
    total = rows[exactly, leading] + rows[exactly, second]
    np.testing.assert_allclose(rows[exactly, COLUMN["PRI_jet_all_pt"]], total, atol=2e-3)


def test_azimuth_is_uniform_and_eta_symmetric(rows):
    phi = rows[:, COLUMN["PRI_lep_phi"]]
    uniform = np.random.default_rng(3).uniform(-np.pi, np.pi, 100_000)
    assert ks_2samp(phi, uniform).pvalue > 1e-4
    eta = rows[:, COLUMN["PRI_had_eta"]]
    assert abs(eta.mean()) < 5 * eta.std() / np.sqrt(len(eta))


def test_halves_are_disjoint_and_alike(process):
    one, two = (load_library(process, half) for half in (1, 2))
    assert len(one) + len(two) == len(load_library(process))
    first, second = (
        features(amplify(process, 3_000, np.random.default_rng(4 + half), half=half))
        for half in (1, 2)
    )
    result = auc(first, second, seed=1, folds=3)
    assert result.auc < 0.5 + 4 * result.error + 0.03


def test_z_peaks_below_the_z_mass_and_h_above():
    z, h = (
        features(amplify(name, 20_000, np.random.default_rng(6))) for name in ("ztautau", "htautau")
    )
    # Medians of the real sample: 67.9 and 81.4 GeV.
    assert np.median(z[:, 17]) == pytest.approx(67.9, abs=1.5)
    assert np.median(h[:, 17]) == pytest.approx(81.4, abs=1.5)


def test_smoothing_keeps_the_balance():
    """Without smoothing and with it the transverse balance has the same spread."""
    library = load_library("ztautau")
    sharp = Kernel(scale=0.0, jet_scale=0.0, jet_turn=0.0, boost=0.0, jet_eta=0.0)
    balance = []
    for kernel in (sharp, Kernel()):
        rng = np.random.default_rng(7)
        rows = attempt_boson("ztautau", 300_000, rng, library, kernel=kernel)
        balance.append(np.median(features(rows)[:, 23]))
    assert balance[0] == pytest.approx(balance[1], rel=0.04)


def test_unknown_process_and_half():
    with pytest.raises(SettingsError, match="unknown process"):
        amplify("ggbar", 10, np.random.default_rng(1))
    with pytest.raises(SettingsError, match="half"):
        amplify("ztautau", 10, np.random.default_rng(1), half=3)


def test_missing_library(tmp_path):
    with pytest.raises(DataError, match="no event library"):
        load_library("ztautau", None, tmp_path)


def _columns(n, rng):
    block = {
        name: np.zeros((n, 8), dtype=np.float32)
        for name in ("jet_pt", "jet_true_pt", "jet_eta", "jet_phi")
    }
    block["jet_true_pt"][:, 0] = rng.uniform(5.0, 100.0, n)
    block["jet_pt"][:, 0] = block["jet_true_pt"][:, 0] * rng.uniform(0.9, 1.1, n)
    block["jet_phi"][:, 0] = np.pi - 0.01
    out = {
        "weight": rng.uniform(1.0, 9.0, n).astype(np.float32),
        "extra": np.zeros(n, dtype=np.uint8),
        **{name: rng.normal(0, 5, n).astype(np.float32) for name in ("visible_x", "visible_y")},
        **{name: rng.exponential(1, n).astype(np.float32) for name in ("isolation", "area")},
        **block,
        "boson_kind": np.tile(np.array([23, 0], dtype=np.uint8), (n, 1)),
    }
    for name in ("m", "pt", "y", "phi", "cosine", "axis_theta", "axis_phi"):
        out[f"boson_{name}"] = np.zeros((n, 2), dtype=np.float32)
    out["boson_m"][:, 0], out["boson_pt"][:, 0] = 91.0, rng.uniform(1.0, 90.0, n)
    return out


def test_pack_and_unpack():
    rng = np.random.default_rng(8)
    halves = [_columns(n, rng) for n in (1_000, 700)]
    packed = pack(halves, seed=1)
    assert (packed["sizes"] % LEAF == 0).all()
    library = unpack(packed)
    assert len(library) == packed["sizes"].sum()
    assert len(unpack(packed, half=2)) == packed["sizes"][1]
    assert library.leaf_share.sum() == pytest.approx(1.0)
    kept = np.sort(library.boson_pt[:, 0])
    everything = np.sort(np.concatenate([half["boson_pt"][:, 0] for half in halves]))
    at = np.clip(np.searchsorted(everything, kept), 1, len(everything) - 1)
    nearest = np.minimum(np.abs(everything[at] - kept), np.abs(everything[at - 1] - kept))
    assert (nearest < 2e-3 * kept).all()  # 16-bit logarithm


def test_slots_follow_the_weights():
    rng = np.random.default_rng(9)
    library = unpack(pack([_columns(640, rng), _columns(640, rng)], seed=1))
    counts = np.bincount(library.slots.ravel(), minlength=len(library)) / 256
    blocks = library.weight.reshape(-1, LEAF)
    share = (blocks / blocks.sum(axis=1, keepdims=True)).ravel()
    assert np.abs(counts - share).max() <= 1.01 / 256


def test_sigma_mu_of_a_counting_experiment():
    rng = np.random.default_rng(10)
    edges = np.array([-1.0, 2.0])
    sigma, s, b = sigma_mu(
        (rng.random(100), 10.0), [(rng.random(50), 60.0), (rng.random(50), 30.0)], edges=edges
    )
    assert sigma == pytest.approx(1.0)  # sqrt(10 + 90) / 10
    assert s[0] == pytest.approx(10.0)
    assert b[0] == pytest.approx(90.0)
