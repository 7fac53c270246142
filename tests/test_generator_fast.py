"""The fast engine: reproducibility, ranges, physics, and the smoothing's conservation laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from generator_statistics import auc, features, sigma_mu
from scipy.stats import ks_2samp

from HiggsML.errors import DataError, SettingsError
from HiggsML.generator.detector import own_photon, wrap
from HiggsML.generator.fast import pair
from HiggsML.generator.fast.amplify import amplify
from HiggsML.generator.fast.boson import Kernel, attempt_boson
from HiggsML.generator.fast.boson_decays import decay_to_taus, tables_of
from HiggsML.generator.fast.library import LEAF, load_library, pack, unpack
from HiggsML.generator.fast.measure import (
    choose,
    fake_probability,
    radiated_share,
    visible_tau,
)
from HiggsML.generator.fast.tau_decays import TAU_MASS
from HiggsML.generator.jet_tags import decode, encode
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
        features(amplify(process, 2_000, np.random.default_rng(4 + half), half=half))
        for half in (1, 2)
    )
    result = auc(first, second, seed=1, folds=3)
    # What repeats falls like the number of library events to the power -0.54; 0.03 is aimed at with
    # 16,000 in each half, and the shipped library of top quarks and bosons is smaller.
    repeats = 0.03 * max(1.0, 16_000 / len(one)) ** 0.54
    assert result.auc < 0.5 + 4 * result.error + repeats


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


def test_hard_z_are_heavy_ones():
    """The mass is drawn from events of similar pt: hard Z are off the peak three times as often."""
    tables = tables_of(load_library("ztautau"))
    rng = np.random.default_rng(13)
    heavy = [
        (tables.draw_mass(np.full(100_000, pt, dtype=np.float32), rng) > 110.0).mean()
        for pt in (5.0, 150.0)
    ]
    assert heavy[0] < 0.014
    assert heavy[1] > 2.0 * heavy[0]


def test_spin_decides_the_angles():
    """A0 = 4 - 10 <cos^2> is pt^2 / (pt^2 + m^2) for spin 1 and 2/3 for spin 0."""
    n = 200_000
    rng = np.random.default_rng(14)
    mass = np.full(n, 91.0, dtype=np.float32)
    for spin, pt, expected in ((1, 1.0, 0.0), (1, 60.0, 0.303), (0, 60.0, 2.0 / 3.0)):
        transverse = np.full(n, pt, dtype=np.float32)
        z = decay_to_taus(transverse, mass, np.ones(n, dtype=np.float32), spin, rng)[2]
        cosine = z / np.sqrt(91.0**2 / 4 - TAU_MASS**2)
        assert 4.0 - 10.0 * np.mean(cosine**2) == pytest.approx(expected, abs=0.03)


def test_events_with_a_w_add_a_signal_of_high_transverse_mass():
    high = []
    for library in (None, load_library("htautau")):
        values = features(amplify("htautau", 20_000, np.random.default_rng(15), library))
        high.append((values[:, 16] > 70.0).mean())
    assert high[0] > 1.1 * high[1]


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
        "cone_tag": np.full(n, 2, dtype=np.uint8),
        "jet_tag": np.full((n, 8), 6, dtype=np.uint8),
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
    packed = pack(halves, seed=1, tried=5_000)
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
    library = unpack(pack([_columns(640, rng), _columns(640, rng)], seed=1, tried=5_000))
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


def test_jet_tags_survive_packing():
    rng = np.random.default_rng(16)
    tracks = rng.integers(0, 3, 200)
    charge = rng.integers(-2, 3, 200) * (tracks > 0)
    matched, photon = rng.random((2, 200)) < 0.3
    tags = decode(encode(tracks, charge, matched=matched, photon=photon))
    for value, expected in zip(tags, (tracks, charge, matched, photon), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_jets_are_tagged_as_the_card_says():
    """2 % of the jets with one track and 1 % of those with more, if the charge is the lepton's."""
    library = load_library("ztautau")
    factor = float(library.fakes)
    tag = encode(np.array([[0, 1, 1, 4, 4, 1, 4]]), np.array([[0, 1, -1, 1, 0, 1, 1]]))
    raw = np.array([[50.0, 50.0, 50.0, 50.0, 50.0, 15.0, 50.0]])
    eta = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0]])
    chances = {0: [0, 0.02, 0.02, 0.01, 0.01, 0, 0], 1: [0, 0.02, 0, 0.01, 0, 0, 0]}
    chances[-1] = [0, 0, 0.02, 0, 0, 0, 0]
    for charge in (1, -1):
        wanted = np.array([charge], dtype=np.int8)
        any_charge, right = fake_probability(library, raw, eta, tag, wanted)
        assert any_charge[0] == pytest.approx(factor * np.array(chances[0]))
        assert right[0] == pytest.approx(factor * np.array(chances[charge]))


def test_jets_near_a_w_are_rather_of_the_opposite_charge():
    """So are the quarks: d and anti-u beside a W+, and the b of its own top quark.

    What may fake a tau in an event with one lepton is therefore selected more often than half.
    """
    top = load_library("ttbar")
    tags = decode(top.jet_tag)
    able = (top.jet_pt > 25.0) & (np.abs(top.jet_eta) < 2.3) & ~tags.matched & (tags.tracks > 0)
    one = able & (top.boson_kind[:, 1:] == 0)
    negative, positive = ((tags.charge[one] == sign).sum() for sign in (-1, 1))
    assert negative > 1.1 * positive
    # With two of them, the b quark of the first is near it and negative, the other one positive.
    two = able & (top.boson_kind[:, 1:] > 0)
    distance = [np.abs(wrap(top.jet_phi - top.boson_phi[:, k : k + 1])) for k in (0, 1)]
    for near, sign in ((distance[0] < distance[1], -1), (distance[1] < distance[0], 1)):
        charge = tags.charge[two & near]
        assert (charge == sign).sum() > 1.03 * (charge == -sign).sum()


def test_taus_of_heavy_hadrons_are_tagged_like_taus():
    """Such a jet is a tau for the detector: no fake, and no factor on fakes acts on it."""
    library = replace(load_library("ttbar"), fakes=np.float32(3.0))
    tag = encode(np.array([[3, 1, 2, 0]]), np.array([[1, -1, 0, 0]]), matched=True)
    own = decode(library.jet_tag)
    several = np.abs(own.charge[own.matched & (own.tracks == 2)]) == 1
    assert several.mean() == pytest.approx(2 * 0.22, abs=0.03)
    raw, eta = np.full((1, 4), 40.0), np.full((1, 4), 0.5)
    any_charge, right = fake_probability(library, raw, eta, tag, np.array([-1], dtype=np.int8))
    assert any_charge[0] == pytest.approx([0.6, 0.7, 0.6, 0.0])
    assert right[0] == pytest.approx([0.6 * 0.22, 0.7 * 0.5, 0.6 * 0.22, 0.0])


def test_leptons_of_a_pair_have_the_charges_of_their_bosons():
    """Those of the library's jets: the first W is positive, the second negative; a Z gives both."""
    library, rng = load_library("diboson"), np.random.default_rng(19)
    source = pair._draw(20_000, rng, library)
    kinds = library.boson_kind[source.event]
    leptons = pair._decay(source, pair._flavors(kinds, rng), library, rng)
    for boson, sign in ((0, 1), (1, -1)):
        w = kinds[:, boson] == 24
        assert np.all(leptons.charge[w, 2 * boson] == sign)
        one, other = leptons.charge[kinds[:, boson] == 23, 2 * boson : 2 * boson + 2].T
        assert np.all(one == -other)
        assert set(one) == {-1, 1}


def test_following_fewer_trials_changes_no_share(monkeypatch):
    """Whether a jet fakes a tau or holds one: weights stand for what was not followed."""
    library = load_library("ttbar")
    tag = library.jet_tag.copy()
    tag[::8, :2] = encode(np.array([1]), np.array([0]), matched=True)
    library = replace(library, jet_tag=tag)
    found = []
    for share in (1.0, 0.25):
        monkeypatch.setattr(pair, "_FOLLOW_FAKES", share)
        found.append(len(pair.attempt_pair(60_000, np.random.default_rng(20), library)))
    error = np.sqrt(found[0] + found[1] / 0.25)  # a weight of four at most
    assert found[0] > 2_000
    assert abs(found[0] - found[1]) < 4.0 * error


def test_choose_follows_the_probabilities():
    p = np.tile(np.array([0.01, 0.0, 0.03], dtype=np.float32), (40_000, 1))
    counts = np.bincount(choose(p, np.random.default_rng(17)), minlength=3)
    assert counts / 40_000 == pytest.approx([0.25, 0.0, 0.75], abs=0.01)


def test_taus_are_measured_softer_in_the_barrel():
    """Pions below 3.8 GeV are lost there, below 2 GeV in the endcap."""
    n = 20_000
    response = []
    for eta in (0.5, 2.2):
        rng = np.random.default_rng(18)
        full = [np.full(n, value, dtype=np.float32) for value in (30.0, eta, 0.3, -1.0, 0.0)]
        seen = visible_tau(*full, rng)
        response.append(seen.pt.mean())
        tagged = (seen.tracks == 1) & (seen.charge == 1)
        assert tagged.mean() == pytest.approx(0.77 * (0.95 if eta < 1.5 else 0.85), abs=0.08)
    assert response[0] < 0.98 * response[1]


@pytest.mark.parametrize(("muon", "mass", "above"), [(False, 0.000511, 0.12), (True, 0.1057, 0.25)])
def test_leptons_radiate_as_quantum_electrodynamics_says(muon, mass, above):
    """The integral of the splitting function above a share, and over the angles in the cone."""
    n, pt = 400_000, 40.0
    momenta = np.full(n, pt, dtype=np.float32)
    share = radiated_share(momenta, np.full(n, muon), np.random.default_rng(2))
    angles = np.log((0.5 * pt / mass) ** 2)
    splitting = 2 * np.log(1 / above) - 2 * (1 - above) + (1 - above**2) / 2
    expected = angles * splitting / (2 * np.pi * 137.0)
    assert np.mean(share > above) == pytest.approx(expected, abs=4 * np.sqrt(expected / n))
    assert share.max() < 1.0


def test_photons_that_energy_flow_finds_at_a_lepton():
    n = 200_000
    normal = np.random.default_rng(3).standard_normal(n)
    pt, eta = np.full(n, 40.0), np.full(n, 1.0)
    electron, muon = np.zeros(n, dtype=bool), np.ones(n, dtype=bool)
    # An excess above two standard deviations, whose scale the track gives.
    alone = own_photon(pt, eta, electron, np.zeros(n), normal)
    assert np.mean(alone > 0) == pytest.approx(0.02275, abs=4 * np.sqrt(0.02275 / n))
    assert alone[alone > 0].min() > 0.1 * 40.0
    np.testing.assert_array_equal(own_photon(pt, eta, muon, np.full(n, 5.0), normal), 5.0)
    np.testing.assert_array_equal(own_photon(pt, eta, muon, np.full(n, 0.3), normal), 0.0)
    assert np.mean(own_photon(pt, eta, electron, np.full(n, 20.0), normal) > 0) > 0.99
