"""The platform's contract as data: sections, keys, types, limits.

The facts are those of the platform's second version, as its unpacker and its worker behave. It
ignores an unknown key without a word, which is why every key is listed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from HiggsML.ingestion.arguments import known_flags

__all__ = [
    "IMAGE_MODULES",
    "INGESTION_FLAGS",
    "MAX_EXECUTION_TIME",
    "PLATFORM_PATHS",
    "SCORING_FLAGS",
    "SECTIONS",
    "SORTING_OF_SCORES",
    "Key",
]

Kind = Literal["text", "whole", "flag", "time", "path", "mapping", "list", "wholes"]


@dataclass(frozen=True)
class Key:
    """What the value of a key must be.

    Attributes
    ----------
    kind : str
        "path" is a file; a "list" holds the section named by ``section``; "wholes" is a list of
        whole numbers.
    required : bool
        Whether it may be absent.
    longest : int, optional
        Characters of a text.
    least, most : int, optional
        Limits of a whole number.
    choices : tuple of str
        The only texts allowed, if there are any; case matters.
    section : str
        Of a list: what its entries are.
    """

    kind: Kind
    required: bool = False
    longest: int | None = None
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()
    section: str = ""


MAX_EXECUTION_TIME = 600
"""Seconds that the platform's default queue grants at most."""

_MAX_WHOLE = 2**31 - 1  # the platform's database holds no larger one

SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "competition": {
        "version": Key("whole", required=True, least=2, most=2),
        "title": Key("text", required=True, longest=256),
        "image": Key("path", required=True),
        "terms": Key("path", required=True),
        "pages": Key("list", required=True, section="page"),
        "tasks": Key("list", required=True, section="task"),
        "phases": Key("list", required=True, section="phase"),
        "leaderboards": Key("list", required=True, section="leaderboard"),
        "solutions": Key("list", section="solution"),
        "description": Key("text"),
        "docker_image": Key("text", longest=128),
        "registration_auto_approve": Key("flag"),
        "enable_detailed_results": Key("flag"),
        "show_detailed_results_in_submission_panel": Key("flag"),
        "show_detailed_results_in_leaderboard": Key("flag"),
        "auto_run_submissions": Key("flag"),
        "can_participants_make_submissions_public": Key("flag"),
        "make_programs_available": Key("flag"),
        "make_input_data_available": Key("flag"),
        "forum_enabled": Key("flag"),
        "competition_type": Key("text", choices=("competition", "benchmark")),
        "reward": Key("text"),
        "contact_email": Key("text"),
        "queue": Key("text"),
        "fact_sheet": Key("mapping"),
    },
    "page": {
        "title": Key("text", required=True),
        "file": Key("path", required=True),
    },
    "task": {
        "index": Key("whole", required=True, least=0, most=_MAX_WHOLE),
        "name": Key("text", required=True),
        "description": Key("text"),
        "ingestion_program": Key("path"),
        "scoring_program": Key("path", required=True),
        "input_data": Key("path"),
        "reference_data": Key("path"),
        "ingestion_only_during_scoring": Key("flag"),
    },
    "solution": {
        "index": Key("whole", required=True, least=0, most=_MAX_WHOLE),
        "name": Key("text"),
        "description": Key("text"),
        "tasks": Key("wholes", required=True),
        "path": Key("path", required=True),
    },
    "phase": {
        "index": Key("whole", least=0, most=_MAX_WHOLE),
        "name": Key("text", required=True),
        "description": Key("text"),
        "start": Key("time", required=True),
        "end": Key("time"),
        "tasks": Key("wholes", required=True),
        "max_submissions_per_day": Key("whole", least=1, most=_MAX_WHOLE),
        "max_submissions": Key("whole", least=1, most=_MAX_WHOLE),
        "execution_time_limit": Key("whole", least=1, most=_MAX_WHOLE),
        "auto_migrate_to_this_phase": Key("flag"),
        "hide_output": Key("flag"),
        "hide_prediction_output": Key("flag"),
        "hide_score_output": Key("flag"),
        "public_data": Key("path"),
        "starting_kit": Key("path"),
    },
    "leaderboard": {
        "index": Key("whole", least=0, most=_MAX_WHOLE),
        "title": Key("text", required=True, longest=64),
        "key": Key("text", required=True, longest=36),
        "columns": Key("list", required=True, section="column"),
        "primary_index": Key("whole", least=0, most=_MAX_WHOLE),
        "submission_rule": Key(
            "text",
            choices=(
                "Add",
                "Add_And_Delete",
                "Add_And_Delete_Multiple",
                "Force_Last",
                "Force_Latest_Multiple",
                "Force_Best",
            ),
        ),
    },
    "column": {
        "index": Key("whole", required=True, least=0, most=_MAX_WHOLE),
        "key": Key("text", required=True, longest=36),
        "title": Key("text", required=True, longest=36),
        "sorting": Key("text", choices=("desc", "asc")),
        "precision": Key("whole", least=0, most=10),
        "hidden": Key("flag"),
        "computation": Key("text", choices=("avg", "sum", "min", "max")),
        "computation_indexes": Key("wholes"),
    },
}
"""Keys of each kind of mapping in ``competition.yaml``. All that is not listed is unknown."""

PLATFORM_PATHS = re.compile(r"\$[A-Za-z_{]")
"""A placeholder in a command. The platform replaces some of them, in some places."""

SORTING_OF_SCORES: Mapping[str, str] = {
    "quantiles_score": "desc",
    "interval": "asc",
    "rmse": "asc",
    "mae": "asc",
    "ingestion_duration": "asc",
}
"""The order that puts the best first; the best coverage is 0.6827, which no order does."""

INGESTION_FLAGS: Mapping[str, bool] = known_flags()
"""Flags of ``run_ingestion.py``, and whether a value follows."""

SCORING_FLAGS: Mapping[str, bool] = {
    **dict.fromkeys(("--prediction", "-p", "--output", "-o", "--reference", "-r"), True),
    **dict.fromkeys(("--submission", "-s"), True),
    **dict.fromkeys(("--codabench", "--phase-2"), False),
}
"""Flags of ``run_scoring.py``, and whether a value follows."""

IMAGE_MODULES = frozenset(
    {
        *("HiggsML", "click", "iminuit", "jinja2", "joblib", "matplotlib", "mplhep", "numpy"),
        *("packaging", "pandas", "PIL", "pyarrow", "yaml", "rich", "scipy", "sklearn"),
        *("threadpoolctl", "cloudpickle", "dateutil", "fontTools", "mpl_toolkits", "pygments"),
    }
)
"""What code can import in the image besides the standard library; ``Dockerfile`` pins it."""
