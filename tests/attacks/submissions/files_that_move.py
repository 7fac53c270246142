"""Store much where no list of files finds it, since it moves all the time. Must: the message."""

import os

from attack import Honest

ALONE = True
EXCLUSIVE = True  # whose files they are is not told: the free space of the disk counts
EXPECT = "in temporary files; its budget is 64.0 MB"


class Model(Honest):
    def fit(self):
        os.mkdir("0")
        for number in range(12):
            if number == 4:  # from here on hidden: before, it is within the budget
                if os.fork() == 0:
                    self.move()
            with open(f"/proc/self/fd/{self.folder()}/{number}", "wb") as file:
                file.write(os.urandom(8 << 20))
        self.move()

    def folder(self):
        if not hasattr(self, "held"):
            self.held = os.open("0", os.O_PATH)
        return self.held

    def move(self):
        number = os.getpid() << 32
        while True:
            for name in os.listdir("."):
                if name.isdigit():
                    number += 1
                    try:
                        os.rename(name, str(number))
                    except OSError:
                        pass
