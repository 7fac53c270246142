"""Use one framework inside the isolation as honest submissions do, and print what came of it.

::

    python tests/frameworks/run_frameworks.py torch                   # as this user
    python tests/frameworks/run_frameworks.py torch --container-like  # root without capabilities

prints a JSON object: the version, and for each step "ok" or what went wrong.
"""

import argparse
import importlib.metadata
import importlib.util
import io
import json
import shutil
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUBMISSIONS = HERE / "submissions"
FRAMEWORKS = sorted(path.stem for path in SUBMISSIONS.glob("*.py") if path.stem != "model")
STEPS = (
    *("import", "fit", "predict", "threads", "processes", "save_and_load", "cache"),
    "other_worker",  # the fitted model, pickled, in the process of another worker
)
SECONDS = 400.0
_DISTRIBUTIONS = {
    "tensorflow": ("tensorflow-cpu", "tensorflow"),
    "xgboost": ("xgboost-cpu", "xgboost"),
}


def version(name):
    """Return the installed version of a framework, or None."""
    for distribution in _DISTRIBUTIONS.get(name, (name,)):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def run(name):
    """Return the outcome of each step for one framework."""
    from HiggsML.datasets import Data
    from HiggsML.errors import HiggsMLError
    from HiggsML.isolation.budget.budgets import Budgets
    from HiggsML.isolation.sandbox import Sandbox

    log, error = io.StringIO(), ""
    outcomes = dict.fromkeys(STEPS, "not reached")
    budgets = Budgets(fit_seconds=SECONDS, predict_seconds=SECONDS)
    keywords = {"isolation": "require", "budgets": budgets, "log": log}
    with tempfile.TemporaryDirectory(prefix="higgsml-frameworks-") as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        shutil.copy(SUBMISSIONS / "model.py", folder)
        shutil.copy(SUBMISSIONS / f"{name}.py", folder / "framework.py")
        data = Data(HERE.parents[1] / "input_data")
        try:
            with Sandbox(folder, **keywords) as sandbox, Sandbox(folder, **keywords) as other:
                sandbox.fit(data)
                state = sandbox.state()
                if isinstance(state, str):
                    outcomes["other_worker"] = state
                else:
                    other.restore(state)
                    other.block(5)[:] = 1.0
                    other.predict(5)
                    outcomes["other_worker"] = "ok"
        except HiggsMLError as caught:
            error = str(caught)
    for line in log.getvalue().splitlines():
        text = line.removeprefix("[submission] ")
        if text.startswith('{"step": '):
            found = json.loads(text)
            outcomes[found["step"]] = found["outcome"]
    return {"framework": name, "version": version(name), "steps": outcomes, "error": error[:4000]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("--container-like", action="store_true", help="drop what containers lack")
    flags = parser.parse_args()
    if flags.container_like:
        path = HERE.parent / "attacks" / "run_attacks.py"
        specification = importlib.util.spec_from_file_location("run_attacks", path)
        run_attacks = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(run_attacks)
        run_attacks.become_container_like()
    print(json.dumps(run(flags.framework)))


if __name__ == "__main__":
    main()
