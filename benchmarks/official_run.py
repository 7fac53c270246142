"""One judged run in full: the sample submission at official yields, 10 sets of 1,000.

    python benchmarks/official_run.py --input official --output outputs/official

The dataset is made if it is not there. Takes more than an hour on two processors, and writes what
the run took to ``results/official_run.json``, from which ``make tables`` writes it into
INFORMATION.md; what it found is for ``higgsml information``. The clock counts the run alone, and
means little beside other work; processor time means much the same everywhere.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from memory import cost_of

from HiggsML.generator.dataset import METADATA_FILE
from HiggsML.results import DURATION_FILE, load_fit_duration

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HIGGSML = Path(sys.executable).with_name("higgsml")
EVENTS = 92_000_000  # the least that "higgsml generate" recommends at official yields
SEED = 20243


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, required=True, help="Dataset; made if not there.")
    parser.add_argument("--output", type=Path, required=True, help="Of the run; must be new.")
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--pseudo-experiments", type=int, default=1000, help="Per set.")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "official_run.json")
    flags = parser.parse_args()
    if not flags.input.exists():
        make = [HIGGSML, "generate", "--scenario", "official", "--events", EVENTS, "--seed", SEED]
        cost_of([*make, "--output", flags.input])
    command = [HIGGSML, "run", ROOT / "sample_submission", "--input", flags.input]
    command += ["--output", flags.output, "--seed", 2024, "--sets", flags.sets]
    cost = cost_of([*command, "--pseudo-experiments", flags.pseudo_experiments])
    dataset = json.loads((flags.input / METADATA_FILE).read_text(encoding="utf-8"))
    fit_minutes = load_fit_duration(flags.output / "predictions" / DURATION_FILE)
    content = {
        "processors": os.cpu_count(),
        "generator": dataset["generator"]["version"],
        "events": sum(process["rows"] for process in dataset["processes"].values()),
        "sets": flags.sets,
        "experiments": flags.pseudo_experiments,
        "hours": round(cost.clock / 3600, 2),
        "processor_hours": round(cost.processor / 3600, 2),
        "fit_minutes": round(fit_minutes, 1),
        "memory_gb": round(cost.memory / 1000, 1),
    }
    flags.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
