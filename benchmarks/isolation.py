"""What isolation and asking again cost.

1. The time of one pseudo-experiment, with isolation off and on. Events are made and measured
   alternately in two sandboxes, so that other load on the machine meets both alike; the median of
   the ratios is reported, for a counting model and for the sample submission.
2. The share of a whole run (10 x 100) that asking again takes (``--runs``).

Run with ``python benchmarks/isolation.py --json benchmarks/results/isolation.json``.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from HiggsML.datasets import Data
from HiggsML.ingestion import IngestionOptions, run_ingestion
from HiggsML.ingestion.workers import Draws, Task, Worker
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.pseudo_experiments import EventStore
from HiggsML.schema import NUISANCES

COUNTING = """
import numpy as np
class Model:
    def __init__(self, get_train_set, systematics): ...
    def fit(self): ...
    def predict(self, test_set):
        x = test_set["data"].to_numpy()
        mu = float(np.clip(np.median(x[:, 0]) / 30, 0.1, 3))
        return {"mu_hat": mu, "delta_mu_hat": 0.1, "p16": mu - 0.1, "p84": mu + 0.1}
"""


def one_experiment(data, submission, rounds):
    """Return medians with isolation off and on [s], and the median of their ratios."""
    store = EventStore.from_data(data)
    draws = Draws(1, dict.fromkeys(NUISANCES, True))
    with (
        Sandbox(submission, isolation="off") as off,
        Sandbox(submission, isolation="prefer") as on,
    ):
        workers = {}
        for name, sandbox in (("off", off), ("on", on)):
            sandbox.fit(data)
            workers[name] = Worker(store, sandbox, draws, None)
        times = {"off": [], "on": []}
        for number in range(rounds + 5):
            for name in ("off", "on") if number % 2 else ("on", "off"):
                start = time.perf_counter()
                workers[name].run(Task(0, number))
                if number >= 5:  # the first ones warm up
                    times[name].append(time.perf_counter() - start)
    ratios = [on / off for on, off in zip(times["on"], times["off"], strict=True)]
    medians = {name: statistics.median(values) for name, values in times.items()}
    return medians, statistics.median(ratios)


def whole_run(directory, submission, number):
    """Return the time of a run of 10 x 100, and that of asking again [s]."""
    last = {}
    with tempfile.TemporaryDirectory() as output:
        start = time.perf_counter()
        run_ingestion(
            IngestionOptions(
                directory,
                submission,
                Path(output) / "out",
                systematics=dict.fromkeys(NUISANCES, True),
                seed=number,
                repeatable="require",
                checkpoint=False,
            ),
            lambda stage, *_: last.__setitem__(stage, time.perf_counter()),
        )
        return time.perf_counter() - start, last["repeat"] - last["predict"]


def main():
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, default=root / "input_data")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--runs", type=int, default=2, help="whole runs of each")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    flags = parser.parse_args()
    found = {"rounds": flags.rounds, "runs": flags.runs, "load_at_start": os.getloadavg()[0]}
    data = Data(flags.input)
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "model.py").write_text(COUNTING)
        models = {
            "counting model": (Path(directory), flags.rounds),
            "sample submission": (root / "sample_submission", max(20, flags.rounds // 10)),
        }
        for name, (submission, rounds) in models.items():
            medians, ratio = one_experiment(data, submission, rounds)
            found[name.replace(" ", "_")] = {
                "off_ms": round(1e3 * medians["off"], 2),
                "on_ms": round(1e3 * medians["on"], 2),
                "cost_percent": round(100 * (ratio - 1), 1),
            }
            print(
                f"{name}: isolation off {1e3 * medians['off']:.2f} ms, on "
                f"{1e3 * medians['on']:.2f} ms per pseudo-experiment; ratio {ratio:.3f}"
            )
        for name, (submission, _) in models.items():
            runs = [whole_run(flags.input, submission, number) for number in range(flags.runs)]
            whole, asking = map(statistics.median, zip(*runs, strict=True))
            share = statistics.median(
                100 * again / (all_of_it - again) for all_of_it, again in runs
            )
            times = f"{whole:.1f} s, of which asking again {asking:.2f} s: {share:.1f} %"
            print(f"{name}: a run takes {times}")
            found[name.replace(" ", "_")] |= {
                "run_seconds": round(whole, 1),
                "asking_again_seconds": round(asking, 2),
                "asking_again_percent": round(share, 1),
            }
    if flags.json is not None:
        flags.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
