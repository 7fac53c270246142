# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The challenge in one sitting
#
# We look at the data, see what the systematic effects do to it, write a first model, run it on
# pseudo-experiments, and read its score. It takes about half an hour to read, and less than a
# minute to run.
#
# The question of the challenge: how often does nature make Higgs bosons, compared with what theory
# expects? That ratio is called mu, the signal strength. A measurement of mu is only worth something
# with an honest uncertainty, and honest is hard here, because the simulation that we learn from is
# slightly wrong in six ways.

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from HiggsML import visualization as vis
from HiggsML.datasets import Data
from HiggsML.ingestion import Ingestion
from HiggsML.pseudo_experiments import EventStore
from HiggsML.schema import NUISANCES
from HiggsML.score import Scoring
from HiggsML.systematics import systematics

folder = next(path for path in (Path("input_data"), Path("../../input_data")) if path.is_dir())
data = Data(folder)
data.load_train_set(train_size=60_000)
train = data.get_train_set()
train.head(3)

# %% [markdown]
# ## What is in the data
#
# One row is one simulated collision with a lepton and a tau. `detailed_labels` says what really
# happened. `weights` says how many recorded events the row stands for; only sums of weights mean
# anything, since rare processes are simulated more often than they occur.

# %%
train.groupby("detailed_labels")["weights"].agg(rows="size", expected="sum").round(0)

# %% [markdown]
# The events that a model meets have passed some final cuts and have derived quantities.
# `systematics` without shifts does just that to the training events. The mass of lepton and tau is
# the first thing to look at: the Z boson is lighter than the Higgs boson.

# %%
nominal = systematics(train)
labels = (nominal["labels"], nominal["weights"], nominal["detailed_labels"])
vis.stacked_histogram(nominal, *labels, "DER_mass_vis", mu_hat=2)

# %% [markdown]
# Higgs bosons also recoil more often against jets, so the transverse momentum of the whole Higgs
# candidate helps.

# %%
vis.stacked_histogram(nominal, *labels, "DER_pt_h", mu_hat=2, y_scale="log")

# %% [markdown]
# ## What the systematic effects do
#
# Six numbers describe how the simulation may be wrong. Three of them change events, three change
# how many events there are.

# %%
pd.DataFrame(
    [(one.name, one.description, one.loc, one.scale) for one in NUISANCES.values()],
    columns=["name", "meaning", "center", "width"],
).set_index("name")

# %% [markdown]
# The tau energy scale, shifted up by three times its uncertainty so that one can see it:

# %%
three = ["PRI_had_pt", "DER_mass_vis", "PRI_met"]
shifted = systematics(train, tes=1.03)
vis.histogram_syst(nominal, shifted, nominal["weights"], shifted["weights"], columns=three)

# %% [markdown]
# Every tau is 3 % harder, so the mass moves up, just as a little more Higgs signal would move it.
# That is the difficulty. The soft missing momentum does something else: it blurs.

# %%
shifted = systematics(train, soft_met=5.0, seed=1)
vis.histogram_syst(
    nominal, shifted, nominal["weights"], shifted["weights"],
    columns=["PRI_met", "DER_mass_transverse_met_lep", "DER_pt_h"],
)  # fmt: skip

# %% [markdown]
# ## A first model
#
# Count the events where signal is relatively common. With S expected signal events at mu = 1 and B
# of background, n counted events give
#
# $$\hat\mu = (n - B) / S, \qquad \Delta\mu = \sqrt{n + \sigma_B^2} / S .$$
#
# The second term of the uncertainty is how much B may be off. We find it by shifting the training
# events by one standard deviation of each effect, and adding the changes of B in quadrature. They
# are all independent, which is why squares add.


# %%
ONE_SIGMA = {
    "tes": 1.01, "jes": 1.01, "soft_met": 2.7,
    "ttbar_scale": 1.02, "diboson_scale": 1.25, "bkg_scale": 1.001,
}  # fmt: skip


class Model:
    """Counts events of high mass and high transverse momentum."""

    def __init__(self, get_train_set, systematics):
        self.get_train_set = get_train_set
        self.systematics = systematics

    def fit(self):
        train = self.get_train_set()
        self.signal, self.background = self.expected(train)
        shifts = [{name: value} for name, value in ONE_SIGMA.items()]
        changes = [self.expected(train, **shift)[1] - self.background for shift in shifts]
        self.systematic = np.sqrt(np.sum(np.square(changes)))

    def expected(self, train, **shift):
        events = self.systematics(train, **shift)
        inside = events[self.select(events)]
        is_signal = inside["labels"] == 1
        return inside["weights"][is_signal].sum(), inside["weights"][~is_signal].sum()

    @staticmethod
    def select(events):
        return (events["DER_mass_vis"] > 60) & (events["DER_pt_h"] > 40)

    def predict(self, test_set):
        n = self.select(test_set["data"]).sum()
        mu_hat = (n - self.background) / self.signal
        delta = np.sqrt(n + self.systematic**2) / self.signal
        return {
            "mu_hat": mu_hat, "delta_mu_hat": delta, "p16": mu_hat - delta, "p84": mu_hat + delta,
        }  # fmt: skip


# %% [markdown]
# Before the full loop, one pseudo-experiment by hand. We choose the truth, so we can check the
# answer.

# %%
model = Model(lambda **_: train, systematics)
model.fit()
store = EventStore.from_data(data)
test_set = store.pseudo_experiment(mu=1.5, nuisances={"tes": 1.01}, seed=1)
print(f"S = {model.signal:.0f}, B = {model.background:.0f} +- {model.systematic:.0f}")
{name: round(float(value), 2) for name, value in model.predict(test_set).items()}

# %% [markdown]
# ## The loop
#
# Three sets with a true mu each, and 60 pseudo-experiments in each set. In every one of them all
# six effects are drawn anew. This is what the platform does, with ten sets of a hundred.

# %%
data.load_test_set()
settings = {
    "systematics": dict.fromkeys(NUISANCES, True),
    "num_of_sets": 3,
    "num_pseudo_experiments": 60,
    "ground_truth_mus": [0.5, 1.5, 2.5],
}
ingestion = Ingestion(data)
ingestion.init_submission(Model)
ingestion.fit_submission()
ingestion.predict_submission(settings, initial_seed=31415)
ingestion.process_results_dict()
results = ingestion.results_dict
vis.visualize_scatter(results, dict(enumerate(settings["ground_truth_mus"])))

# %% [markdown]
# Above, each point is the mean of a set, and the bars hold 68 % and 95 % of its answers: they
# follow the truth. Below, each line is the interval that the model claimed in one
# pseudo-experiment; those that miss the truth have the other color. About a third should: an
# interval that always contains the truth is too long.

# %%
vis.visualize_coverage(results, dict(enumerate(settings["ground_truth_mus"])))

# %% [markdown]
# ## Score and report
#
# The score rewards short intervals, and punishes a coverage away from 68.27 %. `write_scores`
# writes `scores.json` and the report `detailed_results.html`.

# %%
output = tempfile.mkdtemp()
ingestion.save_result(output)
scoring = Scoring()
scoring.load_ingestion_results(output, output)
scoring.compute_scores(settings)
scoring.write_scores()
print(sorted(path.name for path in Path(output).iterdir()))
pd.Series(scoring.scores_dict).round(3)

# %% [markdown]
# ## Where to go from here
#
# - Save the class as `my_submission/model.py` and run `higgsml run my_submission`.
# - Change the two numbers in `select`. Is the best cut for a short interval the one with the
#   largest share of signal?
# - Use more of each event: train a classifier, count in bins of its output, and let a fit find mu
#   and the shifts together. The notebook `03_profile_likelihood` goes that way, `sample_submission`
#   to its end.
