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
# # Four leptons: find the cut
#
# One Higgs boson in eight thousand decays to four electrons or muons by way of two Z bosons. The
# decay is rare but clean, and it was one of the two in which the particle was discovered. Here we
# look for it with the simplest tool there is: a cut.
#
# Tasks come first, a solution after each. Try before you scroll.
#
# By default the events are made on the spot by a small toy generator. To use the published ATLAS
# open data instead, put `llll.csv` and `ggH125_ZZ4lep.csv` into a directory and set
# `DIRECTORY` to it.

# %%
import tempfile
from pathlib import Path

import numpy as np

from HiggsML.four_lepton import (
    clean_samples,
    cut_flow,
    cut_lep_charge,
    cut_lep_type,
    four_lepton_mass,
    plot_SoverB,
    read_samples,
    signal_over_background,
)
from HiggsML.four_lepton.events import write_four_lepton

DIRECTORY = None
if DIRECTORY is None:
    DIRECTORY = Path(tempfile.mkdtemp())
    write_four_lepton(DIRECTORY, events=15_000, seed=4)
DataFrames = read_samples(DIRECTORY)
DataFrames["ggH125_ZZ4lep"].head(3)

# %% [markdown]
# Leptons are numbered by falling transverse momentum. `lep_type` is 11 for an electron and 13 for a
# muon, momenta are in GeV, `mllll` is the mass of all four together. `totalWeight` is the number of
# expected events that a row stands for: add weights, do not count rows.

# %%
{name: round(float(frame["totalWeight"].sum()), 1) for name, frame in DataFrames.items()}

# %% [markdown]
# ## Task 1: clean the data
#
# Two Z bosons give four electrons, four muons, or two of each. What are the sums of `lep_type` for
# these? And what must the sum of the charges be? Write two functions that return True for events to
# be kept.
#
# ### Solution
#
# Electrons and muons come in pairs, so the sums are 44, 48 and 52; the charges add up to zero. The
# functions work for four numbers as well as for four columns.

# %%
print(cut_lep_type(11, 11, 13, 13), cut_lep_type(11, 13, 13, 13), cut_lep_charge(1, 1, -1, 1))
frame = DataFrames["llll"]
kept = cut_lep_type(frame.lep_type_0, frame.lep_type_1, frame.lep_type_2, frame.lep_type_3)
print(f"{kept.mean():.1%} of the rows have the right flavors")

# %% [markdown]
# Wrong flavors come from taus that decay to an electron or a muon, wrong charges from electrons
# that radiate in the detector. Both cuts, one after the other:

# %%
samples = clean_samples(DataFrames)
cut_flow(DataFrames).round(2)

# %% [markdown]
# ## Task 2: the mass
#
# Compute the mass of the four leptons from `lep_pt`, `lep_eta`, `lep_phi` and `lep_E`, and compare
# it with the column `mllll`.
#
# ### Solution
#
# Energies and momenta add; then $m^2 = E^2 - p_x^2 - p_y^2 - p_z^2$ with $p_x = p_T \cos\phi$,
# $p_y = p_T \sin\phi$, $p_z = p_T \sinh\eta$.

# %%
difference = four_lepton_mass(samples["llll"]) - samples["llll"]["mllll"]
print(f"largest difference: {np.abs(difference).max():.4f} GeV")

# %% [markdown]
# ## Task 3: describe a histogram
#
# A variable is drawn from `xrange_min`, in `num_bins` bins of `bin_width`. Write this dictionary
# for `lep_pt_2` (13 bins of 1 GeV from 7 GeV) and for `lep_pt_1` (28 bins).
#
# ### Solution

# %%
lep_pt_2 = {"bin_width": 1, "num_bins": 13, "xrange_min": 7, "xlabel": "$p_T$ of lepton 2 [GeV]"}
lep_pt_1 = lep_pt_2 | {"num_bins": 28, "xlabel": "$p_T$ of lepton 1 [GeV]"}
hist_dict = {"lep_pt_2": lep_pt_2, "lep_pt_1": lep_pt_1}

# %% [markdown]
# ## Task 4: where would you cut?
#
# For each edge of a bin, keep the events strictly above it, and divide the expected signal by the
# expected background. Where is the ratio largest?
#
# ### Solution

# %%
result = plot_SoverB(samples, hist_dict)
result

# %% [markdown]
# Left, the shapes of both samples. Right, the ratio of everything above a cut. The best cut is not
# where the two shapes cross: what counts is the sum of all that lies to its right.

# %%
result.scans["lep_pt_2"].as_frame().round(3).head(8)

# %% [markdown]
# ## Task 5: a window instead of a cut
#
# Momenta help little. Which column would tell a Higgs boson of 125 GeV from two Z bosons at once?
# Scan it in both directions, one after the other.
#
# ### Solution

# %%
mass = {"mllll": {"bin_width": 2, "num_bins": 40, "xrange_min": 80, "xlabel": "mass [GeV]"}}
above = plot_SoverB(samples, mass)
above

# %%
low = above.scans["mllll"].best_cut
inside = {name: frame[frame["mllll"] > low] for name, frame in samples.items()}
below = plot_SoverB(inside, mass, direction="below", keep=0.8)
below

# %% [markdown]
# `keep=0.8` asks for the best cut among those that keep four fifths of the signal. Without it the
# largest ratio is a matter of luck: a cut that a handful of simulated events pass. The band shows
# that uncertainty, and crosses mark cuts that no background passes, where the ratio is not defined.

# %%
scan = below.scans["mllll"]
print(
    f"{low:.0f} GeV < mass < {scan.best_cut:.0f} GeV: {scan.signal[scan.best]:.1f} signal and "
    f"{scan.background[scan.best]:.1f} background events"
)

# %% [markdown]
# ## Task 6: is S/B what we want?
#
# A cut that leaves one event has a fine ratio and proves nothing. Compare with $S/\sqrt B$, which
# compares the signal with the fluctuation of the background.
#
# ### Solution

# %%
scans = signal_over_background(inside, mass, direction="below")
table = scans["mllll"].as_frame()
table.loc[[table["percent"].idxmax(), table["significance"].idxmax()]].round(2)

# %% [markdown]
# The first row has the best ratio, the second the best significance. With many variables the cuts
# would have to be found together: that is what a classifier does.
