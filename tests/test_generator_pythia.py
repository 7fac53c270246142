"""The reference engine and the library's production, on real Pythia events."""

from importlib.util import find_spec

import numpy as np
import pytest

from HiggsML.errors import SettingsError
from HiggsML.generator.fast.library import load_library
from HiggsML.generator.pythia import event_record, make_library, rows, thinning
from HiggsML.generator.pythia.calorimeter import calorimeter
from HiggsML.generator.pythia.hadronic_taus import make_hadronic_pool
from HiggsML.generator.pythia.jets import anti_kt
from HiggsML.generator.pythia.production import produce
from HiggsML.generator.pythia.reference import reference_events
from HiggsML.schema import PRI_COLUMNS

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("pythia8mc", "fastjet", "awkward")),
    reason="the extra [pythia] is not installed",
)

COLUMN = {name: k for k, name in enumerate(PRI_COLUMNS)}


@pytest.fixture(scope="module")
def higgs():
    return reference_events("htautau", 600, seed=5)


def test_selection_and_form_of_the_rows(higgs):
    assert len(higgs) > 40  # some 14 % of the events with one tau of each kind
    assert higgs.dtype == np.float32
    assert higgs[:, COLUMN["PRI_lep_pt"]].min() >= 20.0
    assert higgs[:, COLUMN["PRI_had_pt"]].min() >= 22.5  # raw 20 GeV times the energy scale
    assert np.abs(higgs[:, COLUMN["PRI_had_eta"]]).max() < 2.7
    leading = higgs[higgs[:, COLUMN["PRI_n_jets"]] > 0, COLUMN["PRI_jet_leading_pt"]]
    assert leading.min() >= 21.9


def test_same_seed_same_rows(higgs):
    np.testing.assert_array_equal(reference_events("htautau", 600, seed=5), higgs)


def test_towers_and_jets_keep_the_momentum():
    # One hard photon and one hard pion, back to back: two jets near their directions.
    rng = np.random.default_rng(1)
    momentum = np.array([[100.0, -100.0], [0.0, 0.0], [30.0, -30.0], [0.0, 0.0]])
    momentum[3] = np.linalg.norm(momentum[:3], axis=0)
    towers = calorimeter(
        np.zeros(2, dtype=np.int64), np.array([22, 211]), momentum, np.array([0.0, 1.0]), rng=rng
    )
    jets = anti_kt(towers, 1)
    assert len(jets.pt) == 2
    assert jets.true_pt == pytest.approx([100.0, 100.0], rel=0.02)
    photon = np.abs(jets.phi) < 1.0
    assert jets.pt[photon][0] == pytest.approx(100.0, rel=0.05)  # 1 % resolution


def test_thinning_keeps_the_spectrum(monkeypatch):
    """Weighted thinned events agree with plain ones, and hold more of the rare ones."""
    thinned, tried = produce("ztautau", 1_000, seed=11)
    monkeypatch.setattr(thinning, "_signal_likeness", lambda event, process: 1.0)
    plain, plain_tried = produce("ztautau", 1_000, seed=12)
    assert tried > 3 * plain_tried
    share = thinned["weight"].astype(float) / thinned["weight"].sum()
    for threshold in (10.0, 25.0):
        above = thinned["boson_pt"][:, 0] > threshold
        expected = (plain["boson_pt"][:, 0] > threshold).mean()
        weighted = share @ above
        error = np.hypot(
            np.sqrt(expected * (1 - expected) / 1_000),
            np.sqrt(np.sum(share**2 * (above - weighted) ** 2)),
        )
        assert weighted == pytest.approx(expected, abs=4 * error)
    assert (thinned["boson_pt"][:, 0] > 60).mean() > 2 * (plain["boson_pt"][:, 0] > 60).mean()


def test_library_is_made_packed_and_amplified(tmp_path, monkeypatch):
    monkeypatch.setattr(make_library, "CHUNK", 200)
    monkeypatch.setattr(make_library, "TAU_POOL", 50)
    chunks, packed = tmp_path / "chunks", tmp_path / "packed"
    chunks.mkdir()
    for process in ("ztautau", "ttbar"):
        for chunk in (0, 1):
            assert make_library.make_chunk(process, chunk, 7, chunks) > 150
    number = make_library.pack_chunks(chunks, packed, seed=7)
    assert set(number) == {"ztautau", "ttbar"}
    assert len(load_library("ztautau", None, packed)) == number["ztautau"]


def test_pool_of_tau_decays_has_the_tau_mass():
    pool = make_hadronic_pool(300, seed=3)
    energy, pz = pool.em_energy + pool.had_energy, pool.em_pz + pool.had_pz
    mass = np.sqrt(energy**2 - pz**2 - pool.px**2 - pool.py**2)
    assert mass.max() < 1.777
    assert mass.min() > 0.13  # a charged pion
    assert pool.one_prong.mean() == pytest.approx(0.77, abs=0.1)  # 49.5 % of 64.8 %


def test_interrupted_rows_go_on_to_the_same_bytes(tmp_path):
    needed = {"htautau": 25}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    few = {"entropy": 3, "events_per_chunk": 80}
    quiet = {**few, "progress": lambda found: None}
    rows.make_rows(whole, needed, workers=1, **quiet)

    def stop(found):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rows.make_rows(parts, needed, workers=2, progress=stop, **few)
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.npy")}
    assert kept
    rows.make_rows(parts, needed, workers=2, **quiet)
    assert all((parts / name).stat().st_mtime_ns == time for name, time in kept.items())
    np.testing.assert_array_equal(
        rows.read_rows(whole, "htautau", 0, 25), rows.read_rows(parts, "htautau", 0, 25)
    )
    np.testing.assert_array_equal(
        rows.read_rows(whole, "htautau", 10, 5), rows.read_rows(whole, "htautau", 0, 25)[10:15]
    )


def test_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(event_record, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"needs the package pythia8mc: pip install"):
        rows.make_rows(tmp_path, {"htautau": 1}, entropy=1, workers=1, progress=print)
