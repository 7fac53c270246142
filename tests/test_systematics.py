import copy
import math

import numpy as np
import pandas as pd
import pytest

from HiggsML.derived_quantities import DER_data
from HiggsML.errors import DataError, SettingsError
from HiggsML.physics import chunks
from HiggsML.physics.shifts import rate_factors
from HiggsML.schema import (
    DER_COLUMNS,
    FEATURES,
    MISSING,
    NUISANCES,
    PRI_COLUMNS,
    PROCESSES,
)
from HiggsML.systematics import (
    all_bkg_weight_norm,
    diboson_bkg_weight_norm,
    generate_pseudo_exp_data,
    get_bootstrapped_dataset,
    get_systematics_dataset,
    mom4_manipulate,
    postprocess,
    systematics,
    ttbar_bkg_weight_norm,
)

SCALES = {"ttbar_scale": 0.5, "diboson_scale": 3.0, "bkg_scale": 1.25}
ALL = dict.fromkeys(NUISANCES, True)


def weight_sums(frame):
    return frame["weights"].astype(float).groupby(frame["detailed_labels"]).sum()


# ----------------------------------------------------------------------------------------------
# Rates
# ----------------------------------------------------------------------------------------------


def test_defect_1_scale_factors_act_on_the_weights(events):
    before = weight_sums(systematics(events))
    after = weight_sums(systematics(events, **SCALES))
    expected = {"ttbar": 0.5 * 1.25, "diboson": 3.0 * 1.25, "ztautau": 1.25, "htautau": 1.0}
    for process, factor in expected.items():
        assert after[process] == pytest.approx(factor * before[process], rel=1e-6)


@pytest.mark.parametrize("name", SCALES)
def test_defect_1_each_scale_factor_alone_in_the_dict_form(events, name):
    data_set = {
        "data": events[list(PRI_COLUMNS)],
        "weights": events["weights"].to_numpy(),
        "detailed_labels": events["detailed_labels"].to_numpy(),
    }
    plain = systematics(data_set)
    scaled = systematics(data_set, **{name: 2.0})
    affected = {
        "ttbar_scale": {"ttbar"},
        "diboson_scale": {"diboson"},
        "bkg_scale": {"ttbar", "diboson", "ztautau"},
    }[name]
    factor = np.where(np.isin(scaled["detailed_labels"], list(affected)), 2.0, 1.0)
    np.testing.assert_allclose(scaled["weights"], plain["weights"] * factor, rtol=1e-6)


@pytest.mark.parametrize("others", [{}, {"ttbar_scale": 1.5}, {"diboson_scale": 0.5}])
def test_defect_6_bkg_scale_applies_to_every_background(events, others):
    with_it = weight_sums(systematics(events, bkg_scale=1.25, **others))
    without = weight_sums(systematics(events, **others))
    for process in PROCESSES:
        factor = 1.0 if process == "htautau" else 1.25
        assert with_it[process] == pytest.approx(factor * without[process], rel=1e-6)
    factors = rate_factors(bkg_scale=1.25)
    assert factors == {"ztautau": 1.25, "diboson": 1.25, "ttbar": 1.25, "htautau": 1.0}


def test_defect_6_bkg_scale_in_a_bootstrap():
    """One event of weight 1000 per process: the counts show the factor (4 standard deviations)."""
    one = pd.DataFrame({"PRI_met": [1.0], "weights": [1000.0]})
    frames = {name: one.assign(PRI_met=float(k)) for k, name in enumerate(PROCESSES)}
    drawn = get_bootstrapped_dataset(frames, bkg_scale=2.0, seed=1)
    counts = drawn["PRI_met"].value_counts()
    for k, name in enumerate(PROCESSES):
        expected = 1000.0 if name == "htautau" else 2000.0
        assert abs(counts[float(k)] - expected) < 4 * math.sqrt(expected)


def test_bkg_scale_needs_labels_only(events):
    labeled = events.drop(columns="detailed_labels")
    scaled = systematics(labeled, bkg_scale=2.0)
    plain = systematics(labeled)
    factor = np.where(plain["labels"] == 0, 2.0, 1.0)
    np.testing.assert_allclose(scaled["weights"], plain["weights"] * factor, rtol=1e-6)


@pytest.mark.parametrize("form", ["frame", "dict"])
def test_scale_factors_without_the_process_warn_and_leave_the_weights(events, form):
    """As in the reference, where a participant's events have no labels either."""
    bare = events.drop(columns=["detailed_labels", "labels"])
    if form == "dict":
        bare = {"data": bare.drop(columns="weights"), "weights": bare["weights"]}
    plain = systematics(bare, ttbar_scale=1.0, diboson_scale=np.ones(1), bkg_scale=1.0)
    with pytest.warns(UserWarning, match=r"ttbar_scale and bkg_scale need.*weights stay as they"):
        result = systematics(bare, ttbar_scale=2.0, bkg_scale=1.1)
    pd.testing.assert_series_equal(result["weights"], plain["weights"])


def test_scale_factors_with_unknown_processes_are_refused(events):
    events.loc[3, "detailed_labels"] = "wjets"
    with pytest.raises(DataError, match=r"unknown process \['wjets'\]"):
        systematics(events, bkg_scale=1.1, dopostprocess=False)


def test_scale_factors_make_weights_where_there_are_none(events):
    scaled = systematics(events.drop(columns="weights"), ttbar_scale=2.0)
    assert set(scaled.loc[scaled["detailed_labels"] == "ttbar", "weights"]) == {2.0}
    assert set(scaled.loc[scaled["detailed_labels"] != "ttbar", "weights"]) == {1.0}


@pytest.mark.parametrize(
    ("function", "labels", "hit"),
    [
        (ttbar_bkg_weight_norm, ["ttbar", "diboson", "htautau", "ttbar"], [0, 3]),
        (diboson_bkg_weight_norm, ["ttbar", "diboson", "htautau", "ttbar"], [1]),
        (all_bkg_weight_norm, [0, 0, 1, 0], [0, 1, 3]),
    ],
)
@pytest.mark.parametrize("kind", [np.array, pd.Series, list])
def test_weight_functions_return_new_weights(function, labels, hit, kind):
    weights = kind([1.0, 2.0, 3.0, 4.0])
    before = copy.deepcopy(weights)
    if isinstance(weights, np.ndarray):
        weights.flags.writeable = False
    result = function(weights, np.array(labels), 10)
    expected = np.array([1.0, 2.0, 3.0, 4.0])
    expected[hit] *= 10
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(weights, before)


def test_weight_functions_refuse_labels_of_another_length():
    with pytest.raises(DataError, match="4 weights do not fit 2 labels"):
        ttbar_bkg_weight_norm(np.ones(4), np.array(["ttbar", "ttbar"]), 2.0)


# ----------------------------------------------------------------------------------------------
# Shifts
# ----------------------------------------------------------------------------------------------


def test_visible_momentum_gained_is_missing_momentum_lost(events):
    """What tau and the two jets gain is taken from the missing momentum, up to the rounding."""
    exact = events.astype(dict.fromkeys(PRI_COLUMNS, np.float64))
    shifted = mom4_manipulate(exact, 1.05, 0.93, 0.0)

    def visible(frame):
        total = np.zeros(len(frame), dtype=complex)
        for name, jets in (("had", 0), ("jet_leading", 1), ("jet_subleading", 2), ("met", 0)):
            pt = frame["PRI_met" if name == "met" else f"PRI_{name}_pt"]
            total += pt * np.exp(1j * frame[f"PRI_{name}_phi"]) * (frame["PRI_n_jets"] >= jets)
        return total

    # Half a step for each of the momenta, and half a step of phi at the size of the momentum.
    allowed = 0.0025 + 0.0006 * shifted["PRI_met"]
    assert (np.abs(visible(shifted) - visible(exact)) < allowed).all()
    np.testing.assert_allclose(shifted["PRI_had_pt"], exact["PRI_had_pt"] * 1.05, atol=6e-4)
    np.testing.assert_allclose(shifted["PRI_jet_all_pt"], exact["PRI_jet_all_pt"] * 0.93, atol=6e-4)


def test_missing_jets_stay_missing(events):
    shifted = mom4_manipulate(events, 1.0, 1.1, 0.0)
    assert (shifted.loc[events["PRI_n_jets"] < 1, "PRI_jet_leading_pt"] == MISSING).all()
    assert (shifted.loc[events["PRI_n_jets"] < 2, "PRI_jet_subleading_pt"] == MISSING).all()


@pytest.mark.parametrize(
    "shift", [{"tes": 1.01, "jes": 0.97}, {"jes": 1.02, "dopostprocess": False}]
)
def test_jets_may_be_missing_as_nan(events, shift):
    """As with the reference 0.1.5, which gave the same: cuts and MET do not see them."""
    jets = [
        f"PRI_jet_{jet}_{part}"
        for jet in ("leading", "subleading")
        for part in ("pt", "eta", "phi")
    ]
    second = [
        "DER_deltaeta_jet_jet",
        "DER_mass_jet_jet",
        "DER_prodeta_jet_jet",
        "DER_lep_eta_centrality",
    ]
    cleaned = events.assign(**{name: events[name].replace(-25, np.nan) for name in jets})
    marked, unmarked = (
        systematics(frame.assign(row=np.arange(len(events))), **shift)
        for frame in (cleaned, events)
    )
    assert marked["row"].equals(unmarked["row"])
    others = [name for name in marked if name not in (*jets, *second, "DER_pt_tot")]
    pd.testing.assert_frame_equal(marked[others], unmarked[others])
    none = events["PRI_n_jets"].to_numpy()[marked["row"]] == 0
    one = events["PRI_n_jets"].to_numpy()[marked["row"]] <= 1
    for name in (*jets[:3], "DER_pt_tot"):
        assert (marked[name].isna() == (one if name == "DER_pt_tot" else none)).all(), name
    for name in (*jets[3:], *second):
        assert (marked[name].isna() == one).all(), name
        assert marked[name][~one].equals(unmarked[name][~one])


def test_soft_met_has_the_width_that_it_says(make_events):
    n, width = 20_000, 3.0
    events = make_events(n).astype(dict.fromkeys(PRI_COLUMNS, np.float64))
    events["PRI_met"], events["PRI_met_phi"] = 1000.0, 0.5
    shifted = mom4_manipulate(events, 1.0, 1.0, width, seed=3)
    noise = shifted["PRI_met"] * np.exp(1j * shifted["PRI_met_phi"]) - 1000 * np.exp(0.5j)
    for component in (noise.to_numpy().real, noise.to_numpy().imag):
        # Standard errors of a mean and of a standard deviation; the rounding of phi to 0.001
        # at 1000 GeV adds 1000 * 0.001 / sqrt(12) in quadrature.
        expected = math.hypot(width, 1 / math.sqrt(12))
        assert abs(component.mean()) < 4 * expected / math.sqrt(n) + 1e-3
        assert abs(component.std() - width) < 4 * expected / math.sqrt(2 * n) + expected - width


def test_an_integer_seed_gives_the_same_noise_and_a_generator_new_noise(events):
    rng = np.random.default_rng(1)
    first, again, other = (mom4_manipulate(events, 1, 1, 2.0, seed=seed) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(first, again)
    assert (first["PRI_met"] != other["PRI_met"]).mean() > 0.9
    one, two = (mom4_manipulate(events, 1, 1, 2.0, seed=rng) for _ in range(2))
    assert (one["PRI_met"] != two["PRI_met"]).mean() > 0.9


def test_global_random_state_is_left_alone(events):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    systematics(events, soft_met=1.0)
    get_bootstrapped_dataset({"ttbar": events}, seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        ({"tes": 0.0}, "tes must be a positive factor, got 0"),
        ({"tes": math.nan}, "tes must be a positive factor, got nan"),
        ({"jes": -1.0}, "jes must be a positive factor, got -1"),
        ({"jes": math.inf}, "jes must be a positive factor, got inf"),
        ({"soft_met": -math.inf}, "soft_met must be a finite width in GeV, got -inf"),
        ({"soft_met": math.nan}, "soft_met must be a finite width in GeV, got nan"),
        ({"tes": np.ones(2)}, r"tes must be one number, got array\(\[1., 1.\]\)"),
        ({"jes": "1.01"}, "jes must be one number, got '1.01'"),
        ({"soft_met": 1.0, "seed": -1}, "seed must be an integer in 0 .. 2.*got -1"),
        ({"soft_met": 1.0, "seed": 1.5}, "seed must be an integer in 0 .. 2.*got 1.5"),
        ({"soft_met": 1.0, "seed": "x"}, "seed must be an integer in 0 .. 2.*got 'x'"),
    ],
)
def test_impossible_shifts_are_refused(events, shift, message):
    with pytest.raises(SettingsError, match=message):
        systematics(events, **shift)


def test_numpy_scalars_do_not_change_the_precision(events):
    shifted = mom4_manipulate(events, np.float64(1.02), np.float64(0.98), np.float64(0))
    assert (shifted[list(PRI_COLUMNS)].dtypes == np.float32).all()
    pd.testing.assert_frame_equal(shifted, mom4_manipulate(events, 1.02, 0.98, 0))


@pytest.mark.parametrize("wrap", [np.float32, lambda value: np.array([value]), np.array])
def test_shifts_and_factors_of_every_numeric_kind(events, wrap):
    plain = {"tes": 1.25, "jes": 0.75, "soft_met": 2.0, "ttbar_scale": 0.5, "seed": 3}
    wrapped = {**{name: wrap(value) for name, value in plain.items()}, "seed": np.int64(3)}
    pd.testing.assert_frame_equal(systematics(events, **wrapped), systematics(events, **plain))


def test_a_negative_width_of_soft_met_means_none(events):
    pd.testing.assert_frame_equal(systematics(events, soft_met=-0.5), systematics(events))


# ----------------------------------------------------------------------------------------------
# Cuts
# ----------------------------------------------------------------------------------------------


def jets_event(leading, subleading, n_jets, jet_all_pt, **changes):
    event = {
        "PRI_lep_pt": 30,
        "PRI_lep_eta": 0.5,
        "PRI_lep_phi": 0.0,
        "PRI_had_pt": 40,
        "PRI_had_eta": 1.0,
        "PRI_had_phi": 2.0,
        "PRI_jet_leading_pt": leading,
        "PRI_jet_leading_eta": 1.5,
        "PRI_jet_leading_phi": 1.0,
        "PRI_jet_subleading_pt": subleading,
        "PRI_jet_subleading_eta": -0.5,
        "PRI_jet_subleading_phi": -1.0,
        "PRI_n_jets": n_jets,
        "PRI_jet_all_pt": jet_all_pt,
        "PRI_met": 20,
        "PRI_met_phi": 1.0,
    }
    return pd.DataFrame([event | changes], dtype=float)


def jets_after(frame, **options):
    row = postprocess(frame, **options).iloc[0]
    names = ("PRI_jet_leading_pt", "PRI_jet_subleading_pt", "PRI_n_jets", "PRI_jet_all_pt")
    return tuple(float(row[name]) for name in names)


def test_defect_7_official_jet_counting_is_the_default():
    """Three jets, the second soft: two are still counted, so di-jet quantities come from -25."""
    three = jets_event(60, 25, 3, 108)
    assert jets_after(three) == (60, MISSING, 2, 83)
    shifted = systematics(three)
    assert shifted["DER_deltaeta_jet_jet"].iloc[0] == pytest.approx(26.5)
    assert shifted["DER_prodeta_jet_jet"].iloc[0] == pytest.approx(-37.5)
    assert jets_after(jets_event(25.5, 24, 3, 72)) == (MISSING, MISSING, 1, 22.5)


def test_defect_7_corrected_jet_counting():
    """Jets are ordered by pt, so after a soft one only softer ones follow."""
    three = jets_event(60, 25, 3, 108)
    assert jets_after(three, corrected=True) == (60, MISSING, 1, 60)
    shifted = systematics(three, corrected=True)
    for name in ("deltaeta_jet_jet", "mass_jet_jet", "prodeta_jet_jet", "lep_eta_centrality"):
        assert shifted[f"DER_{name}"].iloc[0] == MISSING
    assert jets_after(jets_event(25.5, 24, 3, 72), corrected=True) == (MISSING, MISSING, 0, 0)


@pytest.mark.parametrize("corrected", [False, True])
def test_both_countings_agree_where_no_third_jet_is_involved(corrected):
    two = jets_event(60, 25, 2, 85)
    assert jets_after(two, corrected=corrected) == (60, MISSING, 1, 60)
    hard = jets_event(60, 27, 4, 140)
    assert jets_after(hard, corrected=corrected) == (60, 27, 4, 140)


@pytest.mark.parametrize(
    ("pt", "kept"), [(26.001, True), (26.0, False), (25.999, False), (0.0, False)]
)
def test_a_jet_at_its_threshold_is_removed(pt, kept):
    expected = (60, pt, 2, 60 + pt) if kept else (60, MISSING, 1, 60)
    assert jets_after(jets_event(60, pt, 2, 60 + pt)) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "threshold"), [("PRI_had_pt", 26.0), ("PRI_lep_pt", 20.0)])
def test_a_lepton_or_tau_at_its_threshold_is_kept(name, threshold):
    assert len(postprocess(jets_event(60, 40, 2, 100, **{name: threshold}))) == 1
    assert len(postprocess(jets_event(60, 40, 2, 100, **{name: threshold - 0.001}))) == 0


def test_the_index_counts_the_taus_that_pass_and_other_columns_stay(events):
    """As in the reference: fresh after the tau cut, with gaps where a lepton fails."""
    events.index = np.arange(len(events)) % 3  # labels that repeat
    events.loc[2, "PRI_lep_pt"] = 10.0
    cut = postprocess(events)
    tau = (events["PRI_had_pt"] >= 26).to_numpy()
    lepton = (events["PRI_lep_pt"] >= 20).to_numpy()[tau]
    assert 0 < len(cut) < tau.sum()
    assert list(cut.index) == list(np.flatnonzero(lepton))
    pd.testing.assert_index_equal(systematics(events).index, cut.index, exact=False)
    assert list(cut.columns) == list(events.columns)
    keep = ((events["PRI_had_pt"] >= 26) & (events["PRI_lep_pt"] >= 20)).to_numpy()
    np.testing.assert_array_equal(cut["weights"], events["weights"].to_numpy()[keep])


# ----------------------------------------------------------------------------------------------
# systematics()
# ----------------------------------------------------------------------------------------------

SHIFT = {"tes": 0.97, "jes": 1.04, "soft_met": 2.0, "seed": 9}


def test_systematics_is_shift_then_cut_then_derive(events):
    expected = DER_data(postprocess(mom4_manipulate(events, 0.97, 1.04, 2.0, seed=9)))
    pd.testing.assert_frame_equal(systematics(events, **SHIFT), expected)
    uncut = DER_data(mom4_manipulate(events, 0.97, 1.04, 2.0, seed=9))
    pd.testing.assert_frame_equal(systematics(events, **SHIFT, dopostprocess=False), uncut)


def test_systematics_does_not_depend_on_chunks(monkeypatch, events):
    whole = systematics(events, **SHIFT)
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 7)
    pd.testing.assert_frame_equal(systematics(events, **SHIFT), whole)


def test_dict_form_returns_a_dict(events):
    settings = {"mu": 1.5}
    data_set = {
        "data": events[list(PRI_COLUMNS)],
        "weights": events["weights"].to_numpy(),
        "labels": events["labels"],
        "detailed_labels": list(events["detailed_labels"]),
        "settings": settings,
    }
    result = systematics(data_set, **SHIFT)
    assert set(result) == set(data_set)
    assert result["settings"] is settings
    frame = systematics(events, **SHIFT)
    assert list(result["data"].columns) == list(FEATURES)
    pd.testing.assert_frame_equal(result["data"], frame[list(FEATURES)])
    for key in ("weights", "labels", "detailed_labels"):
        assert list(result[key]) == list(frame[key])


@pytest.fixture
def labeled(events):
    """Events with labels of their own, as a user's selection leaves them."""
    return events.set_axis(np.random.default_rng(3).permutation(len(events)) * 7 + 5)


def test_without_cuts_the_index_stays(labeled):
    """Rows that are mixed with the original by label must be those of the same events."""
    shifted = systematics(labeled.assign(number=1), tes=1.02, dopostprocess=False)
    pd.testing.assert_index_equal(shifted.index, labeled.index)
    np.testing.assert_allclose(shifted["PRI_had_pt"] / labeled["PRI_had_pt"], 1.02, rtol=1e-4)
    pd.testing.assert_series_equal(shifted["weights"], labeled["weights"])
    data = labeled[list(PRI_COLUMNS)]
    parts = {"data": data, "weights": labeled["weights"].to_numpy(), "number": [1] * len(data)}
    result = systematics(parts, tes=1.02, dopostprocess=False)
    for key in parts:
        pd.testing.assert_index_equal(result[key].index, labeled.index)


def test_a_series_in_a_dict_is_matched_by_its_index(labeled):
    data, weights = labeled[list(PRI_COLUMNS)], labeled["weights"]
    shuffled = weights.sample(frac=1, random_state=1)
    one, other = (
        systematics({"data": data, "weights": values}, tes=0.98) for values in (weights, shuffled)
    )
    pd.testing.assert_series_equal(one["weights"], other["weights"])
    with pytest.raises(DataError, match="index of 'weights' is not that of 'data'"):
        systematics({"data": data, "weights": weights.reset_index(drop=True)})
    with pytest.raises(DataError, match="'weights' has 3 values for 200 events"):
        systematics({"data": data, "weights": np.ones(3)})


def test_values_of_a_dict_keep_their_types(events):
    parts = {"data": events[list(PRI_COLUMNS)], "weights": np.full(len(events), 0.1)}
    parts |= {"detailed_labels": events["detailed_labels"], "number": np.arange(len(events))}
    result = systematics(parts, ttbar_scale=1.5)
    assert result["weights"].dtype == np.float64
    assert set(result["weights"]) == {0.1, 0.1 * 1.5}
    assert result["number"].dtype == np.int64
    bare = get_systematics_dataset(events[list(PRI_COLUMNS)])["weights"]
    assert isinstance(bare, pd.Series)
    assert bare.dtype == np.float64


def test_selected_columns_have_no_negative_strides(events):
    """``torch.tensor`` refuses them; pandas makes them of a block of columns."""
    for frame in (systematics(events), get_systematics_dataset(events)["data"]):
        for names in (["PRI_met", "PRI_had_pt"], list(FEATURES[::-1]), ["DER_pt_h", "PRI_met"]):
            assert min(frame[names].to_numpy().strides) > 0


def test_float64_columns_become_float32_and_others_stay(events):
    wide = events.astype(dict.fromkeys([*PRI_COLUMNS, "weights", "labels"], np.float64))
    wide["PRI_n_jets"] = wide["PRI_n_jets"].astype(np.int64)
    wide["number"] = np.arange(len(wide))
    result = systematics(wide)
    kinds = result.dtypes.to_dict()
    assert kinds.pop("PRI_n_jets") == np.int64
    assert kinds.pop("number") == np.int64
    assert kinds.pop("detailed_labels") == wide["detailed_labels"].dtype
    assert set(kinds.values()) == {np.dtype(np.float32)}


def test_column_order_is_kept_and_derived_quantities_follow(events):
    shuffled = events[list(events.columns[::-1])]
    assert list(systematics(shuffled).columns) == [*shuffled.columns, *DER_COLUMNS]
    complete = DER_data(events.copy())
    assert list(systematics(complete).columns) == list(complete.columns)


def test_old_derived_quantities_are_replaced(events):
    stale = DER_data(events.copy()).assign(DER_mass_vis=-1.0)
    pd.testing.assert_frame_equal(
        systematics(stale, **SHIFT), systematics(events, **SHIFT)[list(stale.columns)]
    )


def test_no_events_in_no_events_out(events):
    assert systematics(events.iloc[:0]).shape == (0, 31)
    assert systematics(events.assign(PRI_had_pt=np.float32(10)), **SHIFT).shape == (0, 31)


@pytest.mark.parametrize(
    ("data_set", "message"),
    [
        ({"weights": [1.0]}, r"must contain \['data'\]"),
        ({"data": pd.DataFrame()}, r"must contain \['weights'\]"),
        ([1, 2], "must be a DataFrame or a dict, not list"),
        (None, "must be a DataFrame or a dict, not NoneType"),
        (pd.DataFrame({"PRI_met": [1.0]}), "lacks PRI_lep_pt"),
    ],
)
def test_wrong_input_is_refused(data_set, message):
    with pytest.raises(DataError, match=message):
        systematics(data_set)


def readonly(frame):
    """The same frame on arrays that refuse to be written to."""
    block = frame.to_numpy().copy()
    block.flags.writeable = False
    return pd.DataFrame(block, columns=frame.columns, copy=False)


@pytest.mark.parametrize("make", [lambda frame: frame, readonly], ids=["frame", "read-only"])
def test_no_argument_is_modified(events, make):
    data = make(events[list(PRI_COLUMNS)])
    full = events.copy()
    weights = np.ones(len(events), np.float32)
    weights.flags.writeable = False
    data_set = {
        "data": data,
        "weights": weights,
        "detailed_labels": events["detailed_labels"].to_numpy(),
        "settings": {"mu": 1.0},
    }
    before = copy.deepcopy((data, full, data_set))
    systematics(data_set, **SHIFT, **SCALES)
    systematics(full, **SHIFT, **SCALES)
    systematics(data, **SHIFT, dopostprocess=False)
    mom4_manipulate(data, 1.1, 0.9, 3.0)
    postprocess(data)
    get_systematics_dataset(data, **SHIFT)
    by_process = {name: full.drop(columns=["labels", "detailed_labels"]) for name in PROCESSES}
    by_process_before = copy.deepcopy(by_process)
    get_bootstrapped_dataset(by_process, mu=2.0)
    generate_pseudo_exp_data(by_process, dict_systematics=ALL)
    pd.testing.assert_frame_equal(data, before[0])
    pd.testing.assert_frame_equal(full, before[1])
    assert data_set.keys() == before[2].keys()
    assert data_set["settings"] == before[2]["settings"]
    np.testing.assert_array_equal(data_set["weights"], before[2]["weights"])
    np.testing.assert_array_equal(data_set["detailed_labels"], before[2]["detailed_labels"])
    for name in PROCESSES:
        pd.testing.assert_frame_equal(by_process[name], by_process_before[name])


def test_results_do_not_share_memory_with_the_input(events):
    before = events.copy()
    for result in (systematics(events, dopostprocess=False), mom4_manipulate(events, 1, 1, 0)):
        for name in result.columns.drop("detailed_labels"):
            result.loc[:, name] = 0
    pd.testing.assert_frame_equal(events, before)


# ----------------------------------------------------------------------------------------------
# Nuisance draws and pseudo-experiments from frames
# ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def test_set(make_events):
    frame = make_events(400, seed=5)
    return {
        name: frame[frame["detailed_labels"] == name].drop(columns=["detailed_labels", "labels"])
        for name in PROCESSES
    }


def test_bootstrap_counts_are_poisson(test_set):
    """Mean and variance of the number of events of each process over 200 draws."""
    n, mu = 200, 2.0
    code_of = pd.Series(
        {eta: k for k, name in enumerate(PROCESSES) for eta in test_set[name]["PRI_lep_eta"]}
    )
    counts = np.zeros((n, len(PROCESSES)))
    rng = np.random.default_rng(2)
    for k in range(n):
        drawn = get_bootstrapped_dataset(test_set, mu=mu, ttbar_scale=0.5, seed=rng)
        counts[k] = np.bincount(code_of.loc[drawn["PRI_lep_eta"]], minlength=len(PROCESSES))
    counts = dict(zip(PROCESSES, counts.T, strict=True))
    factors = {"htautau": mu, "ttbar": 0.5}
    for name, frame in test_set.items():
        expected = float(frame["weights"].sum()) * factors.get(name, 1.0)
        assert abs(counts[name].mean() - expected) < 4 * math.sqrt(expected / n)
        # A Poisson variable of mean m has fourth central moment m + 3 m^2.
        spread = math.sqrt((expected + 2 * expected**2) / n)
        assert abs(counts[name].var() - expected) < 4 * spread


def test_bootstrap_drops_weights_and_shuffles(test_set):
    drawn = get_bootstrapped_dataset(test_set, seed=1)
    assert list(drawn.columns) == list(PRI_COLUMNS)
    assert list(drawn.index) == list(range(len(drawn)))
    first = set(test_set["ztautau"]["PRI_lep_eta"])
    inside = drawn["PRI_lep_eta"].isin(first).to_numpy()
    # Runs of one process are as short as in a random order.
    switches = (inside[1:] != inside[:-1]).mean()
    share = inside.mean()
    assert switches == pytest.approx(2 * share * (1 - share), abs=0.1)


def test_bootstrap_without_poisson_repeats_by_whole_weights():
    frames = {"ttbar": pd.DataFrame({"PRI_met": [1.0, 2.0, 3.0], "weights": [0.9, 1.0, 2.6]})}
    drawn = get_bootstrapped_dataset(frames, poisson=False, ttbar_scale=2.0)
    assert sorted(drawn["PRI_met"]) == [1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0]


def test_bootstrap_without_poisson_warns_where_every_weight_is_below_one():
    frames = {"ttbar": pd.DataFrame({"PRI_met": [1.0, 2.0], "weights": [0.9, 0.4]})}
    with pytest.warns(UserWarning, match="no event weighs 1 or more.*use poisson=True"):
        assert len(get_bootstrapped_dataset(frames, poisson=False)) == 0


def test_bootstrap_of_nothing(test_set):
    none = {name: frame.iloc[:0] for name, frame in test_set.items()}
    assert len(get_bootstrapped_dataset(none)) == 0
    assert len(get_bootstrapped_dataset({"htautau": test_set["htautau"]}, mu=0.0)) == 0


def test_bootstrap_names_an_unknown_process(test_set):
    with pytest.raises(DataError, match="unknown process 'wjets' in the test set"):
        get_bootstrapped_dataset({"wjets": test_set["ttbar"]})


def test_get_systematics_dataset_is_what_predict_is_given(test_set):
    result = get_systematics_dataset(test_set["htautau"].drop(columns="weights"), **SHIFT)
    assert set(result) == {"data", "weights"}
    assert list(result["data"].columns) == list(FEATURES)
    assert (result["data"].dtypes == np.float32).all()
    assert set(result["weights"]) == {1.0}
    assert len(result["weights"]) == len(result["data"])


def test_pseudo_experiment_from_frames_is_reproducible(test_set):
    one, again, other = (
        generate_pseudo_exp_data(test_set, 1.5, ALL, seed=seed) for seed in (4, 4, 5)
    )
    pd.testing.assert_frame_equal(one["data"], again["data"])
    assert not one["data"].equals(other["data"])
    assert len(generate_pseudo_exp_data(test_set)["data"]) > 100


def test_defect_3_soft_met_noise_differs_between_pseudo_experiments():
    """The same event in two experiments: with one seed for all, rows would get the same noise.

    The x components are compared: they are drawn first, whatever the number of events.
    """
    event = jets_event(60, 40, 2, 100, weights=500.0)
    noise = []
    for seed in range(2):
        data = generate_pseudo_exp_data({"ttbar": event}, 1.0, {"soft_met": True}, seed)["data"]
        noise.append((data["PRI_met"] * np.cos(data["PRI_met_phi"])).to_numpy(float)[:400])
    assert noise[0].size == noise[1].size == 400
    assert min(noise[0].std(), noise[1].std()) > 0.1
    assert abs(np.corrcoef(*noise)[0, 1]) < 4 / math.sqrt(400)


def test_defect_4_processes_of_one_experiment_use_different_numbers(test_set):
    """The same frame as two processes must not be drawn alike."""
    frame = test_set["ztautau"]
    twins = {"ztautau": frame, "htautau": frame.assign(PRI_lep_pt=frame["PRI_lep_pt"] + 1000)}
    drawn = get_bootstrapped_dataset(twins, seed=3)
    high = drawn["PRI_lep_pt"] > 900
    counts = [
        drawn.loc[chosen, "PRI_lep_eta"].value_counts().reindex(frame["PRI_lep_eta"], fill_value=0)
        for chosen in (high, ~high)
    ]
    correlation = np.corrcoef(*[count.to_numpy() for count in counts])[0, 1]
    weights = frame["weights"].to_numpy(float)
    # Equal weights apart, counts are independent: what correlation is left comes from the weights.
    expected = weights.var() / (weights.var() + weights.mean())
    assert abs(correlation - expected) < 4 / math.sqrt(len(frame))


# ----------------------------------------------------------------------------------------------
# Golden values, see tests/golden/README.md
# ----------------------------------------------------------------------------------------------


def test_golden_values_of_every_shift(make_golden, golden, golden_events, assert_parity):
    ours = make_golden.all_event_values(golden_events)
    n_values, n_equal = assert_parity(ours, golden)
    assert n_equal / n_values > 0.8


@pytest.mark.parametrize("kind", ["f8", "f4"])
def test_golden_values_of_shifts_and_cuts_alone(make_golden, golden, golden_events, kind):
    frame = golden_events if kind == "f8" else make_golden.as_float32(golden_events)
    ours = make_golden.event_values(frame)
    for key, mine in ours.items():
        reference = golden[f"{kind}/{key}"]
        if key.startswith("mom4_manipulate"):
            gap = np.abs(mine - reference)
            gap[-1] = np.minimum(gap[-1], np.abs(gap[-1] - 2 * np.pi))  # PRI_met_phi
            assert (gap <= 2e-3 + 1e-5 * np.abs(reference)).all(), key
        elif key.startswith("postprocess"):
            np.testing.assert_allclose(mine, reference, rtol=1e-6, err_msg=key)


def test_golden_events_hold_the_edges(golden, golden_events):
    """The golden file is only worth something if its events reach the cuts."""
    assert len(golden["f8/postprocess_rows"]) < len(golden_events)
    cut = dict(zip(PRI_COLUMNS, golden["f8/postprocess"], strict=True))
    defect_7 = (cut["PRI_n_jets"] >= 2) & (cut["PRI_jet_subleading_pt"] == MISSING)
    assert defect_7.sum() >= 2
    assert (golden_events["PRI_jet_subleading_pt"] == 26).any()
    assert (golden_events["PRI_met"] == 0).any()
    assert (golden_events["PRI_lep_phi"] == golden_events["PRI_had_phi"]).any()


def test_golden_values_of_weights(make_golden, golden, golden_events):
    for key, ours in make_golden.weight_values(golden_events).items():
        np.testing.assert_array_equal(ours, golden[key], err_msg=key)
