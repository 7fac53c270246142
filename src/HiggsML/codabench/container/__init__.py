"""Runs of a submission in Docker containers, as the platform's compute worker makes them."""

from HiggsML.codabench.container.docker_run import read_progress, run_in_docker
from HiggsML.codabench.container.engine import connect, ensure_image
from HiggsML.codabench.container.platform_run import PlatformRun, RunResult, run_on_platform
from HiggsML.codabench.container.spec import Restrictions
from HiggsML.codabench.container.worker import NEWEST, WORKERS

__all__ = [
    "NEWEST",
    "WORKERS",
    "PlatformRun",
    "Restrictions",
    "RunResult",
    "connect",
    "ensure_image",
    "read_progress",
    "run_in_docker",
    "run_on_platform",
]
