"""Events from files in the official layout: read them, download them, know them again.

Examples
--------
>>> from HiggsML.datasets import AVAILABLE_DATASETS
>>> sorted(AVAILABLE_DATASETS)
['blackSwan_data', 'neurips2024_data', 'sample_data']
"""

import HiggsML.installation  # noqa: F401 (first: it refuses a mixture of two packages)

# isort: split
from HiggsML.datasets.download import AVAILABLE_DATASETS, download_dataset
from HiggsML.datasets.old_names import (
    BLACK_SWAN_DATA_URL,
    SAMPLE_DATA_URL,
    ZENODO_URL,
    BlackSwan_public_dataset,
    Neurips2024_public_dataset,
    available_datasets,
    train_test_split,
)
from HiggsML.datasets.reader import Data, split_size

__all__ = [
    "AVAILABLE_DATASETS",
    "BLACK_SWAN_DATA_URL",
    "SAMPLE_DATA_URL",
    "ZENODO_URL",
    "BlackSwan_public_dataset",
    "Data",
    "Neurips2024_public_dataset",
    "available_datasets",
    "download_dataset",
    "split_size",
    "train_test_split",
]
