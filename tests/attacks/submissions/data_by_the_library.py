"""Use the judge's own reader and ingestion on the dataset. Must: refused."""

from pathlib import Path

from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        from HiggsML.datasets import Data

        must_fail("Data", Data, CONFIG["input"])
        from HiggsML.ingestion import IngestionOptions, run_ingestion

        options = IngestionOptions(
            Path(CONFIG["input"]), Path(__file__).parent, Path(CONFIG["output"])
        )
        must_fail("ingestion", run_ingestion, options)
