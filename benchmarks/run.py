"""Benchmarks against the reference implementation: ``make bench``, or ``python run.py --help``.

Every measurement is a process of its own, and the two implementations take turns on the same data,
so that what else the machine does hits both. Medians and their ratios are kept in
``results/speed.json``, from which ``make tables`` writes RESULTS.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from data import ROOT, dataset
from memory import INTERVAL, private_and_shared
from stages import stages

from HiggsML.results import (
    Predictions,
    Settings,
    write_duration,
    write_predictions,
    write_settings,
)
from HiggsML.schema import NUISANCES

HERE = Path(__file__).resolve().parent
REFERENCE = "HiggsML==0.1.5"
TIMEOUT = 3600  # s, for one measurement
SHARE_OF_MEMORY = 0.95  # of what is available may be used by one measurement


@dataclass
class Variant:
    """One column of a case: an implementation and how it is called."""

    name: str
    side: str
    case: str
    parameters: dict = field(default_factory=dict)
    threads: int = 1  # of numerical libraries, and of our own work on data frames


@dataclass
class Case:
    """What is compared; the first variant is the reference's, if it has one."""

    title: str
    variants: list[Variant]


def by_threads(case, parameters):
    """Return the variants of a case in which both implementations may use two threads."""
    return [
        Variant("reference", "reference", case, parameters, threads=2),
        Variant("1 thread", "ours", case, parameters),
        Variant("2 threads", "ours", case, parameters, threads=2),
    ]


def cases(chosen, cache, sizes, small, experiments):
    """Yield the cases, making their data when their turn comes."""
    for size in sizes:
        if "pseudo-experiment" in chosen:
            data = str(dataset(cache, int(size * 1e6)))
            repeated = {"data": data, "repetitions": 5, "warm_up": 2}
            yield Case(
                f"One pseudo-experiment, {size:g} M test rows",
                [
                    Variant("reference", "reference", "pseudo_experiment", repeated),
                    Variant("1 thread", "ours", "pseudo_experiment", repeated),
                    Variant("2 threads", "ours", "pseudo_experiment", repeated | {"threads": 2}),
                    Variant(
                        "1 thread, fresh block",
                        "ours",
                        "pseudo_experiment",
                        repeated | {"keep": True},
                    ),
                    Variant("limit", "ours", "limit", repeated),
                    Variant("limit, fresh block", "ours", "limit", repeated | {"fresh": True}),
                ],
            )
        if "open" in chosen:
            data = str(dataset(cache, int(size * 1e6)))
            yield Case(
                f"Opening the test set, {size:g} M rows (ours: converted before)",
                [
                    Variant("reference", "reference", "open_test_set", {"data": data}),
                    Variant("1 thread", "ours", "open_test_set", {"data": data}),
                ],
            )
    rows, total = (20_000, 40_000) if small else (1_000_000, 2_000_000)
    frame = {"rows": rows, "repetitions": 5, "warm_up": 2}
    for name, case in (("systematics", "shifted_frame"), ("DER_data", "derived_frame")):
        if name in chosen:
            parameters = {"data": str(dataset(cache, total)), **frame}
            yield Case(f"`{name}`, {rows / 1e6:g} M rows", by_threads(case, parameters))
    if "training" in chosen:
        parameters = {
            "data": str(dataset(cache, total, derived=True)),
            "repetitions": 5,
            "warm_up": 1,
        }
        yield Case(
            f"Loading a training set, {0.7 * total / 1e6:g} M rows, 28 features in the file",
            by_threads("training_set", parameters),
        )
    if "ingestion" in chosen:
        parameters = {
            "data": str(dataset(cache, total, derived=True)),
            "submission": str(HERE / "trivial_model"),
            "experiments": experiments,
        }
        yield Case(
            f"Ingestion of {experiments} pseudo-experiments, trivial model, "
            f"{0.3 * total / 1e6:g} M test rows",
            [
                Variant("reference", "reference", "whole_ingestion", parameters),
                *(
                    Variant(label, "ours", "whole_ingestion", parameters | {"workers": workers})
                    for label, workers in (("1 worker", 1), ("2 workers", 2))
                ),
            ],
        )
    if "scoring" in chosen:
        count = 20 if small else 1000
        parameters = {"predictions": str(predictions(cache, 10, count))}
        yield Case(
            f"Scoring 10 x {count} with its report",
            [
                Variant("reference", "reference", "scoring", parameters),
                Variant("1 thread", "ours", "scoring", parameters),
            ],
        )
    yield from whole_commands(chosen, cache, small, total)


def whole_commands(chosen, cache, small, total):
    """Yield the cases of whole commands, each with all that it starts and writes."""
    sample = str(ROOT / "sample_submission")
    for name, title, data, sets, experiments in (
        ("demo", "`make demo`", ROOT / "input_data", 10, 100),
        ("official", "Official yields, sample submission", None, 10, 20),
    ):
        if name in chosen:
            if small:
                sets, experiments = 1, 2
            directory = str(data or dataset(cache, total, derived=True))
            size = ["--sets", str(sets), "--pseudo-experiments", str(experiments)]
            run = ["run", sample, "--input", directory, "--output", "OUTPUT", "--seed", "1", *size]
            theirs = {"data": directory, "submission": sample, "experiments": experiments}
            yield Case(
                f"{title}, {sets} x {experiments}, with fit and report",
                [
                    Variant("reference", "reference", "whole_run", theirs | {"sets": sets}, 2),
                    Variant("ours", "ours", "command", {"arguments": run}, 2),
                ],
            )
    events, number = ("50000", "3") if small else ("480000", "100")
    shipped = ("--input", str(ROOT / "input_data"))
    commands = {
        "information": ["--events", "50000" if small else "1200000", "--output", "OUTPUT"],
        "study": [sample, "--output", "OUTPUT", "--pseudo-experiments", number, *shipped],
        "generate": ["--events", events, "--seed", "1", "--output", "OUTPUT"],
    }
    for name, arguments in commands.items():
        if name in chosen:
            parameters = {"arguments": [name, *arguments]}
            yield Case(f"`higgsml {name}`", [Variant("ours", "ours", "command", parameters, 2)])
    if "starts" in chosen:
        repeated = {"repetitions": 5, "warm_up": 1}
        helps = {"arguments": ["run", "--help"], **repeated}
        yield Case(
            "Start: `higgsml run --help`; the reference's imports",
            [
                Variant("reference", "reference", "start", repeated),
                Variant("ours", "ours", "command", helps),
            ],
        )


CASES = (
    "pseudo-experiment",
    "open",
    "systematics",
    "DER_data",
    "training",
    "ingestion",
    "scoring",
    "demo",
    "official",
    "information",
    "study",
    "generate",
    "starts",
    "stages",
)
LONG = ("official", "information", "study")  # left out by --quick


def predictions(cache, sets, count):
    """Return a directory with result files that both implementations can score."""
    directory = cache / f"predictions-{sets}-{count}"
    rng = np.random.default_rng(1)
    mus = dict(enumerate(rng.uniform(0.1, 3.0, sets)))
    results = {}
    for index, mu in mus.items():
        mu_hat = mu + rng.normal(0.0, 0.3, count)
        results[index] = Predictions(mu_hat, np.full(count, 0.3), mu_hat - 0.3, mu_hat + 0.3)
    write_predictions(directory, results)
    for path in directory.glob("result_*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        content |= {"p16s": content["p16"], "p84s": content["p84"]}
        path.write_text(json.dumps(content), encoding="utf-8")
    write_duration(directory, 60.0)
    write_settings(directory, Settings(sets, count, dict.fromkeys(NUISANCES, True), mus))
    return directory


def available_memory():
    """Bytes that can be had without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/meminfo does not say how much memory is available")


def measure(variant, interpreters):
    """Run one measurement; return what it printed, or why it failed."""
    parameters = {
        **variant.parameters,
        "memory_limit": int(SHARE_OF_MEMORY * available_memory()),
    }
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" or variant.side == "ours"
    }
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment |= dict.fromkeys(names, str(variant.threads))
    environment["MPLBACKEND"] = "agg"
    command = [interpreters[variant.side], HERE / "measure.py", variant.side, variant.case]
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        with out.open("wb") as stdout, err.open("wb") as stderr:
            running = subprocess.Popen(
                [*command, json.dumps(parameters)],
                stdout=stdout,
                stderr=stderr,
                env=environment,
                cwd=directory,
            )
            together, end = 0.0, time.monotonic() + TIMEOUT
            while running.poll() is None:
                if variant.case == "whole_ingestion":
                    together = max(together, private_and_shared(running.pid))
                if time.monotonic() > end:
                    running.kill()
                    running.wait()
                    return {"error": f"took longer than {TIMEOUT} s"}
                time.sleep(INTERVAL)
        if running.returncode < 0:
            return {"error": f"ended by signal {-running.returncode} (out of memory?)"}
        if running.returncode:
            lines = err.read_text(errors="replace").strip().splitlines()
            return {"error": (lines or ["no message"])[-1][:300]}
        answer = json.loads(out.read_text().strip().splitlines()[-1])
    return answer | ({"together_mb": together} if together else {})


def run_case(case, rounds, interpreters):
    """Measure all variants in turn, several times; one that fails is not tried again."""
    found = {
        variant.name: {"seconds": [], "peak_mb": [], "together_mb": []} for variant in case.variants
    }
    for number in range(rounds):
        for variant in case.variants:
            entry = found[variant.name]
            if "error" in entry:
                continue
            answer = measure(variant, interpreters)
            if "error" in answer:
                entry["error"] = answer["error"]
                print(f"  {variant.name}: {answer['error']}", file=sys.stderr)
                continue
            for key in entry:
                if key in answer:
                    entry[key].append(answer[key])
            print(
                f"  {number + 1}/{rounds} {variant.name}: {answer['seconds']:.3f} s, "
                f"{answer['peak_mb']:.0f} MB",
                file=sys.stderr,
            )
    for entry in found.values():
        if entry["seconds"]:
            entry["median"] = statistics.median(entry["seconds"])
            for key in ("peak_mb", "together_mb"):
                if entry[key]:
                    entry[f"median_{key}"] = statistics.median(entry[key])
    theirs = found.get("reference", {}).get("median")
    for name, entry in found.items():
        if theirs and "median" in entry and name != "reference":
            entry["ratio"] = theirs / entry["median"]
    return {"title": case.title, "variants": found}


def machine(interpreters):
    """Describe the machine and the software, without names."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    code = (
        "import json, platform; from importlib.metadata import version; "
        "print(json.dumps({'python': platform.python_version(), "
        "**{n: version(n) for n in ('numpy', 'pandas', 'pyarrow', 'matplotlib')}}))"
    )
    versions = {}
    for side, interpreter in interpreters.items():
        done = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
        versions[side] = json.loads(done.stdout)
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "load_at_start": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--reference",
        default=os.environ.get("HIGGSML_REFERENCE_PYTHON"),
        help="Python of an environment with the reference (default: HIGGSML_REFERENCE_PYTHON)",
    )
    parser.add_argument("--sizes", help="test sets, million rows [2,16,80]")
    parser.add_argument("--rounds", type=int, help="how often [5]")
    parser.add_argument(
        "--pseudo-experiments",
        dest="experiments",
        type=int,
        help="pseudo-experiments of an ingestion [200]",
    )
    parser.add_argument("--only", help="some of " + ", ".join(CASES))
    parser.add_argument("--small", action="store_true", help="tiny data: to try the harness")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "benchmarks")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "speed.json")
    parser.add_argument("--quick", action="store_true", help="what can be had in ten minutes")
    flags = parser.parse_args()
    usual = ("2", 2, 20) if flags.quick else ("2,16,80", 5, 200)
    flags.sizes, flags.rounds, flags.experiments = (
        given or default
        for given, default in zip(
            (flags.sizes, flags.rounds, flags.experiments), usual, strict=True
        )
    )
    if flags.only is None:
        flags.only = ",".join(name for name in CASES if not (flags.quick and name in LONG))
    if not flags.reference:
        parser.error("name the reference's interpreter with --reference")
    if unknown := sorted(set(flags.only.split(",")) - set(CASES)):
        parser.error(f"unknown cases {unknown}; known are {', '.join(CASES)}")
    return flags


def main():
    flags = parse_arguments()
    # Not resolved: a link to an interpreter tells it which environment it belongs to.
    interpreters = {"reference": Path(flags.reference).absolute(), "ours": sys.executable}
    run = {
        "machine": machine(interpreters),
        "reference": REFERENCE,
        "rounds": flags.rounds,
        "results": [],
    }
    sizes = [float(size) for size in flags.sizes.split(",")]
    flags.json.parent.mkdir(parents=True, exist_ok=True)
    chosen = set(flags.only.split(","))
    cache = flags.cache.resolve()
    for case in cases(chosen, cache, sizes, flags.small, flags.experiments):
        print(case.title, file=sys.stderr)
        run["results"].append(run_case(case, flags.rounds, interpreters))
        # After each case: a long run that is interrupted has not been in vain.
        flags.json.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    if "stages" in chosen:
        rows = 40_000 if flags.small else 2_000_000
        run["stages"] = stages(dataset(cache, rows), rounds=3 if flags.small else 20)
        flags.json.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    print(f"{flags.json}: make tables writes it into RESULTS.md")


if __name__ == "__main__":
    main()
