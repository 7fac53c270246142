"""Pseudo-experiments against a brute force: one Poisson number per event, then ``systematics``."""

import hashlib
import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from HiggsML.datasets import Data
from HiggsML.errors import DataError, SettingsError
from HiggsML.physics import features
from HiggsML.physics.chunks import CHUNK_ROWS
from HiggsML.pseudo_experiments import (
    EventStore,
    Purpose,
    draw_mu,
    draw_order,
    experiment_nuisances,
    features_frame,
    seed_sequence,
    seeds,
)
from HiggsML.schema import FEATURES, MISSING, MU_RANGE, NUISANCES, PRI_COLUMNS, PROCESSES
from HiggsML.systematics import systematics

ALL = dict.fromkeys(NUISANCES, True)
SHIFTS = ("tes", "jes", "soft_met")
FACTORS = {"mu": 2.0, "ttbar_scale": 1.5, "diboson_scale": 0.5, "bkg_scale": 1.2}
RATES = {"ztautau": 1.2, "diboson": 0.6, "ttbar": 1.8, "htautau": 2.0}  # the same by process


def by_process(frame):
    return {
        name: frame[frame["detailed_labels"] == name].drop(columns=["detailed_labels", "labels"])
        for name in PROCESSES
    }


def weigh(frame, kind, seed=8):
    """Weights of a kind that the store treats in its own way."""
    n = len(frame)
    rng = np.random.default_rng(seed)
    process = frame["detailed_labels"].map({name: k for k, name in enumerate(PROCESSES)})
    weights = {
        "equal": 0.4 + 0.2 * process.to_numpy(float),  # one weight per process
        "few": rng.choice([0.2, 0.5, 1.1], n),
        "dozens": rng.choice(np.linspace(0.1, 1.2, 60), n),  # some 200 strata
        "many": rng.uniform(0.1, 1.2, n),  # more distinct weights than strata are made of
    }[kind]
    return frame.assign(weights=weights.astype(np.float32))


@pytest.fixture(scope="module", params=["equal", "few", "dozens", "many"])
def weighted(request, make_events):
    """Events whose weights are of one kind."""
    frame = weigh(make_events(480, seed=21), request.param)
    if request.param == "many":
        assert frame.groupby("detailed_labels")["weights"].nunique().min() > 64
    return frame


@pytest.fixture(scope="module")
def store(make_events):
    return EventStore.from_frames(by_process(make_events(300, seed=2)))


def brute_force(frame, rng, **shifts):
    """One pseudo-experiment as the definition says."""
    factor = frame["detailed_labels"].map(RATES).to_numpy(float)
    copies = rng.poisson(frame["weights"].to_numpy(float) * factor)
    rows = frame.loc[frame.index.repeat(copies)].drop(columns=["weights", "labels"])
    return systematics(rows.reset_index(drop=True), **shifts, seed=rng)


def process_of(frame):
    """A function from events to their processes, told by ``PRI_lep_eta``, which nothing changes."""
    names = pd.Series(frame["detailed_labels"].to_numpy(), index=frame["PRI_lep_eta"].to_numpy())
    assert names.index.is_unique
    return lambda data: names.loc[data["PRI_lep_eta"].to_numpy()].to_numpy()


def stored(frame):
    """The events as a store has them: with all digits of the momenta that are scaled."""
    rows = EventStore.from_frames(by_process(frame))._rows
    return pd.DataFrame(rows, columns=list(PRI_COLUMNS))


def sampled_store(frame, n, nuisances, seed=0):
    """``n`` pseudo-experiments of the store; the rates are FACTORS."""
    factors = {key: value for key, value in FACTORS.items() if key != "mu"}
    made = EventStore.from_frames(by_process(frame))
    for k in range(n):
        yield made.pseudo_experiment(
            mu=FACTORS["mu"],
            nuisances={**factors, **nuisances},
            seed=seed_sequence(seed, Purpose.EVENTS, 0, k),
        )["data"]


# ----------------------------------------------------------------------------------------------
# The distribution is that of one Poisson number per event
# ----------------------------------------------------------------------------------------------


def test_counts_and_multiplicities_are_poisson(weighted):
    """Counts of each process: mean and variance. Single events: P(0), P(1), P(2), covariance."""
    n, tes = 400, 1.03
    name_of = process_of(weighted)
    survivors = systematics(weighted, tes=tes)
    survivor_eta = survivors["PRI_lep_eta"].to_numpy()
    rates = survivors["weights"].to_numpy(float) * pd.Series(name_of(survivors)).map(RATES)
    order = np.argsort(survivor_eta)
    sorted_eta = survivor_eta[order]
    copies = np.zeros((n, len(survivors)))
    for k, data in enumerate(sampled_store(weighted, n, {"tes": tes})):
        eta = data["PRI_lep_eta"].to_numpy()
        place = np.searchsorted(sorted_eta, eta)
        assert (sorted_eta[np.minimum(place, len(order) - 1)] == eta).all()  # survivors only
        copies[k] = np.bincount(order[place], minlength=len(order))
    names = name_of(survivors)
    rates = rates.to_numpy()
    for process in PROCESSES:
        total = copies[:, names == process].sum(axis=1)
        expected = rates[names == process].sum()
        assert abs(total.mean() - expected) < 4 * math.sqrt(expected / n)
        # Variance of the variance of a Poisson variable of mean m: (m + 2 m^2) / n.
        spread = math.sqrt((expected + 2 * expected**2) / n)
        assert abs(total.var() - expected) < 4 * spread
    for times in (0, 1, 2):
        probability = stats.poisson.pmf(times, rates)
        seen = (copies == times).sum()
        spread = math.sqrt(n * (probability * (1 - probability)).sum())
        assert abs(seen - n * probability.sum()) < 4 * spread
    # Single events one by one: the largest of many deviations, each about standard normal.
    pull = (copies.mean(axis=0) - rates) / np.sqrt(rates / n)
    assert np.abs(pull).max() < stats.norm.isf(1e-4 / len(rates))
    assert abs(np.mean(pull**2) - 1) < 4 * math.sqrt(2 / len(rates)) + 0.1
    # Different events are independent: the variance of the sum is the sum of the variances.
    everything = copies.sum(axis=1)
    spread = math.sqrt((rates.sum() + 2 * rates.sum() ** 2) / n)
    assert abs(everything.var() - rates.sum()) < 4 * spread


@pytest.mark.parametrize(
    "shifts", [{}, {"tes": 0.96, "jes": 1.05, "soft_met": 3.0}], ids=["nominal", "shifted"]
)
def test_features_are_distributed_as_in_the_brute_force(weighted, shifts):
    """Means of all 28 features over many experiments, and the shape of the missing momentum."""
    n = 40
    rng = np.random.default_rng(17)
    ours = pd.concat(sampled_store(weighted, n, shifts, seed=5))
    brute = pd.concat([brute_force(weighted, rng, **shifts) for _ in range(n)])
    assert abs(len(ours) - len(brute)) < 4 * math.sqrt(len(ours) + len(brute))
    for name in FEATURES:
        a, b = ours[name].to_numpy(float), brute[name].to_numpy(float)
        # Defect-7 events have di-jet values of up to 1e9 by rounding alone; keep the others.
        a, b = a[np.abs(a) < 1e5], b[np.abs(b) < 1e5]
        error = math.sqrt(a.var() / a.size + b.var() / b.size)
        assert abs(a.mean() - b.mean()) < 4 * error, name
    for name in ("PRI_met", "PRI_met_phi", "PRI_had_pt", "PRI_n_jets"):
        # Discrete values only make this test more lenient.
        assert stats.ks_2samp(ours[name], brute[name]).pvalue > 1e-3, name


def test_correlations_inside_an_event_are_those_of_the_brute_force(weighted):
    """Columns are gathered from one event, not each from another."""
    data = next(sampled_store(weighted, 1, {}))
    original = weighted.set_index("PRI_lep_eta").loc[data["PRI_lep_eta"]]
    np.testing.assert_array_equal(data["PRI_lep_pt"], original["PRI_lep_pt"])
    np.testing.assert_array_equal(data["PRI_had_phi"], original["PRI_had_phi"])


@pytest.mark.parametrize("soft_met", [0.0, 2.0])
def test_events_are_shifted_as_systematics_shifts_them(weighted, soft_met):
    """Without soft missing momentum the features of an event are those of ``systematics``."""
    shifts = {"tes": 0.97, "jes": 1.04}
    data = next(sampled_store(weighted, 1, {**shifts, "soft_met": soft_met}))
    expected = systematics(stored(weighted), **shifts).set_index("PRI_lep_eta")
    expected = expected.loc[data["PRI_lep_eta"]].reset_index()
    for name in FEATURES:
        from_met = "met" in name or name in ("DER_pt_h", "DER_pt_tot")
        if not (soft_met and from_met):
            np.testing.assert_array_equal(data[name], expected[name], err_msg=name)
    if soft_met:
        assert (data["PRI_met"] != expected["PRI_met"]).mean() > 0.95


def test_rows_come_shuffled(weighted):
    """Neither process nor tau pt, by which events are stored, tells the place of a row."""
    data = pd.concat(sampled_store(weighted, 12, {}, seed=9), ignore_index=True)
    position = np.concatenate(
        [np.arange(len(one)) for one in sampled_store(weighted, 12, {}, seed=9)]
    )
    for values in (data["PRI_had_pt"], process_of(weighted)(data) == "htautau"):
        assert stats.spearmanr(position, values).pvalue > 1e-3


# ----------------------------------------------------------------------------------------------
# Thinning by the tau cut
# ----------------------------------------------------------------------------------------------

TES = [0.9, 0.95, 0.97, 0.999, 1.0, 1.0005, 1.01, 1.037, 1.1]


@pytest.mark.parametrize("tes", TES)
def test_thinning_equals_cutting_afterwards(make_events, tes):
    """Events just around the cut after the shift, and the rounding at the edge, included."""
    frame = make_events(300, seed=4)
    edge = np.round(26 / tes + np.arange(-15, 15) / 1000, 3).astype(np.float32)
    frame.loc[: edge.size - 1, "PRI_had_pt"] = edge
    frame["weights"] = np.float32(30.0)  # P(an event is absent) = exp(-30)
    made = EventStore.from_frames(by_process(frame))
    drawn = made.pseudo_experiment(mu=1.0, nuisances={"tes": tes}, seed=1)["data"]
    survivors = systematics(stored(frame), tes=tes)
    assert set(drawn["PRI_lep_eta"]) == set(survivors["PRI_lep_eta"])
    plan = made.plan(mu=1.0, nuisances={"tes": tes}, seed=1)
    assert plan.eligible.sum() == len(survivors)
    assert plan.ends[-1] == pytest.approx(30.0 * len(survivors))


@pytest.mark.parametrize("tes", [0.93, 1.0, 1.06])
def test_expected_events_after_the_cut_are_those_of_systematics(weighted, tes):
    plan = EventStore.from_frames(by_process(weighted)).plan(
        mu=FACTORS["mu"],
        nuisances={"tes": tes, **{k: v for k, v in FACTORS.items() if k != "mu"}},
        seed=0,
    )
    kept = systematics(weighted, tes=tes)
    expected = (kept["weights"].astype(float) * kept["detailed_labels"].map(RATES)).sum()
    assert plan.ends[-1] == pytest.approx(expected, rel=1e-6)


def test_the_lepton_cut_is_applied(make_events):
    frame = make_events(100, seed=6)
    frame["weights"] = np.float32(30.0)
    frame.loc[:49, "PRI_lep_pt"] = np.float32(19.999)
    frame.loc[50:59, "PRI_lep_pt"] = np.float32(20.0)
    frame["PRI_had_pt"] = np.float32(40.0)
    drawn = EventStore.from_frames(by_process(frame)).pseudo_experiment(mu=1.0, seed=1)["data"]
    assert set(drawn["PRI_lep_eta"]) == set(frame["PRI_lep_eta"].iloc[50:])


# ----------------------------------------------------------------------------------------------
# What is handed out
# ----------------------------------------------------------------------------------------------


def test_what_predict_receives(store):
    experiment = store.pseudo_experiment(mu=1.0, nuisances={"tes": 1.02, "soft_met": 1.0}, seed=3)
    assert list(experiment) == ["data", "weights"]
    data, weights = experiment["data"], experiment["weights"]
    assert list(data.columns) == list(FEATURES)
    assert (data.dtypes == np.float32).all()
    assert isinstance(weights, pd.Series)
    assert weights.dtype == np.float64
    assert weights.shape == (len(data),)
    assert (weights == 1).all()
    assert np.isfinite(data.to_numpy()).all()
    data.iloc[0, 0] = 1.0  # participants may write into their copy
    data["PRI_met"] = 2.0
    weights[0] = 2.0


def test_the_store_can_not_be_changed_through_what_it_hands_out(store):
    before = store.pseudo_experiment(mu=1.0, seed=3)["data"].copy()
    data = store.pseudo_experiment(mu=1.0, seed=3)["data"]
    data.iloc[:, :] = 0
    pd.testing.assert_frame_equal(store.pseudo_experiment(mu=1.0, seed=3)["data"], before)


def test_columns_of_a_features_frame_are_views_of_the_block():
    block = np.zeros((28, 5), dtype=np.float32)
    frame = features_frame(block)
    assert list(frame.columns) == list(FEATURES)
    for name, row in zip(FEATURES, block, strict=True):
        assert np.shares_memory(frame[name].to_numpy(), row)
    assert min(frame[["PRI_met", "PRI_had_pt"]].to_numpy().strides) > 0


def test_frames_that_a_store_is_made_from_stay(make_events):
    frames = by_process(make_events(120, seed=3))
    before = {name: frame.copy(deep=True) for name, frame in frames.items()}
    EventStore.from_frames(frames).pseudo_experiment(mu=1.0, nuisances={"tes": 1.1}, seed=1)
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(frame, before[name])


def test_fill_writes_into_a_block_of_the_caller(store):
    plan = store.plan(mu=1.0, nuisances={"jes": 1.05}, seed=4)
    block = np.full((28, plan.n_events), np.nan, dtype=np.float32)
    store.fill(plan, block)
    whole = store.pseudo_experiment(mu=1.0, nuisances={"jes": 1.05}, seed=4)
    np.testing.assert_array_equal(features_frame(block), whole["data"])


def test_a_block_gets_events_when_they_are_final(store, monkeypatch):
    """Others can read it meanwhile: before, primaries would tell the nuisance parameters."""
    plan = store.plan(mu=1.5, nuisances={"tes": 1.02, "soft_met": 2.0}, seed=7)
    block = np.full((len(FEATURES), plan.n_events), np.nan, np.float32)
    states = []

    def watched(step):
        def look(*arguments, **keywords):
            states.append(np.isnan(block).all())
            return step(*arguments, **keywords)

        return look

    for name in ("shifted", "without_soft_jets"):
        monkeypatch.setattr(features, name, watched(getattr(features, name)))
    store.fill(plan, block)
    assert states == [True, True]
    assert not np.isnan(block).any()


def test_memory_is_used_again_when_nothing_refers_to_it(store):
    def where(experiment):
        return experiment["data"]["PRI_lep_pt"].to_numpy().ctypes.data

    held = store.pseudo_experiment(mu=1.0, seed=1)
    before = held["data"].copy(deep=True)
    one = store.pseudo_experiment(mu=1.0, seed=2)
    address, column = where(one), one["data"]["DER_pt_h"]
    del one
    kept = column.copy(deep=True)
    other = store.pseudo_experiment(mu=1.0, seed=3)
    assert where(other) not in (address, where(held))
    pd.testing.assert_series_equal(column, kept)
    address = where(other)
    del other
    again = store.pseudo_experiment(mu=1.0, seed=3)
    assert where(again) == address
    pd.testing.assert_frame_equal(held["data"], before)
    assert again["data"].equals(store.pseudo_experiment(mu=1.0, seed=3)["data"])
    assert len(store._memory._kept) == 2


def test_threads_that_share_a_store_get_memory_of_their_own(store):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda k: store.pseudo_experiment(mu=1.0, seed=k % 7), range(40)))
    for k, experiment in enumerate(made):
        assert content(experiment) == content(store.pseudo_experiment(mu=1.0, seed=k % 7))


def test_defect_7_corrected_jet_counting_is_an_option(store):
    official, corrected = (
        store.pseudo_experiment(mu=1.0, seed=5, corrected=flag)["data"] for flag in (False, True)
    )
    missing = official["PRI_jet_subleading_pt"] == MISSING
    assert (missing & (official["PRI_n_jets"] >= 2)).any()
    assert not (missing & (corrected["PRI_n_jets"] >= 2)).any()
    np.testing.assert_array_equal(official["PRI_lep_eta"], corrected["PRI_lep_eta"])
    assert (corrected.loc[missing, "DER_mass_jet_jet"] == MISSING).all()


# ----------------------------------------------------------------------------------------------
# Randomness
# ----------------------------------------------------------------------------------------------


def content(experiment):
    return experiment["data"].to_numpy().tobytes()


def test_same_seed_same_bytes(make_events, store):
    again = EventStore.from_frames(by_process(make_events(300, seed=2)))
    options = {"mu": 1.2, "nuisances": {"tes": 0.99, "soft_met": 2.0}}
    one = store.pseudo_experiment(**options, seed=11)
    assert content(one) == content(store.pseudo_experiment(**options, seed=11))
    assert content(one) == content(again.pseudo_experiment(**options, seed=11))
    sequence = np.random.SeedSequence(11)
    sequence.spawn(3)  # the state that spawning keeps does not matter
    assert content(one) == content(store.pseudo_experiment(**options, seed=sequence))
    assert content(one) != content(store.pseudo_experiment(**options, seed=12))


def test_numpy_integers_are_seeds_too(store):
    one = store.pseudo_experiment(mu=1.0, seed=7)
    assert content(one) == content(store.pseudo_experiment(mu=1.0, seed=np.int64(7)))


def test_order_of_experiments_does_not_matter(store):
    def one(k):
        seed = seed_sequence(5, Purpose.EVENTS, 0, k)
        return content(store.pseudo_experiment(mu=1.0, nuisances={"soft_met": 1.0}, seed=seed))

    forward = [one(k) for k in range(4)]
    assert [one(k) for k in reversed(range(4))] == forward[::-1]
    assert len(set(forward)) == 4


@pytest.fixture(scope="module")
def single_event(make_events):
    """A store of one event that is expected two and a half chunks of times."""
    frame = make_events(1, seed=1).assign(detailed_labels="ttbar", PRI_had_pt=np.float32(50))
    return EventStore.from_frames({"ttbar": frame.assign(weights=np.float32(2.5 * CHUNK_ROWS))})


def test_defect_3_soft_met_noise_differs_between_experiments_and_chunks(single_event):
    """The same event everywhere: only the noise tells the rows apart."""

    def met(*path):
        seed = seed_sequence(1, Purpose.EVENTS, *path)
        data = single_event.pseudo_experiment(mu=1.0, nuisances={"soft_met": 3.0}, seed=seed)[
            "data"
        ]
        return data[["PRI_met", "PRI_met_phi"]].to_numpy()

    first, second = met(0, 0), met(0, 1)
    assert len(first) > 2 * CHUNK_ROWS
    chunks = [
        first[:CHUNK_ROWS],
        first[CHUNK_ROWS : 2 * CHUNK_ROWS],
        second[:CHUNK_ROWS],
        met(1, 0)[:CHUNK_ROWS],
    ]
    for one, other in itertools.combinations(chunks, 2):
        assert (one == other).all(axis=1).mean() < 0.01
        assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 4 / math.sqrt(CHUNK_ROWS)


def test_soft_met_noise_has_its_width(single_event):
    plain = single_event.pseudo_experiment(mu=1.0, seed=2)["data"]
    noisy = single_event.pseudo_experiment(mu=1.0, nuisances={"soft_met": 3.0}, seed=2)["data"]
    start = plain["PRI_met"].iloc[0] * np.exp(1j * plain["PRI_met_phi"].iloc[0])
    noise = noisy["PRI_met"].to_numpy(float) * np.exp(1j * noisy["PRI_met_phi"].to_numpy(float))
    noise = noise - start
    n = len(noise)
    for part in (noise.real, noise.imag):
        assert abs(part.mean()) < 4 * 3 / math.sqrt(n) + 1e-3
        assert abs(part.std() - 3) < 4 * 3 / math.sqrt(2 * n) + 1e-3
    assert abs(np.corrcoef(noise.real, noise.imag)[0, 1]) < 4 / math.sqrt(n)


def test_defect_4_no_two_nodes_of_the_seed_tree_are_alike():
    """(0, 1), (1, 0), (0, 10), (1,), (0, 1, 0) ... : sums and strings of digits do not collide."""
    indices = [0, 1, 2, 10, 11, 100, 110]
    paths = [()] + [(i,) for i in indices] + list(itertools.product(indices, repeat=2))
    paths += [
        (*pair, chunk) for pair in itertools.product(indices[:4], repeat=2) for chunk in (0, 1, 2)
    ]
    states = {
        seed_sequence(entropy, purpose, *path).generate_state(4).tobytes()
        for entropy in (0, 1, 31415)
        for purpose in Purpose
        for path in paths
    }
    assert len(states) == 3 * len(Purpose) * len(paths)


def test_defect_4_draws_of_neighbors_are_all_different(store):
    pairs = [(0, 1), (1, 0), (0, 10), (10, 0), (1, 1), (0, 11), (11, 0), (1, 10)]
    events = [
        store.pseudo_experiment(mu=1.0, seed=seed_sequence(3, Purpose.EVENTS, *pair))["data"]
        for pair in pairs
    ]
    nuisances = [tuple(experiment_nuisances(3, *pair, ALL).values()) for pair in pairs]
    assert len(set(nuisances)) == len(pairs)
    for one, other in itertools.combinations(events, 2):
        n = min(len(one), len(other))
        same = (one["PRI_lep_eta"].to_numpy()[:n] == other["PRI_lep_eta"].to_numpy()[:n]).mean()
        assert same < 0.1  # 300 events: about 1 in 300 by chance
    assert len({draw_mu(3, k) for k in range(100)}) == 100


def test_defect_4_adding_sets_or_experiments_changes_no_other():
    few = {pair: experiment_nuisances(9, *pair, ALL) for pair in draw_order(9, 2, 3)}
    more = {pair: experiment_nuisances(9, *pair, ALL) for pair in draw_order(9, 5, 20)}
    assert few == {pair: more[pair] for pair in few}
    assert [draw_mu(9, k) for k in range(3)] == [draw_mu(9, k) for k in range(10)][:3]


def test_order_holds_every_pair_once_and_is_shuffled():
    order = list(draw_order(4, 10, 30))
    assert sorted(order) == list(itertools.product(range(10), range(30)))
    assert order == list(draw_order(4, 10, 30))
    assert order != list(draw_order(5, 10, 30))
    assert stats.spearmanr(range(300), [pair[0] for pair in order]).pvalue > 1e-3
    assert stats.spearmanr(range(300), [pair[1] for pair in order]).pvalue > 1e-3


def test_true_mu_is_uniform_in_its_range():
    mus = [draw_mu(1, k) for k in range(2_000)]
    low, high = MU_RANGE
    assert (low, high) == (0.1, 3.0)
    assert stats.kstest(mus, stats.uniform(low, high - low).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", NUISANCES)
def test_nuisances_of_experiments_follow_their_priors(name):
    """Through the seed tree: neighboring nodes give independent draws (KS test, unclipped part)."""
    prior = {
        "tes": stats.norm(1, 0.01),
        "jes": stats.norm(1, 0.01),
        "soft_met": stats.lognorm(s=1),
        "ttbar_scale": stats.norm(1, 0.02),
        "diboson_scale": stats.norm(1, 0.25),
        "bkg_scale": stats.norm(1, 0.001),
    }[name]
    values = np.array(
        [experiment_nuisances(2, i, j, ALL)[name] for i in range(10) for j in range(100)]
    )
    high = NUISANCES[name].high
    inside = values[values < high]
    assert stats.kstest(inside, lambda x: prior.cdf(x) / prior.cdf(high)).pvalue > 1e-3
    lagged = stats.spearmanr(values[1:], values[:-1])
    assert lagged.pvalue > 1e-3


@pytest.mark.parametrize("name", NUISANCES)
def test_switching_a_nuisance_off_leaves_the_others(name):
    every = experiment_nuisances(7, 3, 5, ALL)
    without = experiment_nuisances(7, 3, 5, {**ALL, name: False})
    del every[name], without[name]
    assert every == without


def test_soft_met_leaves_the_choice_of_events(store):
    quiet, noisy = (
        store.pseudo_experiment(mu=1.0, nuisances={"soft_met": width}, seed=6)["data"]
        for width in (None, 4.0)
    )
    np.testing.assert_array_equal(quiet["PRI_lep_eta"], noisy["PRI_lep_eta"])


# ----------------------------------------------------------------------------------------------
# Edges and errors
# ----------------------------------------------------------------------------------------------


def test_absent_none_and_nominal_mean_the_same(store):
    plain = content(store.pseudo_experiment(mu=1.0, seed=1))
    none = store.pseudo_experiment(mu=1.0, nuisances=dict.fromkeys(NUISANCES), seed=1)
    nominal = {name: nuisance.nominal for name, nuisance in NUISANCES.items()}
    assert plain == content(none)
    assert plain == content(store.pseudo_experiment(mu=1.0, nuisances=nominal, seed=1))


def test_no_expected_events_give_an_empty_experiment(store):
    experiment = store.pseudo_experiment(mu=0.0, nuisances={"bkg_scale": 0.0}, seed=1)
    assert experiment["data"].shape == (0, 28)
    assert experiment["weights"].shape == (0,)
    below = store.pseudo_experiment(mu=1.0, nuisances={"tes": 1e-3}, seed=1)
    assert len(below["data"]) == 0


def test_a_rate_of_zero_draws_nothing_of_that_process(make_events):
    frame = make_events(200, seed=5)
    made = EventStore.from_frames(by_process(frame))
    drawn = made.pseudo_experiment(
        mu=0.0, nuisances={"diboson_scale": 0.0, "ttbar_scale": 50.0}, seed=2
    )["data"]
    assert set(process_of(frame)(drawn)) == {"ztautau", "ttbar"}


def test_events_without_weight_are_never_drawn(make_events):
    frame = make_events(200, seed=5)
    frame.loc[::2, "weights"] = 0.0
    made = EventStore.from_frames(by_process(frame))
    drawn = made.pseudo_experiment(mu=50.0, nuisances={"bkg_scale": 50.0}, seed=2)["data"]
    assert set(drawn["PRI_lep_eta"]) <= set(frame["PRI_lep_eta"].iloc[1::2])


def test_some_processes_may_be_absent(make_events):
    frames = by_process(make_events(100, seed=5))
    made = EventStore.from_frames({"htautau": frames["htautau"], "ttbar": frames["ttbar"].iloc[:0]})
    assert len(made.pseudo_experiment(mu=1.0, seed=1)["data"]) > 0
    assert set(made.effective_repeats()) == {"htautau"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mu": -1.0}, "rates must be finite and not negative"),
        ({"mu": math.nan}, "rates must be finite and not negative"),
        (
            {"mu": 1.0, "nuisances": {"tau": 1.0}},
            r"unknown nuisances \['tau'\]; known are tes, jes",
        ),
        ({"mu": 1.0, "nuisances": {"tes": 0.0}}, "tes and jes must be positive, soft_met at least"),
        ({"mu": 1.0, "nuisances": {"jes": math.nan}}, "tes and jes must be positive"),
        ({"mu": 1.0, "nuisances": {"tes": math.inf}}, "tes and jes must be positive"),
        ({"mu": 1.0, "nuisances": {"soft_met": math.inf}}, "tes and jes must be positive"),
        ({"mu": 1.0, "nuisances": {"soft_met": -1.0}}, "tes and jes must be positive"),
        ({"mu": 1.0, "nuisances": {"bkg_scale": -1.0}}, "rates must be finite and not negative"),
    ],
)
def test_impossible_options_are_refused(store, options, message):
    with pytest.raises(SettingsError, match=message):
        store.pseudo_experiment(**options, seed=1)


def test_a_store_of_nothing_is_refused(make_events):
    with pytest.raises(DataError, match="the test set holds no events"):
        EventStore.from_frames({})
    low = make_events(20).assign(PRI_lep_pt=np.float32(10))
    with pytest.raises(DataError, match="the test set holds no events"):
        EventStore.from_frames(by_process(low))


def test_an_unknown_process_is_refused(make_events):
    with pytest.raises(DataError, match=r"unknown process \['wjets'\] in the test set"):
        EventStore.from_frames({"wjets": make_events(5)})


def test_effective_repeats_by_hand(make_events):
    frame = make_events(60, seed=5).assign(PRI_lep_pt=np.float32(30), weights=np.float32(0.25))
    frame.loc[frame["detailed_labels"] == "htautau", "weights"] = np.float32(2.0)
    repeats = EventStore.from_frames(by_process(frame)).effective_repeats()
    assert repeats == {"ztautau": 4.0, "diboson": 4.0, "ttbar": 4.0, "htautau": 0.5}


def test_effective_repeats_of_many_weights(make_events):
    frame = weigh(make_events(600, seed=5), "many").assign(PRI_lep_pt=np.float32(30))
    repeats = EventStore.from_frames(by_process(frame)).effective_repeats()
    for name, group in frame.groupby("detailed_labels"):
        assert repeats[name] == pytest.approx(1 / group["weights"].astype(float).mean(), rel=1e-6)


# ----------------------------------------------------------------------------------------------
# From a dataset
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row_group_size", [None, 17])
def test_a_store_from_a_dataset_is_that_from_its_test_set(
    make_events, write_dataset, row_group_size
):
    frame = weigh(make_events(400, seed=9), "equal")
    data = Data(write_dataset(frame, row_group_size=row_group_size), test_size=0.5)
    data.load_test_set()
    from_data, from_frames = EventStore.from_data(data), EventStore.from_frames(data.get_test_set())
    assert len(from_data) == len(from_frames)
    kept = frame.iloc[:200]
    kept = kept[kept["PRI_lep_pt"] >= 20]
    assert len(from_data) == len(kept)
    options = {"mu": 1.0, "nuisances": {"tes": 1.02, "soft_met": 1.0}}
    # Weights are scaled in double precision here and in single precision there.
    ends = [made.plan(**options, seed=2).ends[-1] for made in (from_data, from_frames)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-6)


def test_expected_events_come_from_the_metadata(make_events, write_dataset):
    frame = make_events(200, seed=9).assign(PRI_lep_pt=np.float32(30), PRI_had_pt=np.float32(60))
    data = Data(write_dataset(frame, metadata={"sum_weights": 5000.0}), test_size=0.5)
    plan = EventStore.from_data(data).plan(mu=1.0, seed=1)
    assert plan.ends[-1] == pytest.approx(5000.0, rel=1e-9)
    assert abs(plan.n_events - 5000) < 4 * math.sqrt(5000)


def test_a_dataset_without_test_events_is_refused(events, write_dataset):
    with pytest.raises(DataError, match=r"the test set of .*data\.parquet holds no events of pos"):
        EventStore.from_data(Data(write_dataset(events), test_size=0))


def test_the_mini_dataset_has_enough_events(mini_dataset):
    made = EventStore.from_data(Data(mini_dataset))
    repeats = made.effective_repeats()
    assert set(repeats) == set(PROCESSES)
    assert min(repeats.values()) >= 20
    experiment = made.pseudo_experiment(mu=1.0, seed=1)
    assert list(experiment["data"].columns[:16]) == list(PRI_COLUMNS)


def test_the_real_sample_gives_pseudo_experiments(real_sample):
    """Its 1,000 events are repeated a thousand times each: it serves to try things out."""
    data = Data(real_sample)
    made = EventStore.from_data(data)
    assert max(made.effective_repeats().values()) < 1
    experiment = made.pseudo_experiment(mu=1.0, nuisances={"tes": 1.01, "soft_met": 1.0}, seed=1)
    expected = data.metadata["sum_weights"]
    assert 0.5 * expected < len(experiment["data"]) < expected


def test_branches_of_the_seed_tree_are_keyed_hashes():
    # BLAKE2 of the path, keyed by BLAKE2 of the entropy: computed here once more.
    key = hashlib.blake2b(b"7").digest()
    digest = hashlib.blake2b(b"2,3,4", key=key, digest_size=32, person=b"HiggsML seeds").digest()
    node = seed_sequence(7, Purpose.EVENTS, 3, 4)
    assert node.entropy == int.from_bytes(digest, "little")
    assert node.spawn_key == ()
    chunks = [seeds.generator(node, number).bit_generator.seed_seq for number in range(3)]
    # A chunk's own seed holds nothing of its node or its neighbors.
    assert len({chunk.entropy for chunk in chunks} | {node.entropy, 7}) == 5
    assert all(chunk.spawn_key == () for chunk in chunks)


def test_branches_do_not_collide():
    numbers = (0, 1, 11, 2**32, 2**64, 2**200)
    found = {
        seed_sequence(e, p, i, j).entropy
        for e in numbers
        for p in Purpose
        for i in numbers
        for j in numbers
    }
    assert len(found) == 6**3 * len(Purpose)
