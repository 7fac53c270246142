"""A Model that costs next to nothing, for both implementations: what is left is theirs."""


class Model:
    def __init__(self, get_train_set, systematics, model_type="sample_model"):
        self.get_train_set = get_train_set

    def fit(self):
        self.expected = float(self.get_train_set(train_size=1000)["weights"].sum())

    def predict(self, test_set):
        mu = len(test_set["weights"]) / self.expected
        return {
            "mu_hat": mu,
            "delta_mu_hat": 0.1,
            "p16": mu - 0.1,
            "p84": mu + 0.1,
            "p16s": mu - 0.1,
            "p84s": mu + 0.1,
        }
