"""The HiggsML Uncertainty Challenge: events, systematics, pseudo-experiments and scores."""

__version__ = "0.1.0"
