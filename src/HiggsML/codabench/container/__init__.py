"""Runs of a submission in Docker containers, as the platform's compute worker makes them."""

from HiggsML.codabench.container.docker_run import confined, read_progress, run_in_docker
from HiggsML.codabench.container.engine import connect, ensure_image
from HiggsML.codabench.container.platform_run import (
    PlatformRun,
    ProgramFailedError,
    RunResult,
    run_on_platform,
)
from HiggsML.codabench.container.spec import Restrictions
from HiggsML.codabench.container.worker import NEWEST, WORKERS

__all__ = [
    "NEWEST",
    "WORKERS",
    "PlatformRun",
    "ProgramFailedError",
    "Restrictions",
    "RunResult",
    "confined",
    "connect",
    "ensure_image",
    "read_progress",
    "run_in_docker",
    "run_on_platform",
]
