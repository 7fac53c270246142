"""Reads the key that signs results, which lies beside the dataset. Must: find no way to it."""

from pathlib import Path

from attack import CONFIG, Honest, must_be_false, must_fail


class Model(Honest):
    def fit(self):
        key = Path(CONFIG["input"]) / "seal.key"
        must_fail("read the key", key.read_bytes)
        must_fail("list the dataset's directory", lambda: list(key.parent.iterdir()))
        link = Path.cwd() / "linked-key"
        must_fail("read it through a link", lambda: (link.symlink_to(key), link.read_bytes())[1])
        for top in ("/app/input_data", "/app/input/ref", "input_data", "reference_data"):
            path = Path(top) / "seal.key"
            must_fail(f"read {path}", path.read_bytes)
        opened = []
        for number in range(3, 64):
            try:
                opened.append(Path(f"/proc/self/fd/{number}").readlink())
            except OSError:
                continue
        must_be_false("the key is open", [path for path in opened if path.name == "seal.key"])
