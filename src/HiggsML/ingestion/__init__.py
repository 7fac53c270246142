"""Ingestion: fit a submission once, have it measure every pseudo-experiment, write its answers.

:func:`run_ingestion` is the judged form: the submission runs in a process of its own. The class
:class:`Ingestion` keeps the interface of the reference implementation for work at home; there the
Model runs in the caller's process.
"""

from HiggsML.ingestion.drop_in import Ingestion
from HiggsML.ingestion.options import IngestionOptions
from HiggsML.ingestion.run import run_ingestion

__all__ = ["Ingestion", "IngestionOptions", "run_ingestion"]
