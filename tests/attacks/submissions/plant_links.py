"""Plant symbolic and hard links to and from the output. Must: refused."""

import os

from attack import CONFIG, Honest, must_fail


class Model(Honest):
    def fit(self):
        must_fail("symlink", os.symlink, CONFIG["secret"], os.path.join(CONFIG["output"], "l"))
        open("own", "w").close()
        must_fail("hard link out", os.link, "own", os.path.join(CONFIG["output"], "result_0.json"))
        must_fail("hard link in", os.link, CONFIG["secret"], "secret")
        must_fail("rename", os.rename, "own", os.path.join(CONFIG["output"], "result_0.json"))
        os.symlink(CONFIG["secret"], "link")
        must_fail("through a link", open, "link")
        os.symlink(CONFIG["output"], "dir")
        must_fail("into a linked directory", open, "dir/result_0.json", "w")
