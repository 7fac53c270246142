"""The default engine: a library of Pythia 8 events, amplified.

``library`` reads the truth-level events in ``data/``, ``amplify`` makes any number of selected rows
from them: ``boson`` those of Z and Higgs, ``pair`` those of top quarks and pairs of bosons, with
``tau_decays`` and the detector's response in ``measure``.
"""
