"""How many shifted events the templates of the sample submission need: a closure check.

The sample submission measures how its histograms change with the energy scales and the soft missing
momentum on at most ``MAX_SHIFTED_EVENTS`` training events, since each is shifted and judged at
nineteen points. Fewer of them make the changes noisy, and the estimate of mu with them.

    higgsml generate --scenario official --events 9000000 --seed 7 --output official
    python benchmarks/shifted_events.py --input official

Templates whose changes come from disjoint parts of the events are made for each size. The counts
that one expects, under nuisance parameters drawn from their priors, are measured with the others:
the difference to the true mu, in units of the stated uncertainty, has twice the variance that one
of them causes. ``make tables`` writes ``results/shifted_events.json`` into CLOSURE.md.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from HiggsML.datasets import Data
from HiggsML.systematics import systematics

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parent / "sample_submission"
PARTS = (4, 8, 16)  # of the events; the changes are measured on one
REPEATS = 4  # parts of each size
TRUTHS = 25  # mu and nuisance parameters
SEED = 2024


def sample_modules():
    """Return the modules ``model``, ``templates`` and ``likelihood`` of the sample submission."""
    sys.path.insert(0, str(SAMPLE))
    import likelihood
    import model
    import templates

    return model, templates, likelihood


def filled(model, templates, events, classifier, parts, start):
    """Return templates whose changes come from every ``parts``-th event, beginning at a place."""
    templates.MAX_SHIFTED_EVENTS = -(-len(events) // parts)
    rotated = pd.concat([events.iloc[start:], events.iloc[:start]])
    return templates.Templates.fill(rotated, model.systematics, classifier)


def biases(likelihood, templates, rng):
    """Return (mu_hat - mu) / uncertainty of counts that one's templates expect for another's."""
    found = []
    methods = [likelihood.ProfileLikelihood(one) for one in templates]
    for truth, method in itertools.permutations(methods, 2):
        for _ in range(TRUTHS):
            mu, z = rng.uniform(1, 3), rng.standard_normal(6)  # where no interval ends at zero
            counts, _ = truth.expected(mu, z)
            at_truth, *_ = truth.measure(counts)
            mu_hat, low, high, _ = method.measure(counts)
            # The prior pulls both alike; what is left is the other templates'.
            found.append(2 * (mu_hat - at_truth) / (high - low))
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, required=True, help="dataset of official yields")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "shifted_events.json")
    flags = parser.parse_args()
    module, templates, likelihood = sample_modules()
    usual = templates.MAX_SHIFTED_EVENTS
    data = Data(flags.input)
    data.load_train_set()
    model = module.Model(lambda **_: data.get_train_set(), systematics)
    events = model.events
    classifier = model.trained_classifier()
    rng = np.random.default_rng(SEED)
    sizes = []
    for parts in PARTS:
        made = [
            filled(model, templates, events, classifier, parts, start) for start in range(REPEATS)
        ]
        found = biases(likelihood, made, rng)
        size = len(events) // parts
        rms = float(np.sqrt(np.mean(found**2) / 2))
        # Pairs share templates: their number, not that of the truths, says how well this is known.
        error = rms / np.sqrt(2 * (REPEATS - 1))
        sizes.append({"events": size, "bias": [rms, error]})
        print(f"{size:,} shifted events: {rms:.3f} +- {error:.3f} of the uncertainty", flush=True)
    # The variance falls as one over the number of events.
    factors = [one["bias"][0] * np.sqrt(one["events"]) for one in sizes]
    at_usual = float(np.mean(factors) / np.sqrt(usual))
    content = {
        "training_events": len(events),
        "sizes": sizes,
        "usual": {"events": usual, "bias": at_usual},
        "tenth": float(np.mean(factors) ** 2 / 0.1**2),
    }
    flags.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
