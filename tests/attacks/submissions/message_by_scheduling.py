"""Write to the processors and priorities of a process of another worker. Must: change none."""

import os
import time

from attack import ANSWER, PARENT, Honest, must_be_false

ALONE = True
WORKERS = 2
MARK = 7


def children_of_the_trusted():
    """Yield the other processes that the trusted one has started, as far as they can be found."""
    for pid in range(PARENT, PARENT + 3000):
        try:
            if pid != os.getpid() and os.getsid(pid) == pid:
                yield pid
        except OSError:
            continue


class Model(Honest):
    def predict(self, test_set):
        first, *others = sorted(os.sched_getaffinity(0))
        for pid in children_of_the_trusted():
            for change in (
                lambda: os.setpriority(os.PRIO_PROCESS, pid, MARK),
                lambda: others and os.sched_setaffinity(pid, {first}),
                lambda: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)),
            ):
                try:
                    change()
                except OSError:
                    pass
        time.sleep(0.3)
        must_be_false("my priority", os.getpriority(os.PRIO_PROCESS, 0) == MARK)
        must_be_false("my processors", bool(others) and os.sched_getaffinity(0) == {first})
        must_be_false("my scheduler", os.sched_getscheduler(0) == os.SCHED_BATCH)
        return dict(ANSWER)
