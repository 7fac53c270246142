"""Folders of an unfinished production, which goes on with what it has if it is started again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from HiggsML.errors import SettingsError

__all__ = ["VERSION", "go_on"]

VERSION = "6"
"""Version of the events: goes up whenever the same seed gives others."""

_RECORD = "run.json"


def go_on(folder: Path, asked: Mapping[str, Any], **drawn: Any) -> dict[str, Any]:
    """Begin a production in a folder, or go on with the one that is there.

    Parameters
    ----------
    folder
        Of the parts that are finished; made if it is not there, for the owner only.
    asked
        Settings that decide which events are made; those of the folder must be the same. The
        version of the events is one of them.
    drawn
        What was drawn at random, once: the folder's values are taken, if it has some.

    Returns
    -------
    dict
        The values of ``drawn`` to work with.

    Raises
    ------
    SettingsError
        If the folder holds parts that were made with other settings, or does not say with which.
    """
    asked = {**asked, "version": VERSION}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = folder / _RECORD
    part = record.with_suffix(".part")
    known = record.exists()
    if known:
        kept = json.loads(record.read_text(encoding="utf-8"))
        drawn = {name: kept.pop(name) for name in drawn}
    else:
        kept = {} if any(path != part for path in folder.iterdir()) else asked
    if kept != asked:
        settings = ", ".join(f"{name} {value}" for name, value in kept.items()) or "unknown ones"
        raise SettingsError(
            f"{folder} holds an unfinished production of other settings ({settings}): use those, "
            "choose another output directory, or delete it"
        )
    if not known:
        # The only copy of what was drawn, to go on with; it vanishes with the folder.
        part.write_text(json.dumps(asked | drawn), encoding="utf-8")
        part.replace(record)
    return drawn
