"""What isolation costs in the loop's steady state: the time of one pseudo-experiment, off and on.

Events are made and measured alternately in two sandboxes, so that other load on the machine meets
both alike; the median of the ratios is reported. Run with ``python benchmarks/isolation.py``.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from HiggsML.datasets import Data
from HiggsML.ingestion.workers import Draws, Task, Worker
from HiggsML.isolation.sandbox import Sandbox
from HiggsML.pseudo_experiments import EventStore
from HiggsML.schema import NUISANCES

MODEL = """
import numpy as np
class Model:
    def __init__(self, get_train_set, systematics): ...
    def fit(self): ...
    def predict(self, test_set):
        x = test_set["data"].to_numpy()
        mu = float(np.clip(np.median(x[:, 0]) / 30, 0.1, 3))
        return {"mu_hat": mu, "delta_mu_hat": 0.1, "p16": mu - 0.1, "p84": mu + 0.1}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = Path(__file__).resolve().parents[1]
    parser.add_argument("--input", type=Path, default=root / "input_data")
    parser.add_argument("--submission", type=Path, default=None, help="a trivial model by default")
    parser.add_argument("--rounds", type=int, default=300)
    flags = parser.parse_args()
    data = Data(flags.input)
    store = EventStore.from_data(data)
    draws = Draws(1, dict.fromkeys(NUISANCES, True))
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "model.py").write_text(MODEL)
        submission = flags.submission or Path(directory)
        with (
            Sandbox(submission, isolation="off") as off,
            Sandbox(submission, isolation="prefer") as on,
        ):
            workers = {}
            for name, sandbox in (("off", off), ("on", on)):
                sandbox.fit(data)
                workers[name] = Worker(store, sandbox, draws, None)
            times = {"off": [], "on": []}
            for number in range(flags.rounds + 5):
                for name in ("off", "on") if number % 2 else ("on", "off"):
                    start = time.perf_counter()
                    workers[name].run(Task(0, number))
                    if number >= 5:  # the first ones warm up
                        times[name].append(time.perf_counter() - start)
    for name, values in times.items():
        print(f"isolation {name:3}: median {1e3 * statistics.median(values):.2f} ms")
    ratios = [on / off for on, off in zip(times["on"], times["off"], strict=True)]
    medians = statistics.median(times["on"]) / statistics.median(times["off"])
    print(f"ratio on / off: {medians:.3f} of the medians, {statistics.median(ratios):.3f} paired")


if __name__ == "__main__":
    main()
