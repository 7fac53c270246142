"""Where pseudo-experiments run: in this process, in local processes, or on a Dask cluster.

An :class:`Executor` takes tasks and yields answers as they are ready. Which worker does what, and
when, changes no number: every pseudo-experiment has its own branch of the seed tree.
"""

from HiggsML.ingestion.workers.cluster import DaskCluster, check_cluster
from HiggsML.ingestion.workers.processes import LocalProcesses, ThisProcess
from HiggsML.ingestion.workers.shared_experiments import Participant, SharedExperiments
from HiggsML.ingestion.workers.surroundings import Surroundings
from HiggsML.ingestion.workers.worker import (
    Draws,
    Executor,
    Task,
    Worker,
    WorkerSettings,
    deadline_in,
    seconds_left,
)

__all__ = [
    "DaskCluster",
    "Draws",
    "Executor",
    "LocalProcesses",
    "Participant",
    "SharedExperiments",
    "Surroundings",
    "Task",
    "ThisProcess",
    "Worker",
    "WorkerSettings",
    "check_cluster",
    "deadline_in",
    "seconds_left",
]
