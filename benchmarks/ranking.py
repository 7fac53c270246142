"""How well a ranking tells methods apart: simulated rankings of two methods whose truth is known.

An honest method of width 2 sigma errs by sigma times a standard normal. Two methods measure the
same events, so their errors are nearly the same; the worse one has an error of its own on top, and
its intervals are as much longer as that takes. mu is drawn from U(0.1, 3), sigma rises with it, and
widths vary from one pseudo-experiment to the next as those of the sample submission do.

``python benchmarks/ranking.py`` writes ``results/ranking.json``; ``make tables`` puts the numbers
into RANKING.md.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from scipy.special import stdtr

from HiggsML.schema import MU_RANGE
from HiggsML.statistics.intervals import Intervals
from HiggsML.statistics.ranking import LEVEL, rank

HERE = Path(__file__).resolve().parent
SETS, EXPERIMENTS = 10, 1000
WIDTH_SPREAD = 0.05  # of one pseudo-experiment's width, relative
LEVELS = (LEVEL, 0.01)
CRITERIA = ("interval_score", "quantiles_score")
OWN_ERROR = 0.3
"""Two equally good methods: the part of sigma that is each method's own."""


def sigma_at(mu):
    """Return the error of a perfect method; at 0.1 to 3 as on the shipped dataset."""
    return 0.035 + 0.012 * mu


def methods(rng, excess, *, shared=True):
    """Return intervals of a method, and of one that is wider by the share ``excess``.

    With ``shared=False`` the second one measured other pseudo-experiments of other mu.
    """
    made = []
    draws = None
    for relative in (1.0, 1.0 + excess):
        if draws is None or not shared:
            mu = rng.uniform(*MU_RANGE, size=(SETS, 1))
            draws = mu, rng.normal(size=(SETS, EXPERIMENTS))
        mu, common = draws
        # Both have an error of their own; that of the worse one is larger.
        own = np.sqrt(OWN_ERROR**2 + relative**2 - 1)
        spread = 1 + WIDTH_SPREAD * rng.normal(size=common.shape)
        sigma = sigma_at(mu) * spread
        error = np.sqrt(1 - OWN_ERROR**2) * common + own * rng.normal(size=common.shape)
        center = mu + sigma * error
        made.append(Intervals.of(mu, center - relative * sigma, center + relative * sigma))
    return made


def share_separated(excess, rankings, seed, *, shared=True):
    """Return how often each score separates the two, by level of the family-wise error."""
    found = {by: dict.fromkeys(map(str, LEVELS), 0) for by in CRITERIA}
    wrong = dict.fromkeys(CRITERIA, 0)
    for number in range(rankings):
        rng = np.random.default_rng([seed, number])
        better, worse = methods(rng, excess, shared=shared)
        for by in CRITERIA:
            names = {"better": better, "worse": worse}
            if shared:
                board = rank(names, by=by, seed=number)
                p_value, first = board.pairs[0].adjusted, board.rows[0].name
            else:
                p_value, first = unpaired(names, by, number)
            for level in LEVELS:
                found[by][str(level)] += int(p_value <= level)
            wrong[by] += int(p_value <= min(LEVELS) and first == "worse" and excess > 0)
    return {
        by: {level: count / rankings for level, count in counts.items()} | {"wrong": wrong[by]}
        for by, counts in found.items()
    }


def unpaired(names, by, seed):
    """Compare two scores by their own errors, as of two runs that share nothing."""
    rows = [rank({name: one}, by=by, seed=seed).rows[0] for name, one in names.items()]
    error = np.hypot(rows[0].errors.total, rows[1].errors.total)
    p_value = 2 * stdtr(SETS - 1, -abs(rows[0].score - rows[1].score) / error)
    sign = 1 if by == "interval_score" else -1
    return p_value, min(rows, key=lambda row: sign * row.score).name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rankings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "ranking.json")
    flags = parser.parse_args()
    cases = {
        "equal": (0.0, True),
        "2 % wider": (0.02, True),
        "equal, unpaired": (0.0, False),
        "2 % wider, unpaired": (0.02, False),
    }
    content = {"rankings": flags.rankings, "sets": SETS, "experiments": EXPERIMENTS, "cases": {}}
    for name, (excess, shared) in cases.items():
        print(name, file=sys.stderr)
        content["cases"][name] = share_separated(excess, flags.rankings, flags.seed, shared=shared)
    flags.json.parent.mkdir(parents=True, exist_ok=True)
    flags.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
