"""Replace the judge's functions in this process. Must: the trusted side has its own."""

from attack import Honest, must_be_false

ALONE = True
ONCE = True


class Model(Honest):
    def fit(self):

        import HiggsML.pseudo_experiments
        import HiggsML.results
        import HiggsML.statistics.official_scores

        HiggsML.statistics.official_scores.compute_scores = HiggsML.results.write_json = (
            lambda *a, **k: None
        )
        HiggsML.pseudo_experiments.draw_mu = lambda *a: 1.0
        must_be_false("nothing", False)
