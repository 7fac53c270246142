"""Scoring of a directory of results: validate, compute, write scores and the report.

The formulas are in :mod:`HiggsML.statistics.official_scores`. :func:`run_scoring` is the judged
form; the class :class:`Scoring` keeps the interface of the reference implementation.
"""

from HiggsML.score.drop_in import Scoring
from HiggsML.score.run import SCORE_KEYS, run_scoring

__all__ = ["SCORE_KEYS", "Scoring", "run_scoring"]
