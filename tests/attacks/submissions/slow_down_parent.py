"""Change limits, priority and processors of the trusted process. Must: refused."""

import os
import resource

from attack import PARENT, Honest, must_fail


class Model(Honest):
    def fit(self):
        must_fail("limits", resource.prlimit, PARENT, resource.RLIMIT_NOFILE, (0, 0))
        must_fail("affinity", os.sched_setaffinity, PARENT, {0})
        must_fail("priority", os.setpriority, os.PRIO_PROCESS, PARENT, 19)
        must_fail("priority of the user", os.setpriority, os.PRIO_USER, os.getuid(), 19)
        must_fail("raise own", os.setpriority, os.PRIO_PROCESS, 0, -20)
