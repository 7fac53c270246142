"""Read keys and configuration of the user. Must: refused."""

import os
import pwd

from attack import Honest, must_fail


class Model(Honest):
    def fit(self):
        home = pwd.getpwuid(os.getuid()).pw_dir
        for name in (
            "/etc/shadow",
            "/root",
            home,
            home + "/.ssh",
            "/etc/hosts",
            "/etc/resolv.conf",
        ):
            if (
                os.path.isdir(name)
                and not name.startswith(("/usr", "/nonexistent"))
                and name != "/"
            ):
                must_fail(name, os.listdir, name)
            else:
                must_fail(name, open, name)
