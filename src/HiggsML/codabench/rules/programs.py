"""Rules about the two programs: what the worker will run, and whether it can."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from HiggsML.codabench.bundle.tree import Tree
from HiggsML.codabench.contract import INGESTION_FLAGS, PLATFORM_PATHS, SCORING_FLAGS
from HiggsML.codabench.images import image_modules
from HiggsML.codabench.rules.document import entries, task_phases
from HiggsML.codabench.rules.findings import Findings, Location
from HiggsML.codabench.rules.keys import COMPETITION_FILE
from HiggsML.codabench.rules.located_yaml import Item, YamlProblem, load_located
from HiggsML.codabench.rules.named_files import dataset_tree
from HiggsML.ingestion.options import OPTIONS
from HiggsML.schema import NUISANCES

__all__ = ["check_programs", "program_command"]

_METADATA_NAMES = ("metadata.yaml", "metadata")
_SHELL = ("&&", "||", ";", "|", ">", "<", ">>", "&", "2>&1")
_SETTINGS_FILE = "settings.json"
_COUNTS = {
    option.program_flag: (option.name, option.default)
    for option in OPTIONS
    if option.name in ("num_of_sets", "num_pseudo_experiments")
}
_FLAGS = {"run_ingestion.py": INGESTION_FLAGS, "run_scoring.py": SCORING_FLAGS}


def check_programs(document: Item, tree: Tree, report: Findings) -> None:
    """Check metadata, command and code of every task's programs; each program once."""
    seen: set[str] = set()
    for task in entries(document, "tasks"):
        for name in ("ingestion_program", "scoring_program"):
            item = task.value.get(name)
            program = dataset_tree(item, tree)
            if item is None or program is None:
                continue
            parsed = program_command(program, report if item.value not in seen else Findings([]))
            if parsed is None:
                continue
            command, location = parsed
            if item.value not in seen:
                _check_command(command, location, program, report)
            if name == "ingestion_program" and "run_ingestion.py" in command:
                _check_ingestion(document, task, tree, command, location, report)
            seen.add(item.value)


def program_command(program: Tree, report: Findings) -> tuple[list[str], Location] | None:
    """Return a program's command and where it is written; None, reported, if there is none."""
    present = [name for name in _METADATA_NAMES if name in program]
    if not present:
        report.fault(
            "metadata",
            Location(f"{program.prefix}metadata.yaml"),
            "the program has no such file, so the platform does not know what to run",
            "Add one with `command: python3 ...`.",
        )
        return None
    if len(present) > 1:
        report.fault(
            "metadata",
            Location(f"{program.prefix}metadata"),
            "there is a metadata.yaml too, and one of them is ignored",
            "Remove one.",
        )
    file = f"{program.prefix}{present[0]}"
    try:
        document, _ = load_located(program.read(present[0]).decode("utf-8"))
    except UnicodeDecodeError:
        report.fault("yaml", Location(file), "the file is not UTF-8 text", "Save it as UTF-8.")
        return None
    except YamlProblem as problem:
        location = Location(file, problem.line, problem.key)
        report.fault("yaml", location, f"this is not valid YAML: {problem}", "Correct the syntax.")
        return None
    item = document.value.get("command") if isinstance(document.value, dict) else None
    if item is None or not isinstance(item.value, str) or not item.value.strip():
        location = Location(file, document.line if item is None else item.line, "command")
        message = "without a command the platform waits until the time limit"
        report.fault("command", location, message, "Write `command: python3 ...`.")
        return None
    for name in document.value:
        if name != "command":
            location = Location.of(file, document.value[name])
            report.advise("metadata", location, "the platform does not use this key", "Remove it.")
    location = Location.of(file, item)
    try:
        return shlex.split(item.value), location
    except ValueError as error:
        report.fault("command", location, f"this can not be split: {error}", "Close the quotes.")
        return None


def _check_command(
    command: Sequence[str], location: Location, program: Tree, report: Findings
) -> None:
    if placeholder := PLATFORM_PATHS.search(str(location.value)):
        report.fault(
            "placeholder",
            location,
            "placeholders are replaced in some places only",
            "Write the path itself, such as /app/output.",
            str(location.value)[placeholder.start() :].split()[0],
        )
    if shell := [word for word in command if word in _SHELL or word.endswith(";")]:
        message = "no shell runs the command, so this is passed on as an argument"
        report.fault("shell", location, message, "Do that in the program.", shell[0])
    if re.match(r"[A-Za-z_]\w*=", command[0]):
        message = "no shell runs the command, so variables can not be set here"
        report.fault("shell", location, message, "Set them in the program.", command[0])
    elif command[0].removeprefix("./") in program or command[0].startswith("."):
        message = "execute bits are lost when the worker unpacks the program"
        report.fault("execute-bit", location, message, "Write `python3 program.py`.", command[0])
    elif PurePosixPath(command[0]).name.startswith("python"):
        _check_script(command, location, program, report)


def _check_script(
    command: Sequence[str], location: Location, program: Tree, report: Findings
) -> None:
    words = [word for word in command[1:] if not word.startswith("-")]
    if "-m" in command or "-c" in command or not words:
        return
    script = words[0].removeprefix("/app/program/").removeprefix("./")
    if script not in program:
        message = "the program has no such file"
        report.fault("command-script", location, message, "Add it, or correct the name.", script)
        return
    file = f"{program.prefix}{script}"
    try:
        parsed = ast.parse(program.read(script))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        text = (getattr(error, "text", None) or "").strip()
        report.fault(
            "syntax", Location(file, line, "", text), f"not valid Python: {error}", "Correct it."
        )
        return
    _check_imports(parsed, file, program, report)
    name = PurePosixPath(script).name
    if name in _FLAGS:
        after = list(command)[list(command).index(words[0]) + 1 :]
        _check_flags(after, _FLAGS[name], location, report)


def _check_imports(parsed: ast.Module, file: str, program: Tree, report: Findings) -> None:
    own = {name.split("/")[0].removesuffix(".py") for name in program.files}
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for module in sorted({name.split(".")[0] for name in names}):
            installed = image_modules() | sys.stdlib_module_names
            if module in own or module in installed:
                continue
            remedy = "Put it into the program, or into Dockerfile."
            if module == "HiggsML":
                remedy = "Make the bundle with `higgsml bundle build`, which adds the library."
            location = Location(file, node.lineno, "", module)
            report.need("import", location, "neither the program nor the image has this", remedy)


def _check_flags(
    words: Sequence[str], known: Mapping[str, bool], location: Location, report: Findings
) -> None:
    value_next = False
    for word in words:
        if value_next:
            value_next = False
            continue
        flag = word.split("=", 1)[0]
        if flag not in known:
            message = "the program does not know this argument and would stop"
            report.need("flag", location, message, f"It knows {', '.join(known)}.", word)
        value_next = known.get(flag, False) and "=" not in word
    if value_next:
        report.need("flag", location, "this flag needs a value", "Add the value.", words[-1])
    if "--codabench" not in words:
        message = "without --codabench the program looks for directories of a checkout"
        report.need("flag", location, message, "Add --codabench to the command.")


def _check_ingestion(
    document: Item, task: Item, tree: Tree, command: list[str], location: Location, report: Findings
) -> None:
    """Hold the ingestion's command against the task's settings and its phases' time limit."""
    values = _flag_values(command)
    if "--random-seed" in values:
        message = "with a known seed anyone can compute the truth in advance"
        report.need("seed", location, message, "Remove --random-seed from the command.")
    if "--resume" in values:
        message = "the worker copies a submission's files to where a checkpoint would be looked for"
        report.need("resume", location, message, "Remove --resume from the command.")
    if values.get("--isolation") == "off":
        message = "participants' code could read the truth and write results"
        report.need("isolation", location, message, "Remove --isolation off from the command.")
    if "--public-dataset" in values:
        message = "labels of the public dataset's test events can be looked up"
        report.need("public-dataset", location, message, "Use input_data, and a private dataset.")
    deadline = _number(values.get("--deadline"))
    for phase in task_phases(document, task):
        limit = phase.value.get("execution_time_limit")
        seconds = limit.value if limit is not None else 600
        name = phase.value["name"].value if "name" in phase.value else phase.key
        if deadline is None:
            message = "without a deadline of its own a run that is too long ends without a reason"
            remedy = f"Add --deadline with less than {seconds} to the command."
            report.need("deadline", location, message, remedy)
            break
        if isinstance(seconds, int) and deadline >= seconds:
            message = f"the phase {name} ends a run after {seconds} s, before this deadline"
            report.need("deadline", location, message, "Leave a minute.", str(values["--deadline"]))
    _check_settings(task, tree, values, location, report)


def _check_settings(
    task: Item, tree: Tree, values: Mapping[str, str | None], location: Location, report: Findings
) -> None:
    item = task.value.get("reference_data")
    reference = dataset_tree(item, tree)
    if item is None:
        where = Location(COMPETITION_FILE, task.line, f"{task.key}.reference_data")
        message = "without settings.json scoring can not tell whether a result is complete"
        report.need("settings", where, message, "Add `reference_data: reference_data/`.")
        return
    if reference is None:
        return
    file = f"{reference.prefix}{_SETTINGS_FILE}"
    if _SETTINGS_FILE not in reference:
        message = "scoring needs this file to tell whether a result is complete"
        report.need("settings", Location(file), message, "Add it.")
        return
    text = reference.read(_SETTINGS_FILE).decode("utf-8", "replace")
    try:
        settings = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        report.need("json", Location(file, line), f"not valid JSON: {error}", "Correct it.")
        return
    if not isinstance(settings, dict):
        report.need("json", Location(file, 1), "this must be an object", "Write { ... }.")
        return
    wanted: dict[str, object] = {
        key: _number(values.get(flag), default) for flag, (key, default) in _COUNTS.items()
    }
    systematics = settings.get("systematics")
    given: dict[str, object] = {key: settings.get(key) for key in wanted}
    for name in NUISANCES:
        key = f"systematics.{name}"
        wanted[key] = f"--systematics-{name.replace('_', '-')}" in values
        given[key] = systematics.get(name) if isinstance(systematics, dict) else None
    for key, value in wanted.items():
        if given[key] != value or isinstance(given[key], bool) != isinstance(value, bool):
            where = Location(file, _line_of(text, key.split(".")[-1]), key, repr(given[key]))
            message = (
                f"the command in {location.file} asks for {value}: scoring would refuse results"
            )
            report.need("settings", where, message, "Make the two agree.")


def _flag_values(command: Sequence[str]) -> dict[str, str | None]:
    """Return the flags of a command with their values."""
    values: dict[str, str | None] = {}
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            values[name] = value if equals else following
    return values


def _number(text: str | None, default: float | None = None) -> float | None:
    try:
        return default if text is None else float(text)
    except ValueError:
        return default


def _line_of(text: str, key: str) -> int | None:
    for number, line in enumerate(text.splitlines(), start=1):
        if f'"{key}"' in line:
            return number
    return None
