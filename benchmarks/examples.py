"""What README and pages state of runs that were made with the same seed, from their outputs.

``make examples`` calls it: ``python benchmarks/examples.py outputs/examples/*`` writes
``results/examples.json``, and the README's picture from the first run.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from HiggsML.studies.comparison import compare_runs
from HiggsML.visualization import visualize_coverage

HERE = Path(__file__).resolve().parent


def numbers(run):
    """Return a run's scores, each with its standard error."""
    summary = run.summary
    return {
        "quantiles_score": [run.quantiles_score, run.score_error],
        "coverage": [run.coverage, run.coverage_error],
        "width": [run.width, run.width_error],
        "interval_score": [summary.interval_score, summary.interval_score_error],
        "minutes": run.minutes,
    }


def picture(run, path):
    """Draw intervals and truth of the first three sets of a run."""
    measured = run.measurements
    sets, mus = {}, {}
    for index, mu in enumerate(list(dict.fromkeys(measured.mu.tolist()))[:3]):
        inside = measured.mu == mu
        mus[index] = mu
        sets[index] = {
            "mu_hats": measured.mu_hat[inside],
            "p16": measured.p16[inside],
            "p84": measured.p84[inside],
        }
    visualize_coverage(sets, mus).savefig(path, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="output directories of higgsml run")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "examples.json")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs" / "intervals.png")
    flags = parser.parse_args()
    runs, differences = compare_runs(flags.runs)
    content = {
        "runs": {run.name: numbers(run) for run in runs},
        "against": runs[0].name,
        "differences": {
            name: {d.quantity: asdict_of(d) for d in found} for name, found in differences.items()
        },
    }
    flags.json.parent.mkdir(parents=True, exist_ok=True)
    flags.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    picture(runs[0], flags.picture)


def asdict_of(value):
    """Return a named tuple or a frozen value as a dict."""
    return value._asdict() if hasattr(value, "_asdict") else asdict(value)


if __name__ == "__main__":
    main()
