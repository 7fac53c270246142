"""What a submission costs an organizer: processor time, memory, disk.

    python benchmarks/costs.py

Runs each method as the competition does, with two workers, for two numbers of pseudo-experiments:
the difference gives what one more costs, the rest what training and start-up do. Processor time is
that of all processes together, which other load on the machine hardly changes. ``make tables``
writes ``results/costs.json`` into the pages.

At official yields a pseudo-experiment has a million events whatever the size of the dataset, so a
small dataset will do for a prediction; the training takes longer with a larger one.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from memory import cost_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HIGGSML = Path(sys.executable).with_name("higgsml")
WORKERS = 2
METHODS = {"counting": "examples/counting", "sample_submission": "sample_submission"}
SETS = 2
PREDICTIONS = 1000  # of a competition's run; what is kept is scaled to it
# Pseudo-experiments per set, few and many.
EXPERIMENTS = {"mini": (10, 200), "official": (1, 4)}
OFFICIAL_EVENTS = 400_000


def run(method, dataset, experiments, output):
    """Run a method; return its processor time [s], peak memory [MB] and what it leaves [MB]."""
    command = [HIGGSML, "run", ROOT / METHODS[method], "--input", dataset, "--output", output]
    command += ["--sets", SETS, "--pseudo-experiments", experiments, "--workers", WORKERS]
    command += ["--repeatable", "off", "--seed", 1]
    cost = cost_of(command)
    left = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return cost.processor, cost.memory, left / 1e6


def costs(method, scenario, dataset, directory):
    """Return what a method costs with a dataset of a scenario."""
    few, many = EXPERIMENTS[scenario]
    (first, _, small), (second, memory, large) = (
        run(method, dataset, number, directory / f"{method}_{scenario}_{number}")
        for number in (few, many)
    )
    difference = SETS * (many - few)
    prediction = max((second - first) / difference, 0)
    return {
        "method": method,
        "scenario": scenario,
        "predictions": [SETS * few, SETS * many],
        "prediction_seconds": round(prediction, 4),
        "training_seconds": round(max(first - SETS * few * prediction, 0), 1),
        "memory_mb": round(memory),
        "kept_mb": round(large + (large - small) / difference * (PREDICTIONS - SETS * many), 2),
    }


def official_dataset(directory):
    """Generate a small dataset at official yields."""
    path = directory / "official"
    options = ("--scenario", "official", "--events", str(OFFICIAL_EVENTS), "--seed", "1")
    command = [HIGGSML, "generate", *options, "--output", path]
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=HERE / "results" / "costs.json")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        datasets = {"mini": ROOT / "input_data", "official": official_dataset(directory)}
        rows = [
            costs(method, scenario, dataset, directory)
            for scenario, dataset in datasets.items()
            for method in METHODS
        ]
        sizes = {name: sum(f.stat().st_size for f in d.iterdir()) for name, d in datasets.items()}
    content = {
        "machine": {"processors": os.cpu_count(), "system": platform.system()},
        "workers": WORKERS,
        "official_events": OFFICIAL_EVENTS,
        "dataset_mb": {name: round(size / 1e6) for name, size in sizes.items()},
        "rows": rows,
    }
    flags.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
