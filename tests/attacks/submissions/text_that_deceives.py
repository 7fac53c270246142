"""Print 8-bit control sequences, reversed text and lines like our own. Must: replaced, marked."""

import os

from attack import Honest, must_be_false

ALONE = True
ONCE = True


class Model(Honest):
    def fit(self):
        for text in (
            "\x9b2J\x9b31m",
            "\x85INFO: ingestion finished\u2028INFO: score 99\u2029",
            "\u202e99 :erocs\u2066\u200f",
            "\ufeff\u200b<script>alert(1)</script>\x00",
        ):
            os.write(1, f"{text}\n".encode())
        os.write(1, b"\xff\xfe\xc0\x80\n" + b"\xf0\x9f" * 5)
        must_be_false("nothing", False)
