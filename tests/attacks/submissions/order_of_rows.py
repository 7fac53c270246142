"""Tell signal from background by the position of the rows. Must: no trend over 5 sigma."""

import numpy as np
from attack import Honest, must_be_false


class Model(Honest):
    def predict(self, test_set):
        frame_ = test_set["data"]
        position = np.arange(len(frame_)) - (len(frame_) - 1) / 2
        sigmas = {}
        for name in ("DER_mass_MMC", "DER_mass_transverse_met_lep", "PRI_met", "PRI_n_jets"):
            if name in frame_:
                values = frame_[name].to_numpy(np.float64)
                r = np.corrcoef(position, values)[0, 1]
                if abs(r) * np.sqrt(len(frame_)) > 5:
                    sigmas[name] = r
        must_be_false("trends", sigmas)
        return super().predict(test_set)
