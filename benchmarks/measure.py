"""One measurement in a process of its own: ``measure.py SIDE CASE PARAMETERS``, prints JSON.

Runs under the interpreter of either implementation; what is measured is in ``ours.py`` and
``reference.py``. A case is a function of the parameters that does what is not to be timed and
returns two functions: one that prepares a repetition, and one that is timed with its result.
"""

import gc
import importlib
import json
import logging
import resource
import statistics
import sys
import time
import warnings

from memory import peak_of_this_process


def main() -> None:
    side, case, parameters = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    limit = parameters.pop("memory_limit", None)
    if limit:
        # A process that asks for more than there is must fail, not have others killed.
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    repetitions, warm_up = parameters.pop("repetitions", 1), parameters.pop("warm_up", 0)
    try:
        prepare, run = getattr(importlib.import_module(side), case)(**parameters)
        seconds = []
        for number in range(warm_up + repetitions):
            argument = prepare()
            gc.collect()
            start = time.perf_counter()
            result = run(argument)
            stop = time.perf_counter()
            del result, argument  # outside the clock
            if number >= warm_up:
                seconds.append(stop - start)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        print("\n" + json.dumps({"error": text[:300]}))
        return
    # The largest process: this one, or one that it has started.
    below = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    peak = max(peak_of_this_process(), below)
    print("\n" + json.dumps({"seconds": statistics.median(seconds), "peak_mb": peak}))


if __name__ == "__main__":
    main()
