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
    "INGESTION_FLAGS",
    "MAX_EXECUTION_TIME",
    "PLATFORM_PATHS",
    "SCORING_FLAGS",
    "SECTIONS",
    "SORTING_OF_SCORES",
    "Key",
]

Kind = Literal["text", "whole", "flag", "time", "path", "email", "list", "any"]


@dataclass(frozen=True)
class Key:
    """What the platform takes as the value of a key.

    Attributes
    ----------
    kind : str
        "path" names a file or directory; a "list" holds the section named by ``section``; "any" has
        rules of its own.
    required : bool
        Whether it may be absent.
    longest : int, optional
        Characters of a text.
    least, most : int
        Limits of a whole number.
    choices : tuple of str
        The only texts allowed, if there are any; case matters.
    section : str
        Of a list: what its entries are.
    null, blank : bool
        Whether the value may be null, or an empty text.
    default_if_empty : bool
        Whether null, 0, false and an empty value count as absent.
    ignored : bool
        Whether the platform ignores it, but writes it itself when it dumps a competition.
    """

    kind: Kind
    required: bool = False
    longest: int | None = None
    least: int = 0
    most: int = 2**31 - 1  # the platform's database holds no larger one
    choices: tuple[str, ...] = ()
    section: str = ""
    null: bool = False
    blank: bool = False
    default_if_empty: bool = False
    ignored: bool = False


MAX_EXECUTION_TIME = 600
"""Seconds that the platform's default queue grants at most."""

_DATASET = Key("path")
_NOTE = Key("text", null=True, blank=True)

_TODAY: Mapping[str, Mapping[str, Key]] = {
    "competition": {
        "version": Key("any", required=True),
        "title": Key("text", required=True, longest=256),
        "image": Key("path", required=True),
        "terms": Key("path", required=True),
        "pages": Key("list", required=True, section="page"),
        "tasks": Key("list", required=True, section="task"),
        "phases": Key("list", required=True, section="phase"),
        "leaderboards": Key("list", required=True, section="leaderboard"),
        "solutions": Key("list", section="solution", default_if_empty=True),
        "description": _NOTE,
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
        "reward": Key("text", longest=256, null=True, blank=True),
        "contact_email": Key("email", longest=256),
        "queue": Key("any", default_if_empty=True),
        "fact_sheet": Key("any", default_if_empty=True),
        "settings": Key("any", ignored=True),  # this project's own
    },
    "page": {
        "title": Key("text", required=True, longest=255),
        "file": Key("path", required=True),
    },
    "task": {
        "index": Key("any", required=True),
        "key": Key("any"),
        "name": Key("text", required=True, longest=256),
        "description": _NOTE,
        "ingestion_program": _DATASET,
        "scoring_program": Key("path", required=True),
        "input_data": _DATASET,
        "reference_data": _DATASET,
        "ingestion_only_during_scoring": Key("flag"),
        "is_public": Key("any", ignored=True),
        "settings": Key("any", ignored=True),
    },
    "solution": {
        "index": Key("any", required=True),
        "key": Key("any"),
        "tasks": Key("any", required=True),
        "path": Key("path", required=True),
        "name": Key("text", longest=256, default_if_empty=True),
        "description": _NOTE,
    },
    "phase": {
        "index": Key("any"),
        "name": Key("text", required=True, longest=256),
        "description": _NOTE,
        "start": Key("time", required=True),
        "end": Key("time", default_if_empty=True),
        "tasks": Key("any", required=True),
        "max_submissions_per_day": Key("whole", null=True),
        "max_submissions": Key("whole", null=True),
        "execution_time_limit": Key("whole", default_if_empty=True),
        "auto_migrate_to_this_phase": Key("flag"),
        "hide_output": Key("flag"),
        "hide_prediction_output": Key("flag"),
        "hide_score_output": Key("flag"),
        "public_data": _DATASET,
        "starting_kit": _DATASET,
        "solutions": Key("any", ignored=True),
    },
    "leaderboard": {
        "index": Key("any", ignored=True),
        "title": Key("text", required=True, longest=64),
        "key": Key("text", required=True, longest=36),
        "columns": Key("list", required=True, section="column"),
        "primary_index": Key("whole"),
        "hidden": Key("flag"),
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
        "index": Key("whole", required=True),
        "key": Key("text", required=True, longest=36),
        "title": Key("text", required=True, longest=36),
        "sorting": Key("text", choices=("desc", "asc")),
        "precision": Key("whole", least=-(2**31)),
        "hidden": Key("flag"),
        "computation": Key("text", choices=("avg", "sum", "min", "max"), null=True, blank=True),
        "computation_indexes": Key("any"),
    },
}

SECTIONS: Mapping[str, Mapping[str, Key]] = {
    **_TODAY,
    "older competition": {
        **_TODAY["competition"],
        "tasks": Key("list", required=True, section="older task"),
    },
    "older task": {**_TODAY["task"], "scoring_program": _DATASET},
}
"""Keys of each kind of mapping in ``competition.yaml``. All that is not listed is unknown.

The older ones are what the platform makes of its format 1.5, where a program may be missing.
"""

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
