import math

import numpy as np
import pandas as pd
import pytest
import vector

from HiggsML import derived_quantities
from HiggsML.derived_quantities import DER_data, calcul_int, f_del_DER
from HiggsML.errors import DataError
from HiggsML.physics import chunks
from HiggsML.physics.features import derive, primary_columns
from HiggsML.schema import DER_COLUMNS, MISSING, PRI_COLUMNS

TWO_JET_COLUMNS = (
    "DER_deltaeta_jet_jet",
    "DER_mass_jet_jet",
    "DER_prodeta_jet_jet",
    "DER_lep_eta_centrality",
)
# Rounding in float32, as a share of the squared energy from which a squared mass is computed.
MASS_NOISE = 2e-6


@pytest.fixture
def primaries(events):
    return events[list(PRI_COLUMNS)]


@pytest.fixture
def exact(primaries):
    """The same events in double precision."""
    return primaries.astype(np.float64)


def momentum(frame, name):
    return vector.arr(
        {
            "pt": frame[f"PRI_{name}_pt"].to_numpy(),
            "eta": frame[f"PRI_{name}_eta"].to_numpy(),
            "phi": frame[f"PRI_{name}_phi"].to_numpy(),
            "mass": np.zeros(len(frame)),
        }
    )


def test_two_body_masses_agree_with_the_library_vector(exact):
    derived = derive(primary_columns(exact))
    lep, had = momentum(exact, "lep"), momentum(exact, "had")
    np.testing.assert_allclose(derived["DER_mass_vis"], (lep + had).mass, rtol=1e-7)
    np.testing.assert_allclose(derived["DER_deltar_had_lep"], lep.deltaR(had), rtol=1e-9)
    two = exact["PRI_n_jets"].to_numpy() >= 2
    dijet = momentum(exact, "jet_leading") + momentum(exact, "jet_subleading")
    np.testing.assert_allclose(derived["DER_mass_jet_jet"][two], dijet.mass[two], rtol=1e-7)


def test_transverse_sums_agree_with_the_library_vector(exact):
    derived = derive(primary_columns(exact))
    met = vector.arr({"pt": exact["PRI_met"].to_numpy(), "phi": exact["PRI_met_phi"].to_numpy()})
    lep, had, first, second = (
        vector.arr({"pt": pt, "phi": exact[f"PRI_{name}_phi"].to_numpy()})
        for name, jets in (("lep", 0), ("had", 0), ("jet_leading", 1), ("jet_subleading", 2))
        for pt in [np.where(exact["PRI_n_jets"] >= jets, exact[f"PRI_{name}_pt"], 0.0)]
    )
    higgs = lep + had + met
    np.testing.assert_allclose(derived["DER_pt_h"], higgs.pt, rtol=1e-9)
    np.testing.assert_allclose(derived["DER_pt_tot"], (higgs + first + second).pt, rtol=1e-9)
    # m_T^2 = 2 pt_lep met (1 - cos), the same definition in another form.
    transverse = np.sqrt(2 * lep.pt * met.pt * (1 - np.cos(lep.phi - met.phi)))
    np.testing.assert_allclose(
        derived["DER_mass_transverse_met_lep"], transverse, rtol=1e-9, atol=1e-5
    )


def test_simple_sums_and_ratios(exact):
    derived = derive(primary_columns(exact))
    expected = exact["PRI_lep_pt"] + exact["PRI_had_pt"] + exact["PRI_jet_all_pt"]
    np.testing.assert_allclose(derived["DER_sum_pt"], expected)
    ratio = exact["PRI_lep_pt"] / exact["PRI_had_pt"]
    np.testing.assert_allclose(derived["DER_pt_ratio_lep_had"], ratio)


def test_quantities_of_two_jets_are_missing_without_them(primaries):
    derived = derive(primary_columns(primaries))
    few = primaries["PRI_n_jets"].to_numpy() < 2
    assert few.any()
    assert not few.all()
    for name in TWO_JET_COLUMNS:
        assert (derived[name][few] == MISSING).all()
        assert (derived[name][~few] != MISSING).all()


def one_event(**changes):
    event = {
        "PRI_lep_pt": 30,
        "PRI_lep_eta": 0.5,
        "PRI_lep_phi": 0.0,
        "PRI_had_pt": 40,
        "PRI_had_eta": 1.0,
        "PRI_had_phi": 2.0,
        "PRI_jet_leading_pt": 60,
        "PRI_jet_leading_eta": 1.5,
        "PRI_jet_leading_phi": 1.0,
        "PRI_jet_subleading_pt": 50,
        "PRI_jet_subleading_eta": -0.5,
        "PRI_jet_subleading_phi": -1.0,
        "PRI_n_jets": 2,
        "PRI_jet_all_pt": 110,
        "PRI_met": 20,
        "PRI_met_phi": 1.0,
    }
    frame = pd.DataFrame([event | changes], dtype=float)
    return {name: values[0] for name, values in derive(primary_columns(frame)).items()}


@pytest.mark.parametrize(
    ("met_phi", "expected"),
    [(1.0, math.sqrt(2)), (0.0, 1.0), (2.0, 1.0), (1.0 + math.pi, -math.sqrt(2))],
)
def test_met_phi_centrality_at_its_landmarks(met_phi, expected):
    """sqrt(2) midway between lepton and tau, 1 along either, -sqrt(2) opposite."""
    derived = one_event(PRI_met_phi=met_phi)
    assert derived["DER_met_phi_centrality"] == pytest.approx(expected)


def test_met_phi_centrality_with_lepton_and_tau_at_the_same_angle():
    """The lepton is turned by 1e-4; the missing momentum along both then lies along the tau."""
    assert one_event(PRI_had_phi=0.0)["DER_met_phi_centrality"] != MISSING
    aligned = one_event(PRI_had_phi=0.0, PRI_met_phi=0.0)
    assert aligned["DER_met_phi_centrality"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("lep_eta", "expected"), [(0.5, 1.0), (1.5, math.exp(-1)), (-0.5, math.exp(-1))]
)
def test_lep_eta_centrality_at_its_landmarks(lep_eta, expected):
    """1 midway between the jets, 1/e at a jet."""
    derived = one_event(PRI_lep_eta=lep_eta)
    assert derived["DER_lep_eta_centrality"] == pytest.approx(expected)


def test_lep_eta_centrality_with_both_jets_at_the_same_eta():
    assert one_event(PRI_jet_subleading_eta=1.5)["DER_lep_eta_centrality"] == pytest.approx(0)
    midway = one_event(PRI_jet_subleading_eta=1.5, PRI_lep_eta=1.5)
    assert midway["DER_lep_eta_centrality"] == 1


def test_lep_eta_centrality_has_no_denormal_numbers():
    """They slow arithmetic down by an order of magnitude, and mean nothing."""
    value = np.float32(
        one_event(PRI_jet_subleading_eta=1.4, PRI_lep_eta=-2.5)["DER_lep_eta_centrality"]
    )
    assert value >= np.finfo(np.float32).tiny


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_visible_mass_of_close_pairs_is_a_number(dtype):
    """Lepton and tau at almost the same place: rounding must not make the squared mass negative."""
    steps = np.arange(-60, 61) / 1000
    near = np.linspace(-1e-3, 1e-3, 121)
    gaps = np.array([(eta, phi) for eta in [*steps, *near] for phi in (0.0, 0.001, -0.002)])
    n = len(gaps)
    frame = pd.DataFrame(dict.fromkeys(PRI_COLUMNS, np.full(n, 30.0)))
    frame["PRI_n_jets"] = 0.0
    frame["PRI_lep_eta"], frame["PRI_lep_phi"] = 0.7, 0.3
    frame["PRI_had_eta"], frame["PRI_had_phi"] = 0.7 + gaps[:, 0], 0.3 + gaps[:, 1]
    mass = derive(primary_columns(frame.astype(dtype)))["DER_mass_vis"]
    exact = 30 * np.hypot(*gaps.T)
    assert np.isfinite(mass).all()
    noise = 8 * np.finfo(dtype).eps * (60 * np.cosh(0.8)) ** 2
    assert (np.abs(mass.astype(float) ** 2 - exact**2) < noise + 1e-3 * exact**2).all()


def test_mass_of_jets_in_one_place_or_of_a_removed_one_is_zero():
    together = {"PRI_jet_subleading_eta": 1.5, "PRI_jet_subleading_phi": 1.0}
    assert one_event(**together)["DER_mass_jet_jet"] == 0
    removed = dict.fromkeys((f"PRI_jet_subleading_{name}" for name in ("pt", "eta", "phi")), -25)
    assert one_event(**removed)["DER_mass_jet_jet"] == 0


def test_derive_keeps_precision_and_order(primaries, exact):
    for frame, dtype in ((primaries, np.float32), (exact, np.float64)):
        derived = derive(primary_columns(frame))
        assert tuple(derived) == DER_COLUMNS
        assert {values.dtype for values in derived.values()} == {np.dtype(dtype)}


def test_derive_reads_only(primaries):
    columns = primary_columns(primaries)
    for column in columns.values():
        column.flags.writeable = False
    before = {name: column.copy() for name, column in columns.items()}
    derive(columns)
    for name, column in columns.items():
        np.testing.assert_array_equal(column, before[name])


def test_der_data_changes_the_frame_it_is_given(primaries):
    frame = primaries.astype(np.float64)
    frame["other"] = 1.0
    frame["count"] = 3
    result = DER_data(frame)
    assert result is frame
    assert list(frame.columns) == [*PRI_COLUMNS, "other", "count", *DER_COLUMNS]
    assert (frame.dtypes.drop("count") == np.float32).all()
    assert frame["count"].dtype == np.int64


def test_der_data_does_not_depend_on_chunks(monkeypatch, primaries):
    whole = DER_data(primaries.copy())
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 7)
    pd.testing.assert_frame_equal(DER_data(primaries.copy()), whole)


def test_der_data_of_no_events(primaries):
    assert DER_data(primaries.iloc[:0].copy()).shape == (0, 28)


def test_der_data_accepts_any_index_and_integer_jets(primaries):
    odd = primaries.copy()
    odd.index = np.zeros(len(odd), dtype=int)
    odd["PRI_n_jets"] = odd["PRI_n_jets"].astype(int)
    whole = DER_data(primaries.copy())
    result = DER_data(odd)
    np.testing.assert_array_equal(result[list(DER_COLUMNS)], whole[list(DER_COLUMNS)])


def test_missing_columns_are_named(primaries):
    with pytest.raises(DataError, match="lacks PRI_had_pt, PRI_met: all sixteen"):
        DER_data(primaries.drop(columns=["PRI_met", "PRI_had_pt"]))


def test_text_columns_are_named(primaries):
    with pytest.raises(DataError, match="column PRI_met must be numeric, not"):
        DER_data(primaries.assign(PRI_met="much"))


def test_momenta_come_and_go_in_place(primaries):
    frame = primaries.copy()
    assert calcul_int(frame) is frame
    assert len(frame.columns) == 16 + 18
    assert f_del_DER(frame) is frame
    pd.testing.assert_frame_equal(frame, primaries)


@pytest.mark.parametrize("name", DER_COLUMNS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_on_frames_add_their_column_in_place(primaries, name, dtype):
    """It is the very column that is judged."""
    frame = calcul_int(primaries.astype(dtype))
    before = frame.copy()
    assert getattr(derived_quantities, f"f_{name}")(frame) is frame
    if dtype == np.float32:
        np.testing.assert_array_equal(frame[name], DER_data(primaries.copy())[name])
    expected = derive(primary_columns(before))[name]
    np.testing.assert_array_equal(frame.pop(name), expected)
    pd.testing.assert_frame_equal(frame, before)


# ----------------------------------------------------------------------------------------------
# Golden values, see tests/golden/README.md
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*(f"f_{name}" for name in DER_COLUMNS), "calcul_int", "DER_data"])
def test_golden_values_in_double_precision(make_golden, golden, golden_events, name):
    ours = make_golden.event_values(golden_events, grid=[(1.0, 1.0, 0.0)])[name]
    # DER_data ends in float32, the functions keep the precision of their input.
    tolerance = 2e-7 if name == "DER_data" else 1e-12
    np.testing.assert_allclose(ours, golden[f"f8/{name}"], rtol=tolerance, atol=1e-9)


def test_golden_values_in_single_precision(make_golden, golden, golden_events):
    """Masses agree to the rounding of the squared energies that they are the difference of."""
    frame = make_golden.as_float32(golden_events)
    ours = make_golden.event_values(frame, grid=[(1.0, 1.0, 0.0)])
    wide = calcul_int(golden_events.copy())
    energy = {
        "DER_mass_transverse_met_lep": wide["PRI_met"] + wide["PRI_lep_pt"],
        "DER_mass_vis": wide["p_lep"] + wide["p_had"],
        "DER_mass_jet_jet": wide["p_jet_leading"] + wide["p_jet_subleading"],
    }
    reference = dict(zip(DER_COLUMNS, golden["f4/DER_data"], strict=True))
    for name, mine in zip(DER_COLUMNS, ours["DER_data"], strict=True):
        for values, golden_values in (
            (mine, reference[name]),
            (ours[f"f_{name}"], golden[f"f4/f_{name}"]),
        ):
            if name in energy:
                gap = np.abs(values.astype(float) ** 2 - golden_values.astype(float) ** 2)
                close = np.abs(values - golden_values) <= 1e-5 * golden_values
                assert (close | (gap <= MASS_NOISE * energy[name] ** 2)).all(), name
            else:
                np.testing.assert_allclose(
                    values, golden_values, rtol=1e-5, atol=1e-5, err_msg=name
                )
