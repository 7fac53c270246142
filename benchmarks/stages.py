"""Where the time of a pseudo-experiment goes: ``python benchmarks/stages.py``, prints a table.

Stages are told apart by the profiler, on one thread, filling the same block again and again.
"""

import argparse
import cProfile
import pstats
from pathlib import Path

import numpy as np
from data import ROOT, dataset
from ours import RATES, SHIFTS

from HiggsML.datasets import Data
from HiggsML.physics.features import FORMULAS
from HiggsML.pseudo_experiments import EventStore
from HiggsML.schema import FEATURES

STAGES = {
    "draw_rows": "draw which events",
    "_gather": "gather the events' rows as columns",
    "gaussian_pair": "draw the soft missing momentum",
    "shifted": "shift and round",
    "without_soft_jets": "remove soft jets",
    **dict.fromkeys(
        (formula.__code__.co_name for formula in FORMULAS.values()), "derived quantities"
    ),
}
REST = "write the features"


def stages(data, rounds):
    """Return seconds per pseudo-experiment by stage."""
    store = EventStore.from_data(Data(data, 1.0))
    plan = store.plan(mu=1.5, nuisances=SHIFTS | RATES, seed=1)
    block = np.empty((len(FEATURES), plan.n_events), dtype=np.float32)
    store.fill(plan, block)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(rounds):
        store.fill(plan, block)
    profile.disable()
    seconds, total = {}, 0.0
    for (_, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():
        if name in STAGES:
            seconds[STAGES[name]] = seconds.get(STAGES[name], 0.0) + cumulative / rounds
        elif name == "fill":
            total = max(total, cumulative / rounds)
    return {
        REST: total - sum(seconds.values()),
        **{name: seconds[name] for name in dict.fromkeys(STAGES.values())},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the test set")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "benchmarks")
    flags = parser.parse_args()
    data = dataset(flags.cache, flags.rows)
    found = stages(data, flags.rounds)
    total = sum(found.values())
    print("| Stage | ms | share |\n|---|---:|---:|")
    for name, seconds in found.items():
        print(f"| {name} | {1e3 * seconds:.0f} | {seconds / total:.0%} |")


if __name__ == "__main__":
    main()
