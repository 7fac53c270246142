"""Write every published number where it stands, from the result files that are tracked.

A page holds the template of its numbers in a comment, and what it renders to below:

    <!-- results
    Coverage {{ error(examples.sample_submission.coverage) }}
    -->
    Coverage 0.666 ± 0.015
    <!-- /results -->

``python benchmarks/tables.py`` renders all of them again, ``--check`` tells which page disagrees
with its files. In a template every file ``benchmarks/results/NAME.json`` is the variable NAME; a
value with its error is a list of two numbers.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import jinja2

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_BLOCK = re.compile(
    r"(?P<head><!-- results\n(?P<template>.*?)\n-->\n)(?P<text>.*?)(?P<tail>\n?<!-- /results -->)",
    re.DOTALL,
)


def error(pair, digits=3, sign=""):
    """Return a value and its error as text."""
    value, spread = pair
    return f"{value:{sign}.{digits}f} ± {spread:.{digits}f}"


def results():
    """Return what all result files hold, by name."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(RESULTS.glob("*.json"))
    }


def render(text, values):
    """Return a page with its numbers made anew.

    Raises
    ------
    jinja2.UndefinedError
        If a template names a result that is in no file.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.globals |= {"error": error, **values}

    def block(match):
        made = environment.from_string(match["template"]).render().strip()
        return f"{match['head']}{made}\n<!-- /results -->"

    return _BLOCK.sub(block, text)


def pages():
    """Return the Markdown files that hold numbers."""
    candidates = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/*/*.md")]
    return sorted(path for path in candidates if "<!-- results\n" in path.read_text("utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 on differences"
    )
    flags = parser.parse_args()
    values = results()
    stale = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        made = render(text, values)
        if made != text:
            stale.append(str(page.relative_to(ROOT)))
            if not flags.check:
                page.write_text(made, encoding="utf-8")
    if stale:
        print("differ from their result files:" if flags.check else "written:", *stale)
    return 1 if flags.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
