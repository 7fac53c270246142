"""Send two answers at once, their bytes mixed. Must: refused."""

import threading
import time

from attack import Honest, channel, frame, prediction

ALONE = True
ONCE = True
EXPECT = "broke the protocol"


class Model(Honest):
    def predict(self, test_set):
        content = frame(prediction())

        def drip():
            for k in range(len(content)):
                channel()[0].sendall(content[k : k + 1])
                time.sleep(0.001)

        threads = [threading.Thread(target=drip) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return super().predict(test_set)
