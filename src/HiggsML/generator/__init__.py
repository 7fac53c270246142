"""Event generator: datasets of any size in the official file layout.

``dataset`` holds the scenarios and writes the files, ``croissant`` describes them; ``fast`` and
``pythia`` are the two engines, ``detector``, ``jet_tags`` and ``table`` what they share, and
``unfinished`` lets long productions go on where they were stopped.
"""

from HiggsML.generator.dataset import expected_events, generate_dataset, recommended_events

__all__ = ["expected_events", "generate_dataset", "recommended_events"]
