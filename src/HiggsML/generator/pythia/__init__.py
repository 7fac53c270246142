"""The slow engine, extra ``[pythia]``: whole Pythia 8 events through a parametrized detector.

``reference`` gives selected rows, ``production`` the truth-level events of the fast engine's
library; ``make_library`` is the command that fills and packs it.
"""
