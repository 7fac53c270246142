"""What training on shifted events costs beside the pass that makes them.

Runs the code of docs/how_to/nsbi.md up to its batches, and times, alternately, a step of these (two
pseudo-experiments, one shifted, joined to rows of a framework) and the pass of the same two alone.
Run with ``python benchmarks/nsbi.py --json benchmarks/results/nsbi.json``.
"""

import argparse
import json
import os
import re
import statistics
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how_to" / "nsbi.md"


def code_of_the_page():
    """Return what the page's blocks of code define, up to the loops of the frameworks."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    for block in blocks:
        if "import torch" in block or "import jax" in block:
            break
        exec(block, names)  # our own page
    return names


def measure(names, rounds):
    """Return the seconds of a step, of its pass alone, and the events of each."""
    times = {"step": [], "pass": []}
    for number in range(rounds + 2):
        start = time.perf_counter()
        x, _, tes = next(names["batches"](1, seed=number))
        step = time.perf_counter() - start
        start = time.perf_counter()
        blocks = [names["events"]({"tes": float(tes)}, 1), names["events"]({}, 0)]
        alone = time.perf_counter() - start
        if number >= 2:  # the first ones warm up
            times["step"].append(step)
            times["pass"].append(alone)
    return times, len(x), sum(block.shape[1] for block in blocks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    flags = parser.parse_args()
    os.chdir(ROOT)
    load = os.getloadavg()[0]
    times, rows, events = measure(code_of_the_page(), flags.rounds)
    ratios = [step / alone for step, alone in zip(times["step"], times["pass"], strict=True)]
    medians = {name: statistics.median(values) for name, values in times.items()}
    found = {
        "rounds": flags.rounds,
        "load_at_start": load,
        "rows": rows,
        "events": events,
        "step_ms": round(1e3 * medians["step"], 2),
        "pass_ms": round(1e3 * medians["pass"], 2),
        "events_per_second": round(events / medians["step"]),
        "ratio": round(statistics.median(ratios), 2),
    }
    print(json.dumps(found, indent=2))
    if flags.json is not None:
        flags.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
