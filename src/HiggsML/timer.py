"""The clock that the drop-in classes of ingestion and scoring share."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

__all__ = ["Timer"]

logger = logging.getLogger(__name__)


class Timer:
    """Measures the time from :meth:`start_timer` to :meth:`stop_timer`."""

    def __init__(self) -> None:
        self.start_time: datetime | None = None
        self.end_time: datetime | None = None

    def start_timer(self) -> None:
        """Start the clock."""
        self.start_time = datetime.now()

    def stop_timer(self) -> None:
        """Stop the clock."""
        self.end_time = datetime.now()

    def get_duration(self) -> timedelta | None:
        """Return the time between start and stop, or None if one of them is missing."""
        if self.start_time is None or self.end_time is None:
            logger.warning("the timer was not started and stopped")
            return None
        return self.end_time - self.start_time

    def show_duration(self) -> None:
        """Print the duration."""
        print(f"Total duration: {self.get_duration()}")  # noqa: T201 (what it is for)
