"""How long it takes to score an archive of a hundred runs anew: answers as of honest methods.

``python benchmarks/rescore.py`` writes ``results/rescore.json``; ``make tables`` puts the number
into ``docs/how_to/rank.md``.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from HiggsML.ranking.archive import Archive, RankingSettings, RunRecord
from HiggsML.results import (
    REPEATABLE,
    Predictions,
    Settings,
    write_duration,
    write_predictions,
    write_settings,
)
from HiggsML.schema import MU_RANGE, NUISANCES

HERE = Path(__file__).resolve().parent


def make_archive(folder, *, runs, sets, experiments, seed=1):
    """Write the archive of a ranking whose methods err by up to 30 % more than the best."""
    rng = np.random.default_rng(seed)
    systematics = dict.fromkeys(NUISANCES, True)
    archive = Archive(folder)
    archive.begin(RankingSettings(sets, experiments, systematics, {}, 100.0, {}), seed)
    mus = dict(enumerate(rng.uniform(*MU_RANGE, size=sets).tolist()))
    shared = rng.normal(size=(sets, experiments))
    for number in range(runs):
        relative = 1 + 0.3 * number / runs
        own = np.sqrt(0.09 + relative**2 - 1)
        error = np.sqrt(0.91) * shared + own * rng.normal(size=shared.shape)
        run = archive.run_folder(f"method {number:03}")
        (run / "submission").mkdir(parents=True)
        (run / "submission" / "model.py").write_text("class Model: ...\n", encoding="utf-8")
        answers = {}
        for index, mu in mus.items():
            sigma = 0.035 + 0.012 * mu
            center = mu + sigma * error[index]
            half = np.full(experiments, relative * sigma)
            answers[index] = Predictions(center, half, center - half, center + half)
        predictions = run / "predictions"
        predictions.mkdir()
        write_predictions(predictions, answers)
        write_duration(predictions, 60.0)
        write_settings(
            predictions,
            Settings(
                num_of_sets=sets,
                num_pseudo_experiments=experiments,
                systematics=systematics,
                mus=mus,
                details={REPEATABLE: "yes"},
                notices=(),
            ),
        )
        archive.keep(run.name, RunRecord("finished"))
    archive.seal()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--pseudo-experiments", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "rescore.json")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "board"
        make_archive(folder, runs=flags.runs, sets=flags.sets, experiments=flags.pseudo_experiments)
        command = "from HiggsML.cli import main; main()"
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-c", command, "rank", "--rescore", folder],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.monotonic() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        rows = len(json.loads((folder / "board.json").read_text(encoding="utf-8"))["rows"])
    content = {
        "runs": rows,
        "sets": flags.sets,
        "experiments": flags.pseudo_experiments,
        "seconds": seconds,
        "processor_seconds": used.ru_utime + used.ru_stime,
    }
    flags.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content))


if __name__ == "__main__":
    main()
