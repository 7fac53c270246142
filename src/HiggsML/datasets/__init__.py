"""Events from files in the official layout: read them, download them, know them again.

>>> from HiggsML.datasets import AVAILABLE_DATASETS
>>> sorted(AVAILABLE_DATASETS)
['blackSwan_data', 'neurips2024_data', 'sample_data']
"""

from HiggsML.datasets.download import AVAILABLE_DATASETS, download_dataset
from HiggsML.datasets.reader import Data, split_size

__all__ = ["AVAILABLE_DATASETS", "Data", "download_dataset", "split_size"]
