"""Event generator: datasets of any size in the official file layout.

``dataset`` holds the scenarios and writes the files, ``fast`` and ``pythia`` are the two engines,
``detector`` and ``table`` what they share, ``validation`` tells how near they are to each other;
``four_lepton`` makes the events of the second exercise.
"""

from HiggsML.generator.dataset import expected_events, generate_dataset, recommended_events

__all__ = ["expected_events", "generate_dataset", "recommended_events"]
