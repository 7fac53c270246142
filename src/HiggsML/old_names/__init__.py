"""Names of earlier releases of the reference implementation, thin, for code that uses them.

They are found where they were: ``HiggsML.datasets.train_test_split`` and so on.
"""
