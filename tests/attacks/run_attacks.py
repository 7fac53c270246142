"""Run every attack of ``submissions/`` through the real ingestion, and say what each came to.

Needs nothing but Python and the package, so that it also runs inside a container as the platform
starts it::

    python tests/attacks/run_attacks.py            # as this user
    python tests/attacks/run_attacks.py --container-like     # root without capabilities, namespaces
    python tests/attacks/run_attacks.py --only fork_bomb --json

The exit code is 0 if nothing was gained. What an attack must end in stands in its own file:
``EXPECT`` is "completes" or a pattern (several, separated by "|") in the error's text. Attacks
without ``ALONE`` only look around, and share one process. Those with ``EXCLUSIVE`` use up what all
processes of a user share, so they run while no others do (``--part``).
"""

import argparse
import ast
import gc
import io
import json
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUBMISSIONS = HERE / "submissions"
CANARY = "HIGGSML_CANARY"
PATTERN = "canary-[0-9a-f]{32}"
BATCH = "batch of probes"
N_SETS, N_EXPERIMENTS = 2, 2
FACTS = (
    *("ALONE", "ONCE", "EXCLUSIVE", "EXPECT", "FILES", "WORKERS", "REQUIRE", "STORED"),
    *("DEADLINE", "FIT_SECONDS", "PREDICT_SECONDS", "REPEATABLE"),
)

_BATCH_MODEL = """
import importlib, traceback
from attack import ANSWER, Honest

MODULES = [importlib.import_module(name) for name in {names!r}]


class Model:
    def __init__(self, get_train_set, systematics):
        self.models = [module.Model(get_train_set, systematics) for module in MODULES]

    def each(self, name, *arguments):
        for model in self.models:
            try:
                getattr(model, name)(*arguments)
            except BaseException:
                print("BROKEN", type(model).__module__, name, traceback.format_exc())

    def fit(self):
        self.each("fit")

    def predict(self, test_set):
        self.each("predict", test_set)
        return dict(ANSWER)
"""


def describe(path):
    """Return an attack's docstring and constants, without running it."""
    tree = ast.parse(path.read_text())
    facts = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in FACTS
    }
    return {"doc": ast.get_docstring(tree), **facts}


def names(*, once=True, **wanted):
    """Return the attacks' names: all, or those whose ``alone`` or ``exclusive`` is as given."""
    found = []
    for path in sorted(SUBMISSIONS.glob("*.py")):
        facts = describe(path)
        right = all(facts.get(key.upper(), False) == value for key, value in wanted.items())
        if right and (once or not facts.get("ONCE", False)):
            found.append(path.stem)
    return found


class Host:
    """The trusted process, with things worth having."""

    def __init__(self, scratch):
        from HiggsML.datasets import Data
        from HiggsML.generator import generate_dataset
        from HiggsML.isolation.budget import process
        from HiggsML.seal import new_key

        self.scratch = scratch
        for name in ("input", "outside", "temporary"):
            (scratch / name).mkdir()
        generate_dataset(scratch / "input", scenario="mini", events=3000, seed=5)
        (scratch / "input" / "seal.key").write_text(new_key())
        data = Data(scratch / "input")
        self.secret = scratch / "outside" / "secret"
        self.secret.write_text(os.environ[CANARY])
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.unix, self.abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.unix.bind(str(scratch / "socket"))
        self.abstract.bind(f"\0higgsml-attacks-{os.getpid()}")
        self.unix.listen()
        self.abstract.listen()
        parquet = data.parquet_file.metadata
        self.config = {
            "input": str(scratch / "input"),
            "data_file": str(data.path),
            "secret": str(self.secret),
            "canary_pattern": PATTERN,
            "port": self.tcp.getsockname()[1],
            "unix": str(scratch / "socket"),
            "abstract": f"\0higgsml-attacks-{os.getpid()}",
            "group": os.getpgrp(),
            "access_times_kept": _access_times_kept(),
            "train_rows": data.train_size,
            "group_rows": parquet.row_group(parquet.num_row_groups - 1).num_rows,
        }
        tempfile.tempdir = str(scratch / "temporary")
        self.groups = groups = []
        original = process.WatchedProcess.__init__

        def recorded(self, *arguments, **keywords):
            original(self, *arguments, **keywords)
            groups.append(self._process.pid)

        process.WatchedProcess.__init__ = recorded

    def run(self, name, members=None):
        """Run one attack (or the batch of ``members``) and return what it came to."""
        from HiggsML.errors import HiggsMLError
        from HiggsML.ingestion import IngestionOptions, run_ingestion
        from HiggsML.isolation import sandbox, training_events
        from HiggsML.isolation.budget.budgets import Budgets

        facts = {} if members else describe(SUBMISSIONS / f"{name}.py")
        output = Path(tempfile.mkdtemp(prefix="output-", dir=self.scratch))
        folder = Path(tempfile.mkdtemp(prefix="submission-", dir=self.scratch))
        self._write(folder, output, name, members, facts)
        before, log, started = self._state(), io.StringIO(), time.monotonic()
        with_log = sandbox.OutputLog
        most = training_events.MAX_EVENTS_IN_MEMORY
        training_events.MAX_EVENTS_IN_MEMORY = 0 if facts.get("STORED", False) else most
        sandbox.OutputLog = lambda _, limit: with_log(log, limit)
        options = IngestionOptions(
            input_dir=self.scratch / "input",
            submission=folder,
            output=output,
            num_of_sets=N_SETS,
            num_pseudo_experiments=N_EXPERIMENTS,
            systematics=dict.fromkeys(("tes", "jes", "soft_met"), True),
            workers=facts.get("WORKERS", 1),
            deadline=facts.get("DEADLINE", 120),
            repeatable=facts.get("REPEATABLE", "off"),
            isolation="require" if facts.get("REQUIRE", True) else "prefer",
            budgets=Budgets(
                fit_seconds=facts.get("FIT_SECONDS", 40),
                predict_seconds=facts.get("PREDICT_SECONDS", 40),
                memory_bytes=1 << 30,
                tasks=100,
                open_files=500,
                disk_bytes=64 << 20,
                files=2000,
                log_bytes=(1 << 20) if members else (1 << 16),
            ),
        )
        try:
            run_ingestion(options)
            outcome = "completes"
        except HiggsMLError as error:
            outcome = f"{type(error).__name__}: {error}"
        except BaseException as error:
            outcome = f"NOT A NAMED ERROR: {error!r}"
        finally:
            sandbox.OutputLog = with_log
            training_events.MAX_EVENTS_IN_MEMORY = most
        time.sleep(0.05)
        result = {
            "name": name,
            "outcome": outcome[:1500],
            "seconds": round(time.monotonic() - started, 1),
            "log": log.getvalue(),
        }
        result["problems"] = self._problems(result, before, output, facts, members)
        shutil.rmtree(output)
        shutil.rmtree(folder)
        return result

    def _write(self, folder, output, name, members, facts):
        shutil.copy(HERE / "attack.py", folder)
        config = {**self.config, "output": str(output), "submission": str(folder)}
        (folder / "config.json").write_text(json.dumps(config))
        for file_name, text in facts.get("FILES", {}).items():
            (folder / file_name).write_text(text)
        if members:
            for member in members:
                shutil.copy(SUBMISSIONS / f"{member}.py", folder)
            (folder / "model.py").write_text(_BATCH_MODEL.format(names=members))
        else:
            shutil.copy(SUBMISSIONS / f"{name}.py", folder / "model.py")

    def _state(self):
        outside = self.secret.parent
        shared = Path("/dev/shm")
        # The frames of the last exception keep files open until they are collected.
        gc.collect()
        return {
            "outside": sorted((p.name, p.lstat().st_mode) for p in outside.iterdir()),
            "secret": (self.secret.read_text(), self.secret.stat().st_mtime_ns),
            "shared": {
                p for p in (shared.iterdir() if shared.is_dir() else ()) if "attack" in p.name
            },
            "descriptors": len(os.listdir("/proc/self/fd")) if os.access("/proc/self/fd", 4) else 0,
        }

    def _problems(self, result, before, output, facts, members):
        problems, log, outcome = [], result["log"], result["outcome"]
        expect = facts.get("EXPECT", "completes")
        if not any(part in outcome or re.search(part, outcome) for part in expect.split("|")):
            problems.append(f"ended in {outcome!r} instead of {expect!r}")
        if os.environ[CANARY] in log + outcome:
            problems.append("the secret is in the output")
        if "GAINED" in log:
            problems += [line for line in log.splitlines() if "GAINED" in line]
        if not (log + outcome).replace("\n", "").replace("\t", "").isprintable():
            problems.append("the log or the message holds control characters")
        problems += [line for line in log.splitlines() if "BROKEN" in line]
        seen = not members and facts.get("WORKERS", 1) == 1  # workers have logs of their own
        if outcome == "completes" and seen and '"refused"' not in log:
            problems.append("the attack did not report that it was tried")
        after = self._state()
        if facts.get("WORKERS", 1) > 1:  # the pool of workers keeps a descriptor
            after["descriptors"] = before["descriptors"]
        problems += [f"{key} changed" for key in before if before[key] != after[key]]
        problems += self._wrong_files(output, outcome)
        if left := sorted(p.name for p in (self.scratch / "temporary").iterdir()):
            problems.append(f"temporary files are left: {left}")
        if left := self._left_processes():
            problems.append(f"processes are left: {left}")
        return problems

    def _wrong_files(self, output, outcome):
        found = {p.name for p in output.iterdir()}
        expected = set()
        if outcome == "completes":
            expected = {f"result_{i}.json" for i in range(N_SETS)}
            expected |= {"test_settings.json", "ingestion_duration.json", "ingestion_record.json"}
            for index in range(N_SETS):
                answers = json.loads((output / f"result_{index}.json").read_text())
                if answers["mu_hats"] != [1.0] * N_EXPERIMENTS:
                    return [f"other answers than given: {answers}"]
        return [] if found == expected else [f"files in the output: {sorted(found)}"]

    def _left_processes(self):
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) in self.groups and fields[0] != b"Z":
                    found.append(int(entry.name))
        return found


def _access_times_kept():
    """Return whether reading a library's file must leave its times as they are.

    Namespaces see to it, and the file system of a container's image; SECURITY.md says so.
    """
    from HiggsML.isolation.cage.restrict import probe

    of_an_image = any(
        line.split()[1:3] == ["/", "overlay"]
        for line in Path("/proc/self/mounts").read_text().splitlines()
    )
    return of_an_image or probe()["read-only-system"] == "on"


def become_container_like():
    """Give up what the platform's containers do not have: capabilities, namespaces, setuid."""
    from HiggsML.isolation.cage import kernel, privileges, seccomp

    privileges.drop_capabilities()
    kernel.prctl(38, 1)
    program = [
        (seccomp._LOAD, 0, 0, seccomp._OFFSET_NUMBER),
        *seccomp._when("unshare", [seccomp._refuse(1)]),
        seccomp._PASS,
    ]
    encoded = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    import ctypes

    memory = ctypes.create_string_buffer(encoded, len(encoded))
    seccomp._install(seccomp._SockFprog(len(program), ctypes.addressof(memory)))


def _part(jobs, part):
    """Return the jobs of one part of several that together run all of them."""
    if part is None:
        return jobs
    k, n = map(int, part.split("/"))
    exclusive = set(names(exclusive=True))
    if k == n:
        return [job for job in jobs if job[0] in exclusive]
    return [job for job in jobs if job[0] not in exclusive][k::n]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=None, help="names of attacks")
    parser.add_argument("--without-once", action="store_true", help="skip what no user changes")
    parser.add_argument("--container-like", action="store_true", help="drop what containers lack")
    parser.add_argument(
        "--part", help="K/N: every N-th attack, from the K-th on; N/N: those that run exclusively"
    )
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="one JSON object per attack"
    )
    flags = parser.parse_args()
    if CANARY not in os.environ:  # it shall be in the environment that /proc shows
        os.environ[CANARY] = f"canary-{secrets.token_hex(16)}"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    if flags.container_like:
        become_container_like()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    scratch = Path(tempfile.mkdtemp(prefix="higgsml-attacks-"))
    failed = 0
    try:
        host = Host(scratch)
        probes = [n for n in names(alone=False) if flags.only is None or n in flags.only]
        jobs = [(BATCH, probes)] if probes else []
        alone = names(alone=True, once=not flags.without_once)
        jobs += [(n, None) for n in alone if flags.only is None or n in flags.only]
        for name, members in _part(jobs, flags.part):
            result = host.run(name, members)
            failed += bool(result["problems"])
            if flags.json == "-":
                print(json.dumps(result), flush=True)
            elif flags.json:
                with open(flags.json, "a") as file:
                    print(json.dumps(result), file=file)
            else:
                state = "FAILED" if result["problems"] else "ok"
                print(f"{state:6} {result['seconds']:5.1f} s  {name}: {result['outcome'][:150]}")
                for problem in result["problems"]:
                    print(f"       {problem}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
