"""Rules about ``settings`` in ``competition.yaml``, of which the builder makes commands."""

from __future__ import annotations

from HiggsML.codabench.bundle.settings import SETTINGS_KEY, read_settings, run_plan
from HiggsML.codabench.rules.document import entries
from HiggsML.codabench.rules.findings import Findings
from HiggsML.codabench.rules.keys import at
from HiggsML.codabench.rules.located_yaml import Item
from HiggsML.errors import HiggsMLError

__all__ = ["check_settings"]


def check_settings(document: Item, report: Findings) -> None:
    """Say what kept settings from being built in: those that were are no longer there."""
    written = [
        part.value[SETTINGS_KEY]
        for part in (document, *entries(document, "tasks"))
        if SETTINGS_KEY in part.value
    ]
    remedy = "Correct it."
    for item in written:
        location, problem = item, _problem(item)
        if problem and isinstance(item.value, dict):
            # Which of them it is: the one without which, or with which alone, there is a problem.
            alone = [one for name, one in item.value.items() if _problem(Item({name: one}, 1, ""))]
            location = alone[0] if alone else item
        if problem:
            report.need("settings", at(location), problem, remedy)
            return
    if written:
        try:
            run_plan(document.plain())
            problem = (
                "only `higgsml bundle build` makes something of settings; here they are ignored"
            )
            remedy = "Build the bundle of a checkout."
        except HiggsMLError as error:
            problem = str(error)
        report.need("settings", at(written[-1]), problem, remedy)


def _problem(item: Item) -> str:
    try:
        read_settings(item.plain())
    except HiggsMLError as error:
        return str(error)
    return ""
