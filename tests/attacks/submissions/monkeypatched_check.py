"""Switch the check of answers off and answer NaN. Must: the trusted side checks again."""

import functools
import json

from attack import ANSWER, Honest

ALONE = True
ONCE = True
EXPECT = "broke the protocol: the message is not valid JSON"


class Unchecked(dict):
    def _asdict(self):
        return self


class Model(Honest):
    def fit(self):
        from HiggsML.isolation.inside import runner
        from HiggsML.isolation.wire import channel as c

        runner.answer_of = lambda model, test_set: Unchecked(model.predict(test_set))
        c.json.dumps = functools.partial(json.dumps, allow_nan=True)
        dumps = json.JSONEncoder
        c.json = type(
            "J",
            (),
            {"dumps": staticmethod(lambda m, allow_nan: json.dumps(m)), "loads": json.loads},
        )

    def predict(self, test_set):
        return dict(ANSWER, mu_hat=float("nan"))
