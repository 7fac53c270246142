"""Compare the fast engine with published figures of the official events, and calibrate it.

usage: python benchmarks/calibrate_generator.py [--events N] [--fit]

Generates N rows per process, applies the cuts of the challenge, and prints expected events by
region, and means and standard deviations, beside the official ones (arXiv:2505.05544 and its code;
``benchmarks/official_figures.json``), as ratios with their statistical errors. ``--fit`` first fits
the factors of ``HiggsML.generator.fast.calibration`` to all of these figures at once and writes
them, with their covariance, to the file that the engine reads. Results go to
``benchmarks/results/generator.json``.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from generator_figures import OFFICIAL_ERROR, SHARE, library_sizes, measure, targets
from generator_pulls import pulls

from HiggsML.generator.fast import calibration as calibrated
from HiggsML.generator.fast.calibration import Calibration
from HiggsML.schema import PROCESSES

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "generator.json"
FACTORS = ROOT / "src" / "HiggsML" / "generator" / "fast" / "data" / "calibration.json"

COMMON, OWN = ("response", "resolution", "noise"), ("recoil", "fakes")
STEP = {"recoil": 0.04, "response": -0.04, "resolution": 0.3, "noise": 0.2, "fakes": 0.5}
WIDTH = {"recoil": 0.02, "response": 0.02, "resolution": 0.1, "noise": 0.1, "fakes": 0.3}


def say(*words):
    """Tell on standard error what is going on."""
    print(*words, file=sys.stderr, flush=True)


def factors_of(parameters):
    """Calibration of every process from a mapping of parameters."""
    common = {name: parameters[name] for name in COMMON}
    return {
        process: Calibration(**common, **{name: parameters[f"{name}|{process}"] for name in OWN})
        for process in PROCESSES
    }


def residuals(process, factors, rows):
    """Differences from the official figures, and their scales: a third of the tolerance, errors."""
    found = measure(process, int(rows * SHARE[process]), factors)
    values, scales = [], []
    for name, (value, tolerance) in targets(process).items():
        mine, error = found[name]
        values.append(mine - value)
        scales.append(np.sqrt((tolerance / 3.0) ** 2 + error**2 + (OFFICIAL_ERROR * value) ** 2))
    return np.array(values), np.array(scales)


def variations(factors, rows):
    """Per process: its name, its residuals, and those with each factor changed by a step."""
    with ProcessPoolExecutor() as pool:
        found = {}
        for process, nominal in factors.items():
            found[process, None] = pool.submit(residuals, process, nominal, rows)
            for name, step in STEP.items():
                changed = replace(nominal, **{name: getattr(nominal, name) + step})
                found[process, name] = pool.submit(residuals, process, changed, rows)
        for process in factors:
            changes = {name: found[process, name].result()[0] for name in STEP}
            yield process, found[process, None].result(), changes


def fit(rows, *, iterations=2):
    """Fit all factors at once, from the shipped ones (Gauss-Newton); return them, covariance."""
    names = [*COMMON, *(f"{name}|{process}" for name in OWN for process in PROCESSES)]
    shipped = calibrated.shipped_calibration()
    start = {process: shipped.get(process, Calibration()) for process in PROCESSES}
    parameters = {name: getattr(start["ztautau"], name) for name in COMMON}
    parameters |= {f"{name}|{p}": getattr(start[p], name) for name in OWN for p in PROCESSES}
    for iteration in range(iterations):
        pulls_now, blocks = [], []
        for process, (base, scale), changes in variations(factors_of(parameters), rows):
            block = np.zeros((len(base), len(names)))
            for name, step in STEP.items():
                parameter = f"{name}|{process}" if name in OWN else name
                change = changes[name] - base
                block[:, names.index(parameter)] = change / step / scale
            pulls_now.append(base / scale)
            blocks.append(block)
            say(f"  {process}: chi2 {np.sum(pulls_now[-1] ** 2):.0f} of {len(base)} figures")
        jacobian = np.concatenate(blocks)
        # A weak constraint to 1 keeps factors that the figures do not tell apart from running away.
        weak = np.diag([1.0 / WIDTH[name.partition("|")[0]] ** 2 for name in names])
        offsets = np.array([parameters[name] - 1.0 for name in names])
        covariance = np.linalg.inv(jacobian.T @ jacobian + weak)
        change = -covariance @ (jacobian.T @ np.concatenate(pulls_now) + weak @ offsets)
        parameters = {name: parameters[name] + d for name, d in zip(names, change, strict=True)}
        say(f"iteration {iteration}: " + ", ".join(f"{k} {v:.4f}" for k, v in parameters.items()))
    return parameters, covariance


def write_factors(parameters, covariance, rows):
    """Write the fitted factors where the engine reads them."""
    factors = {process: asdict(value) for process, value in factors_of(parameters).items()}
    factors["htautau_associated"] = factors["htautau"]
    content = {
        "made_by": f"python benchmarks/calibrate_generator.py --fit --events {rows}",
        "factors": {
            process: {name: round(value, 4) for name, value in values.items()}
            for process, values in factors.items()
        },
        "parameters": list(parameters),
        "covariance": [[float(f"{value:.3g}") for value in row] for row in covariance],
    }
    FACTORS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def table(process, found, wanted):
    """Lines of a table of ratios."""
    lines = [f"{process}"]
    for name, (value, error) in found.items():
        if name not in wanted:
            continue
        official, tolerance = wanted[name]
        ratio, spread = value / official, error / abs(official)
        outside = abs(value - official) > tolerance + 2.0 * error
        lines.append(
            f"  {name:34s} {value:12.4f} {official:12.4f}  {ratio:.4f} +- {spread:.4f}"
            f"{'  <--' if outside else ''}"
        )
    return "\n".join(lines)


def main():
    """Fit if asked to, compare, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="rows of Z; others less")
    parser.add_argument("--fit", action="store_true", help="fit the factors first")
    parser.add_argument("--process", choices=PROCESSES, action="append", help="only these")
    options = parser.parse_args()
    if options.fit:
        write_factors(*fit(options.events), options.events)
        calibrated.shipped_calibration.cache_clear()
    shipped = calibrated.shipped_calibration()
    report = {"made_by": f"python benchmarks/calibrate_generator.py --events {options.events}"}
    for process in options.process or PROCESSES:
        factors = shipped.get(process, Calibration())
        rows = int(options.events * SHARE[process])
        found = measure(process, rows, factors, stream=1)
        wanted = targets(process)
        print(table(process, found, wanted), flush=True)
        report[process] = {
            name: {
                "value": [float(f"{part:.6g}") for part in found[name]],
                "official": value,
                "ratio": [round(float(part / value), 4) for part in found[name]],
            }
            for name, (value, _) in wanted.items()
        }
    if not options.process:
        factors = {process: shipped.get(process, Calibration()) for process in PROCESSES}
        report["library"] = library_sizes()
        report["pulls"] = pulls(options.events, SHARE, factors)
        for name, (value, error) in report["pulls"].items():
            print(f"  {name:16s} {value:8.3f} +- {error:.3f}")
        RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
