"""Fail in every process but the first, so that nobody can ask again. Must: be fitted again."""

from attack import ANSWER, Honest, must_be_false

ALONE = True
REPEATABLE = "require"


class Model(Honest):
    def __getstate__(self):
        return {"restored": True}

    def predict(self, test_set):
        if getattr(self, "restored", False):
            raise MemoryError("when asked again")
        must_be_false("a way around asking again", False)
        return dict(ANSWER)
