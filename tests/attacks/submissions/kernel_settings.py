"""Change settings of the kernel and of control groups. Must: refused."""

import os

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        for name in (
            *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/yama/ptrace_scope"),
            *("/proc/sysrq-trigger", "/proc/self/attr/current", "/proc/self/uid_map"),
            *("/proc/self/clear_refs", "/proc/self/coredump_filter", "/proc/self/timerslack_ns"),
            *("/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs", "/sys/power/state"),
            *("/sys/fs/cgroup/release_agent", "/dev/mem", "/dev/kmsg", "/proc/kcore"),
        ):
            must_fail(name, os.open, name, os.O_WRONLY)
        must_fail("control group", os.mkdir, "/sys/fs/cgroup/higgsml")
