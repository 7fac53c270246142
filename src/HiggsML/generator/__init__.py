"""Event generator: datasets of any size in the official file layout.

``dataset`` holds the scenarios and writes the files, ``fast`` and ``pythia`` are the two engines,
``detector`` and ``table`` what they share, ``validation`` tells how near they are to each other;
``four_lepton`` makes the events of the second exercise.
"""

from HiggsML.generator.dataset import generate_dataset, recommended_events

__all__ = ["generate_dataset", "recommended_events"]
