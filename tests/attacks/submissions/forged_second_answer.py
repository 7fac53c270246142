"""Answer one request twice, so that the next is answered in advance. Must: refused."""

from attack import Honest, frame, prediction, send

ALONE = True
ONCE = True
EXPECT = "broke the protocol"


class Model(Honest):
    def predict(self, test_set):
        send(frame(prediction()), frame(prediction()))
        return super().predict(test_set)
