"""The reference engine and the library's production, on real Pythia events."""

from importlib.util import find_spec

import numpy as np
import pytest

from HiggsML.errors import SettingsError
from HiggsML.generator.fast.library import load_library
from HiggsML.generator.jet_tags import decode
from HiggsML.generator.pythia import event_record, make_library, rows, thinning
from HiggsML.generator.pythia.calorimeter import Objects, detect
from HiggsML.generator.pythia.event_record import charge_sign
from HiggsML.generator.pythia.hadronic_taus import make_hadronic_pool
from HiggsML.generator.pythia.jets import (
    anti_kt,
    count_tracks,
    hadronic_taus,
    isolated_photons,
)
from HiggsML.generator.pythia.production import _CHANNELS, _orientation, _tags, _taus, produce
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


def test_same_seed_same_rows(monkeypatch):
    monkeypatch.setattr("HiggsML.generator.pythia.reference._BATCH", 50)  # more than one
    one, two = (reference_events("htautau", 200, seed=5) for _ in range(2))
    assert len(one) > 5
    np.testing.assert_array_equal(one, two)


def respond(pdg, momenta, rng):
    """Response to one event of massless particles given as (pt, eta, phi)."""
    pt, eta, phi = np.array(momenta, dtype=float).T
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)])
    pdg = np.array(pdg)
    return detect(np.zeros(len(pdg), dtype=np.int64), pdg, momentum, charge_sign(pdg), rng=rng)


def test_towers_and_jets_keep_the_momentum():
    # One hard photon and one hard pion, back to back: two jets near their directions.
    response = respond([22, 211], [(100.0, 0.3, 0.0), (100.0, -0.3, 3.0)], np.random.default_rng(1))
    jets = anti_kt(response.towers, 1)
    assert len(jets.pt) == 2
    assert jets.true_pt == pytest.approx([100.0, 100.0], rel=0.04)
    photon = np.abs(jets.phi) < 1.0
    assert jets.pt[photon][0] == pytest.approx(100.0, rel=0.05)  # 1 % resolution


def test_soft_hadrons_are_lost_in_the_barrel_and_seen_in_the_endcap():
    """A hadronic tower needs twice its resolution: 3.8 GeV in the barrel, 2 GeV in the endcap."""
    rng = np.random.default_rng(2)

    def seen(eta, energy):
        phi = np.linspace(-3.0, 3.0, 30)
        particles = [(energy / np.cosh(eta), eta, angle) for angle in phi]
        towers = respond([130] * 30, particles, rng).towers
        return (towers.pt > 1e-6).mean()

    assert seen(0.05, 2.5) < 0.4
    assert seen(2.05, 5.0) > 0.9
    assert seen(0.05, 10.0) > 0.9


def test_decays_behind_the_calorimeter_are_lost():
    """Of kaons (flight of 26.84 mm times pt / m) more than the wall's distance survives."""
    kaon, lifetime, mass, wall = 310, 26.84, 0.49761, 1150.0
    machine = event_record.pythia("htautau", seed=7, extra=("15:mayDecay = off",))
    particles = event_record.flatten(machine.nextBatch(400))
    pt = np.hypot(*particles.momentum[:2])
    barrel = np.abs(particles.momentum[2]) < 2.9 * pt
    kaons = np.flatnonzero((particles.pdg == kaon) & barrel & (pt > 2.0))
    decayed = np.isin(particles.mother, kaons)
    lost = np.zeros(len(particles.pdg), dtype=bool)
    lost[particles.mother[decayed & ~particles.inside]] = True
    chance = np.exp(-wall * mass / (lifetime * pt[kaons]))
    expected, spread = chance.sum(), np.sqrt((chance * (1.0 - chance)).sum())
    assert expected > 8.0
    assert abs(lost[kaons].sum() - expected) < 4.0 * spread
    assert particles.inside[particles.status == -21].all()


def test_muons_are_towers_and_isolated_photons_are_found():
    rng = np.random.default_rng(3)
    response = respond([13, 22], [(40.0, 0.4, 0.0), (40.0, -0.4, 2.0)], rng)
    towers = response.towers
    assert towers.pt[towers.source == 0] == pytest.approx([40.0], rel=0.1)
    found = {
        int(k)
        for seed in range(20)
        for k in isolated_photons(response, np.random.default_rng(seed))
    }
    assert {int(towers.source[k]) for k in found} == {1}
    # A pion beside the photon takes its isolation away.
    response = respond([22, 211], [(40.0, -0.4, 2.0), (20.0, -0.3, 2.1)], rng)
    assert all(len(isolated_photons(response, np.random.default_rng(s))) == 0 for s in range(20))


def test_tracks_are_counted_with_their_charge():
    rng = np.random.default_rng(4)
    response = respond([211, -211, 211, 211], [(20.0, 0.4, p) for p in (1.0, 1.05, 0.95, 2.0)], rng)
    number, charge = count_tracks(np.array([0]), np.array([0.4]), np.array([1.0]), response)
    tracked = response.track_source
    assert number[0] == np.isin(tracked, (0, 1, 2)).sum()
    assert charge[0] == np.isin(tracked, (0, 2)).sum() - np.isin(tracked, (1,)).sum()


def test_charges_of_jets_are_told_relative_to_the_w():
    """A W is positive as first boson and negative as second, whatever Pythia made."""
    charge = np.array([[1.0, -1.0], [-1.0, 1.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.0, 0.0]])
    sign = _orientation(charge)
    assert sign.tolist() == [1, -1, -1, -1, 1, 1]
    assert (charge * sign[:, None])[:, 0].min() >= 0
    assert (charge * sign[:, None])[:, 1].max() <= 0

    rng = np.random.default_rng(6)
    response = respond([211, 130], [(60.0, 0.4, 1.0), (60.0, -0.4, -2.0)], rng)
    jets = anti_kt(response.towers, 1)
    none = Objects.of(np.zeros(0, dtype=np.int64), np.zeros((3, 0)))
    for sign, expected in ((1.0, [1, 0]), (-1.0, [-1, 0])):
        tags = decode(_tags(jets, response, none, np.array([sign]), rng))
        assert sorted(tags.charge, key=abs, reverse=True) == expected


def test_taus_of_heavy_hadrons_belong_to_jets_and_those_of_bosons_to_none():
    """The latter are decayed afresh: nothing of them may be left over."""
    machine = event_record.pythia("ttbar", seed=9, extra=_CHANNELS["ttbar"])
    particles = event_record.flatten(machine.nextBatch(150))
    taus = _taus(particles)
    is_prompt, _ = event_record.prompt(particles, taus)
    final = particles.status > 0
    for tau in taus:
        product = final & event_record.descendants(particles, np.array([tau]))
        total = particles.momentum[:, product].sum(axis=1)
        assert total == pytest.approx(particles.momentum[:, tau], abs=2e-3 * total[3])
    from_boson = event_record.descendants(particles, taus[is_prompt])
    loose, every = hadronic_taus(particles, ~from_boson), hadronic_taus(particles)
    assert 0 < len(loose.pt) <= (~is_prompt).sum()
    assert len(loose.pt) < len(every.pt) <= len(taus)


def test_decays_remember_the_beam_as_the_fast_engine_says():
    """In Pythia a Z of large rapidity decays about the beam that it flies away from."""
    pythia8mc = pytest.importorskip("pythia8mc")
    machine = event_record.pythia(
        "ztautau", seed=8, extra=("PartonLevel:MPI = off", "HadronLevel:all = off")
    )
    assert isinstance(machine, pythia8mc.Pythia)
    signed = []
    for _ in range(12_000):
        machine.next()
        z = [k for k in range(machine.event.size()) if machine.event[k].id() == 23][-1]
        boson = machine.event[z]
        if not 30.0 < boson.pT() < 60.0 or not 0.8 < abs(boson.y()) < 3.0:
            continue
        tau = machine.event[boson.daughter1()]
        vector = [np.array([p.px(), p.py(), p.pz(), p.e()]) for p in (tau, boson)]
        beams = [np.array([0.0, 0.0, s * 6500.0, 6500.0]) for s in (1.0, -1.0)]
        flight, ahead, behind = (_at_rest(p, vector[1]) for p in (vector[0], *beams))
        axis = ahead if boson.y() < 0.0 else behind
        other = behind if boson.y() < 0.0 else ahead
        signed.append((flight @ axis) ** 2 - (flight @ other) ** 2)
    mean, error = np.mean(signed), np.std(signed) / np.sqrt(len(signed))
    assert mean > 2.0 * error


def _at_rest(p4, frame):
    mass = np.sqrt(frame[3] ** 2 - frame[:3] @ frame[:3])
    energy = (p4[3] * frame[3] - p4[:3] @ frame[:3]) / mass
    vector = p4[:3] - (energy + p4[3]) / (frame[3] + mass) * frame[:3]
    return vector / np.linalg.norm(vector)


def test_thinning_keeps_the_spectrum(monkeypatch):
    """Weighted thinned events agree with plain ones, and hold more of the rare ones."""
    thinned, tried = produce("ztautau", 600, seed=11)
    monkeypatch.setattr(thinning, "_signal_likeness", lambda event, process: 1.0)
    plain, plain_tried = produce("ztautau", 600, seed=12)
    assert tried > 3 * plain_tried
    samples = {"thinned": thinned, "plain": plain}
    # Events that the detector can not see are dropped, but only after the shower: a cut before it
    # would take a quarter of the hard ones, whose recoil moves them along the beam.
    central = {name: np.abs(sample["boson_y"][:, 0]) < 2.9 for name, sample in samples.items()}
    weight = thinned["weight"] * central["thinned"]
    share = weight.astype(float) / weight.sum()
    for threshold in (10.0, 25.0, 45.0):
        above = thinned["boson_pt"][:, 0] > threshold
        expected = (plain["boson_pt"][central["plain"], 0] > threshold).mean()
        weighted = share @ above
        error = np.hypot(
            np.sqrt(expected * (1 - expected) / central["plain"].sum()),
            np.sqrt(np.sum(share**2 * (above - weighted) ** 2)),
        )
        assert weighted == pytest.approx(expected, abs=4 * error)
    assert (thinned["boson_pt"][:, 0] > 60).mean() > 2 * (plain["boson_pt"][:, 0] > 60).mean()


# Branching ratios to charged leptons (Pythia's), and official cross-sections [pb] of each pair.
LEPTONIC = {24: 0.3244, 23: 0.1010}
PAIRS = {
    "diboson": {(23, 23): 7.192, (23, 24): 25.900, (24, 24): 59.810},
    "ttbar": {(24, 24): 470.4 + 68.04 + 0.36, (24,): 151.1 + 7.16},
}


@pytest.mark.parametrize("process", PAIRS)
def test_weights_keep_the_official_mixture_of_processes(process):
    """Whatever decays the production leaves away, and however many events it drops."""
    hook = thinning.make_hook(process, np.random.default_rng(3))
    machine = event_record.pythia(
        process,
        seed=4,
        extra=(*_CHANNELS[process], "PartonLevel:all = off", "HadronLevel:all = off"),
        hook=hook,
    )
    found = {pair: [] for pair in PAIRS[process]}
    for _ in range(2_500):
        hook.weights.clear()
        machine.next()
        event = machine.process
        bosons = [event[i].idAbs() for i in range(3, event.size()) if event[i].idAbs() in LEPTONIC]
        found[tuple(sorted(bosons))].append(sum(hook.weights.values()))
    total = sum(PAIRS[process].values())
    for pair, sigma in PAIRS[process].items():
        weights = np.array(found[pair]) / hook.tried
        expected = sigma / total * (1.0 - np.prod([1.0 - LEPTONIC[kind] for kind in pair]))
        error = np.sqrt(np.sum(weights**2))
        assert error < 0.12 * expected
        # A virtual photon in place of a Z has more decays into leptons.
        more = 0.2 * expected if pair == (23, 23) else 0.0
        assert weights.sum() == pytest.approx(expected, abs=4.0 * error + more)


def test_library_is_made_packed_and_amplified(tmp_path, monkeypatch):
    monkeypatch.setattr(make_library, "CHUNK", 120)
    monkeypatch.setattr(make_library, "TAU_POOL", 50)
    chunks, packed = tmp_path / "chunks", tmp_path / "packed"
    chunks.mkdir()
    for process in ("ztautau", "ttbar"):
        for chunk in (0, 1):
            assert make_library.make_chunk(process, chunk, 7, chunks) > 90
    number = make_library.pack_chunks(chunks, packed, seed=7)
    assert set(number) == {"ztautau", "ttbar"}
    assert len(load_library("ztautau", None, packed)) == number["ztautau"]


def test_library_is_not_mixed_with_chunks_of_another_production(tmp_path, monkeypatch):
    chunks = tmp_path / "chunks"
    monkeypatch.setattr(make_library, "SIZES", {"htautau": 120})
    monkeypatch.setattr(make_library, "CHUNK", 60)
    command = ["--output", str(chunks), "--workers", "1", "--seed"]
    make_library.main([*command, "3"])
    first = {path.name for path in chunks.glob("*.npz")}
    assert len(first) == 2
    (chunks / "htautau-0001.npz").unlink()
    make_library.main([*command, "3"])
    assert {path.name for path in chunks.glob("*.npz")} == first
    with pytest.raises(SettingsError, match=r"other settings \(seed 3, .*choose another"):
        make_library.main([*command, "4", "--pack", str(tmp_path / "packed")])
    monkeypatch.setattr("HiggsML.generator.unfinished.VERSION", "next")
    with pytest.raises(SettingsError, match=r"seed 3, .*version"):
        make_library.main([*command, "3"])
    (chunks / "run.json").unlink()  # as an older program left them
    with pytest.raises(SettingsError, match="unknown ones"):
        make_library.main([*command, "3"])


def test_pool_of_tau_decays_has_the_tau_mass():
    pool = make_hadronic_pool(300, seed=3)
    square = (pool.charged**2).sum(axis=1)
    charged = np.where(square > 0.0, np.sqrt(square + 0.13957**2), 0.0)
    energy = charged.sum(axis=0) + pool.others[3]
    energy += np.linalg.norm(pool.photon, axis=0) + np.linalg.norm(pool.neutral, axis=0)
    momentum = pool.charged.sum(axis=0) + pool.neutral + pool.photon + pool.others[:3]
    mass = np.sqrt(np.maximum(energy**2 - (momentum**2).sum(axis=0), 0.0))
    assert mass.max() < 1.777
    one_prong = (square[1] == 0.0) & (square[0] > 0.0)
    assert one_prong.mean() == pytest.approx(0.77, abs=0.1)  # 49.5 % of 64.8 %


def test_interrupted_rows_go_on_to_the_same_bytes(tmp_path):
    needed = {"htautau": 12}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    few = {"entropy": 3, "events_per_chunk": 60}
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
        rows.read_rows(whole, "htautau", 0, 12), rows.read_rows(parts, "htautau", 0, 12)
    )
    np.testing.assert_array_equal(
        rows.read_rows(whole, "htautau", 5, 6), rows.read_rows(whole, "htautau", 0, 12)[5:11]
    )


def test_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(event_record, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"needs the package pythia8mc: pip install"):
        rows.make_rows(tmp_path, {"htautau": 1}, entropy=1, workers=1, progress=print)
