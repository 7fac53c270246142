"""Change the training events in memory that others map, too, or read more. Must: refused."""

from attack import ChangesTrainingEvents

ALONE = True


class Model(ChangesTrainingEvents):
    pass
