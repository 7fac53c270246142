"""Event generator: datasets of any size in the official file layout.

``decays`` holds the kinematics of decays, ``parametric`` the four physics processes, ``detector``
the response and the selection, ``dataset`` the scenarios and the files.
"""

from HiggsML.generator.dataset import generate_dataset, recommended_events

__all__ = ["generate_dataset", "recommended_events"]
