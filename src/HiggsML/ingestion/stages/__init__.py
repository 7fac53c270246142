"""The stages of a run: prepare, fit, measure, repeat, write.

Each takes the :class:`HiggsML.ingestion.stages.state.Run` that the one before has left.
"""
