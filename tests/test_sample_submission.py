"""The sample submission and the examples: their parts, and that each runs from end to end."""

import sys
from pathlib import Path

import numpy as np
import pytest

from HiggsML.datasets import Data
from HiggsML.derived_quantities import DER_data
from HiggsML.pseudo_experiments import EventStore
from HiggsML.schema import FEATURES
from HiggsML.studies.study import fit_submission
from HiggsML.submission.model import check_prediction
from HiggsML.systematics import systematics

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("model", "classifier", "templates", "likelihood")


@pytest.fixture
def modules(monkeypatch):
    """A function that imports the submission's modules by their bare names, for this test only."""

    def load(*names):
        monkeypatch.syspath_prepend(str(ROOT / "sample_submission"))
        for name in MODULES:
            monkeypatch.delitem(sys.modules, name, raising=False)
        return [__import__(name) for name in names]

    yield load
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def data(mini_dataset):
    return Data(mini_dataset)


@pytest.fixture(scope="module")
def events(data):
    data.load_train_set(train_size=6000)
    return data.get_train_set()


class Few:
    """A dataset that hands out a small training set."""

    def __init__(self, data, size):
        self.data, self.size = data, size

    def load_train_set(self, train_size=None, **options):
        self.data.load_train_set(train_size=self.size, **options)

    def get_train_set(self):
        return self.data.get_train_set()

    def delete_train_set(self):
        self.data.delete_train_set()


@pytest.fixture
def fresh_imports(monkeypatch):
    """Forget a submission's modules and folders when the test is over."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "name",
    ["sample_submission"]
    + [f"examples/{e}" for e in ("counting", "classifier_counting", "no_systematics", "gaming")],
)
@pytest.mark.usefixtures("fresh_imports")
def test_every_submission_measures(name, data):
    model = fit_submission(ROOT / name, Few(data, 20_000))
    store = EventStore.from_data(data)
    answers = [
        check_prediction(model.predict(store.pseudo_experiment(mu=mu, seed=3))) for mu in (0.2, 2.5)
    ]
    errors = [a.mu_hat - mu for a, mu in zip(answers, (0.2, 2.5), strict=True)]
    assert np.abs(errors).max() < 0.6
    assert all(a.p84 - a.p16 < 0.8 for a in answers)


@pytest.mark.usefixtures("fresh_imports")
def test_the_sample_runs_on_a_thousand_events(real_sample):
    data = Data(real_sample)
    model = fit_submission(ROOT / "sample_submission", data)
    rows = data.get_train_set() if data.get_train_set() is not None else None
    assert rows is None  # the events are not kept
    data.load_test_set()
    few = data.get_test_set()["ztautau"].drop(columns="weights")
    check_prediction(model.predict({"data": few, "weights": np.ones(len(few))}))


def test_scores_do_not_depend_on_the_order_of_events(modules, events):
    (classifier,) = modules("classifier")
    shifted = systematics(events)
    expected = {"ztautau": 5000.0, "ttbar": 200.0, "diboson": 20.0}
    classifier.EXAMPLES = 4000
    classifier.EPOCHS = 1
    judge = classifier.Classifier(shifted, expected)
    order = np.random.default_rng(0).permutation(len(shifted))
    features = shifted[list(FEATURES)]
    scores = judge(features)
    np.testing.assert_allclose(judge(features.iloc[order]), scores[:, order], rtol=1e-3, atol=1e-3)
    assert np.isfinite(scores).all()


def test_the_gradient_is_the_slope_of_the_cross_entropy(modules):
    (classifier,) = modules("classifier")
    rng = np.random.default_rng(5)
    sizes = (3, 4, 2)
    parameters, gradient = rng.normal(size=26), np.zeros(26)
    inputs, wanted = rng.normal(size=(7, 3)), np.eye(2)[rng.integers(2, size=7)]

    def loss(values):
        (w_1, c_1), (w_2, c_2) = classifier.layers(values, sizes)
        logits = np.maximum(inputs @ w_1 + c_1, 0) @ w_2 + c_2
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - (logits * wanted).sum(axis=1))

    network, slopes = classifier.layers(parameters, sizes), classifier.layers(gradient, sizes)
    classifier.write_gradient(slopes, network, inputs, wanted)
    steps = 1e-5 * np.eye(26)
    numeric = [(loss(parameters + s) - loss(parameters - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8)


def test_a_network_learns_the_ratio_of_two_densities(modules):
    (classifier,) = modules("classifier")
    rng = np.random.default_rng(6)
    classes = rng.integers(2, size=40_000)
    inputs = rng.normal(np.where(classes == 0, 0.5, -0.5), size=(1, classes.size))
    network = classifier.Network(inputs.astype(np.float32), classes, np.ones(classes.size), seed=0)
    x = np.linspace(-1.5, 1.5, 7, dtype=np.float32)
    first, second, absent = network(x[None])
    np.testing.assert_allclose(first - second, x, atol=0.15)  # ln of the ratio of two Gaussians
    assert (absent == -20).all()


def test_halves_survive_every_shift(modules, events):
    (classifier,) = modules("classifier")
    before = classifier.half(events)
    assert 0.45 < before.mean() < 0.55
    shifted = systematics(events, tes=1.02, jes=0.97, soft_met=3.0, dopostprocess=False)
    np.testing.assert_array_equal(classifier.half(shifted), before)


def test_mirrored_events_look_the_same(modules, events):
    (classifier,) = modules("classifier")
    mirrored = events.copy()
    for column in events.columns:
        if column.endswith("_eta"):
            present = events[column] != -25
            mirrored.loc[present, column] = -events.loc[present, column]
    mirrored = DER_data(mirrored.drop(columns=[c for c in events if c.startswith("DER_")]))
    np.testing.assert_allclose(
        classifier.variables(mirrored), classifier.variables(events), rtol=1e-2, atol=5e-2
    )


class Toy:
    """Templates with two bins, the first of which is rich in signal."""

    def __init__(self, variances=0.0):
        self.nominal = np.array([[100.0, 20.0], [50.0, 2000.0], [5.0, 50.0], [1.0, 5.0]])
        self.variances = np.full((4, 2), variances)

    def expected(self, tes, jes, soft_met):
        tes, soft_met = np.expand_dims(tes, (-2, -1)), np.expand_dims(soft_met, (-2, -1))
        change = 1 + np.array([0.05, 0.01]) * (tes - 1) / 0.01
        return self.nominal * change * (1 + 0.02 * (soft_met - 1))


def test_the_fit_finds_the_truth_in_exact_counts(modules):
    (likelihood,) = modules("likelihood")
    fit = likelihood.ProfileLikelihood(Toy())
    mu_hat, low, high, pulls = fit.measure(fit.expected(1.3, np.zeros(6))[0])
    assert mu_hat == pytest.approx(1.3, abs=2e-3)
    assert low < mu_hat < high
    assert abs(pulls["tes"][0]) < 0.02


def test_the_fit_is_told_the_slopes_and_curvatures_of_its_own_likelihood(modules):
    (likelihood,) = modules("likelihood")
    fit = likelihood.ProfileLikelihood(Toy(variances=50.0))
    counts, point = np.array([180.0, 1900.0]), np.array([1.4, 0.5, -0.3, 0.2, 1.0, -0.5, 0.1])
    slopes, curvatures = fit.derivatives(point, counts)
    here, step = fit.q(point, counts), 1e-2
    for number, direction in enumerate(np.eye(7)):
        above, below = (fit.q(point + sign * step * direction, counts) for sign in (1, -1))
        assert slopes[number] == pytest.approx((above - below) / (2 * step), rel=1e-3)
        wanted = (above - 2 * here + below) / step**2
        assert curvatures[number] == pytest.approx(wanted, rel=1e-3)


def test_each_uncertainty_lengthens_the_interval(modules):
    (likelihood,) = modules("likelihood")

    def width(**options):
        toy = Toy(options.pop("variances", 0.0))
        fit = likelihood.ProfileLikelihood(toy, **options)
        _, low, high, _ = fit.measure(toy.nominal.sum(axis=0))
        return high - low

    known = width(fixed=likelihood.NUISANCES)
    assert known == pytest.approx(2 * np.sqrt(156) / 100, rel=0.04)  # the first bin alone
    assert width() > 1.02 * known
    assert width(variances=50.0) > 1.2 * width()


def test_the_interval_ends_at_zero(modules):
    (likelihood,) = modules("likelihood")
    fit = likelihood.ProfileLikelihood(Toy())
    mu_hat, low, high, _ = fit.measure(np.array([30.0, 2000.0]))
    assert mu_hat == low == 0.0
    assert high >= 0.0


def test_counts_that_nothing_describes_still_get_an_answer(modules, monkeypatch):
    (likelihood,) = modules("likelihood")
    fit = likelihood.ProfileLikelihood(Toy())
    for counts in ([1e6, 10.0], [0.0, 0.0], [3.0, 1e7]):
        mu_hat, low, high, _ = fit.measure(np.array(counts))
        assert 0 <= low <= mu_hat <= high < np.inf
    monkeypatch.setattr(likelihood.Minuit, "valid", False)
    mu_hat, low, high, _ = fit.measure(fit.expected(1.3, np.zeros(6))[0])
    assert low < mu_hat < high
    assert mu_hat == pytest.approx(1.3, abs=2e-3)


def test_soft_met_follows_its_prior_up_to_the_cut(modules):
    (likelihood,) = modules("likelihood")
    assert likelihood.soft_met_width(0.0) == pytest.approx(1.0)
    assert likelihood.soft_met_width(1.0) == pytest.approx(np.e, rel=1e-3)
    assert likelihood.soft_met_width(9.0) == pytest.approx(5.0, rel=1e-3)


def test_a_division_has_even_parts_of_parts(modules):
    (templates,) = modules("templates")
    rng = np.random.default_rng(2)
    columns, weights = rng.normal(size=(3, 50_000)), rng.uniform(0.5, 1.5, 50_000)
    columns[2] += columns[0]  # the last one is divided where the first one is, not everywhere alike
    division = templates.Division(columns, weights, (5, 2, 3))
    sums = np.bincount(division(columns), weights, minlength=30)
    assert division.n_bins == sums.size == 30
    assert sums == pytest.approx(weights.sum() / 30, rel=0.01)


@pytest.mark.parametrize(("n", "n_bins"), [(330_000, 12 * 8 + 6 * 2), (90_000, 13), (1000, 3)])
def test_bins_hold_every_event_once(modules, n, n_bins):
    (templates,) = modules("templates")
    rng = np.random.default_rng(2)
    seen = np.vstack([rng.normal(size=(2, n)), rng.exponential(20, (2, n)) + 26])
    binning = templates.Binning(seen, np.ones(n), rng.random(n) < 0.2)
    numbers = binning(seen)
    counts = np.bincount(numbers, minlength=binning.n_bins)
    assert counts.size == binning.n_bins == n_bins
    assert counts.min() > 0.2 * n / n_bins


def by_mass(shifted):
    """The visible mass in place of a network; nothing looks like top quarks."""
    return np.stack([shifted["DER_mass_vis"], np.zeros(len(shifted))]).astype(np.float32)


def test_templates_follow_shifted_events(modules, events):
    (templates,) = modules("templates")

    found = templates.Templates.fill(events, systematics, by_mass)
    exact = systematics(events, tes=1.02)
    total = found.expected(1.02, 1.0, 0.0).sum()
    assert total == pytest.approx(exact["weights"].sum(), rel=5e-3)
    assert found.expected(1.0, 1.0, 0.0) == pytest.approx(found.nominal)
    assert (found.variances[found.nominal > 0] > 0).all()


def test_joint_shifts_are_morphed_exactly_where_they_are_polynomials(modules, events):
    (templates,) = modules("templates")

    def factor(tes, jes, soft_met):
        t, j, s = 100 * (tes - 1), 100 * (jes - 1), (soft_met / 5) ** 2
        return 1 + 0.05 * t + 0.01 * t**3 - 0.03 * j**2 + 0.02 * t * j + 0.2 * s - 0.04 * j * s

    def shift(frame, *, tes=1.0, jes=1.0, soft_met=0.0, seed=0):
        return frame.assign(weights=frame["weights"] * factor(tes, jes, soft_met))

    found = templates.Templates.fill(events, shift, by_mass)
    for point in ((1.015, 0.99, 0.0), (0.985, 1.01, 4.5), (1.02, 1.02, 2.0)):
        morphed = found.expected(*point)
        np.testing.assert_allclose(morphed, found.nominal * factor(*point), rtol=1e-4, atol=1e-6)


def test_changes_from_a_part_of_the_events_are_scaled_to_all(modules, events):
    (templates,) = modules("templates")

    whole = templates.Templates.fill(events, systematics, by_mass).changes.sum(axis=(1, 2))
    templates.MAX_SHIFTED_EVENTS = len(events) // 2
    part = templates.Templates.fill(events, systematics, by_mass).changes.sum(axis=(1, 2))
    # Events that tes moves across the cut on the tau's pt; the part's number of them varies.
    assert part[0] == pytest.approx(whole[0], rel=0.35)
