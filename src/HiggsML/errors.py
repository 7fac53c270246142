"""Named errors. Every message says what is wrong, where, and what to do about it."""

from __future__ import annotations

__all__ = [
    "MARK",
    "BudgetError",
    "BundleError",
    "CheckpointError",
    "ClusterError",
    "ContainerError",
    "DataError",
    "HiggsMLError",
    "IngestionFailedError",
    "InstallationError",
    "IsolationError",
    "PredictionError",
    "ResultsError",
    "SettingsError",
    "SubmissionError",
    "TimeLimitError",
    "printable",
]


MARK = "[submission]"
"""Begins every line that a submission wrote."""


class HiggsMLError(Exception):
    """Base of all errors that this package raises on purpose.

    As text, a message holds no control character, whatever names of files it quotes.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class InstallationError(HiggsMLError, ImportError):
    """Two packages of the same name have overwritten each other's files."""


class DataError(HiggsMLError, ValueError):
    """A dataset (parquet file, metadata, or a frame in memory) is not as required."""


class SettingsError(HiggsMLError, ValueError):
    """An option or setting is impossible or out of range."""


class SubmissionError(HiggsMLError, RuntimeError):
    """A participant's submission can not be loaded, or failed while it ran."""


class PredictionError(SubmissionError):
    """``Model.predict`` returned something that is not a valid answer."""


class BudgetError(SubmissionError):
    """A submission used more of something than its budget allows; it was ended."""


class TimeLimitError(BudgetError):
    """A submission used up its time."""


class IsolationError(HiggsMLError, RuntimeError):
    """A protection that was asked for is not available on this machine."""


class ClusterError(HiggsMLError, RuntimeError):
    """A Dask cluster can not be reached, or its machines can not do the work."""


class CheckpointError(HiggsMLError, RuntimeError):
    """A checkpoint can not be written, is damaged, or belongs to another run."""


class ResultsError(HiggsMLError, ValueError):
    """Result files between ingestion and scoring are missing, broken or inconsistent."""


class IngestionFailedError(ResultsError):
    """An ingestion did not finish; ``reason`` is what it says about that, in several lines."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class BundleError(HiggsMLError, ValueError):
    """A competition bundle, or a submission's zip, can not be read or built."""


class ContainerError(HiggsMLError, RuntimeError):
    """The Docker engine, an image or a container is not as needed."""


def printable(text: str) -> str:
    r"""Return text without what could deceive a reader, or fail to print.

    Control characters move a terminal's cursor, others reverse the direction of writing, and lone
    surrogates (a file's name may hold any byte) can not be encoded. Tabs and line ends stay.

    Examples
    --------
    >>> printable("red: \x1b[31m")
    'red: \ufffd[31m'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
