"""Step 1: two small neural networks that tell signal, Z boson and other backgrounds apart.

The best statistic for the rate of a signal is any monotonic function of the ratio of densities
p(x | signal) / p(x | background) (J. Neyman and E. Pearson, 1933), and a classifier that is trained
with the cross-entropy learns such ratios (K. Cranmer et al., arXiv:1506.02169). Three classes give
two of them: signal over background, which measures mu, and top quarks over Z bosons, which tells
the backgrounds apart, whose rates are uncertain by different amounts.

Why so small: a pseudo-experiment can have a million events, and 3,000 multiplications per event
take a fraction of a second. On good variables they separate as well as hundreds of trees do.

Why two: a classifier looks better on the events that it has learned than on others. The last digit
of an angle, on which nothing depends, divides all events, those of the training set and those to be
measured alike, into two halves. Each half is judged by the network that has learned the other one
(cross-fitting), so every simulated event serves both for learning and for the templates.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from threadpoolctl import ThreadpoolController

CLASSES = {"htautau": 0, "ztautau": 1, "ttbar": 2, "diboson": 2}
CHUNK_ROWS = 16_384  # temporaries of this size stay in the processor's cache

# Matrices this small are multiplied fastest by one thread: several spend their time on waiting for
# each other, up to ten times of it on a busy machine.
THREADS = ThreadpoolController()

HIDDEN_UNITS = (48, 32)
EXAMPLES = 250_000  # per network and epoch
EPOCHS = 6
BATCH = 2000  # examples per step
LONGEST_STEP = 0.016
SHARES = (0.45, 0.35, 0.20)  # of the classes among the examples


def variables(events):
    """Return what the networks see, shape (n_variables, n_events), float32.

    Momenta and masses come as logarithms, angles relative to each other, and etas with the sign
    that turns the pair of lepton and tau forward: mirrored events are as probable. An absent jet
    looks like one at the threshold in the middle of the detector.
    """

    def column(name):
        return events[name].to_numpy(np.float32)

    def log(name, offset=0.0):
        return np.log(column(name) + np.float32(offset))

    lep_eta, had_eta = column("PRI_lep_eta"), column("PRI_had_eta")
    forward = np.sign(lep_eta + had_eta)
    met, met_phi = column("PRI_met"), column("PRI_met_phi")
    lep_phi, had_phi = column("PRI_lep_phi"), column("PRI_had_phi")
    had_met = np.cos(had_phi - met_phi)
    n_jets = column("PRI_n_jets")
    first, second = column("PRI_jet_leading_pt") > 0, column("PRI_jet_subleading_pt") > 0
    return np.stack([
        log("PRI_lep_pt"),
        log("PRI_had_pt"),
        np.log(met + 5),
        log("DER_mass_vis"),
        log("DER_mass_transverse_met_lep", 5),
        # The transverse mass of tau and missing momentum: large where a top quark decayed.
        np.log(np.sqrt(2 * column("PRI_had_pt") * met * (1 - had_met)) + 5),
        log("DER_pt_h", 5),
        log("DER_pt_tot", 5),
        log("DER_sum_pt"),
        column("DER_deltar_had_lep"),
        column("DER_met_phi_centrality"),
        had_met,
        np.cos(lep_phi - met_phi),
        np.cos(lep_phi - had_phi),
        forward * lep_eta,
        forward * had_eta,
        np.minimum(n_jets, 4),
        np.log(np.maximum(column("PRI_jet_leading_pt"), 20)),
        np.log(np.maximum(column("PRI_jet_subleading_pt"), 20)),
        log("PRI_jet_all_pt", 20),
        first * forward * column("PRI_jet_leading_eta"),
        second * forward * column("PRI_jet_subleading_eta"),
        np.log(np.maximum(column("DER_mass_jet_jet"), 0) + 30),
        second * column("DER_deltaeta_jet_jet"),
        second * column("DER_prodeta_jet_jet"),
        second * column("DER_lep_eta_centrality"),
    ])  # fmt: skip


def half(events):
    """Return 0 or 1 for every event: whether the third decimal of the lepton's phi is odd.

    No systematic shift changes it.
    """
    return np.rint(events["PRI_lep_phi"].to_numpy(np.float64) * 1000).astype(np.int64) % 2


def layers(parameters, sizes):
    """Return weights (n_inputs, n_outputs) and constants of each layer, as views of one vector."""
    found, start = [], 0
    for inputs, outputs in pairwise(sizes):
        stop = start + (inputs + 1) * outputs
        block = parameters[start:stop].reshape(inputs + 1, outputs)
        found.append((block[:-1], block[-1]))
        start = stop
    return found


def write_gradient(gradient, network, inputs, wanted):
    """Write the gradient of the mean cross-entropy, layer by layer (back-propagation)."""
    values = [inputs]
    for weights, constants in network[:-1]:
        values.append(np.maximum(values[-1] @ weights + constants, 0))
    weights, constants = network[-1]
    logits = values[-1] @ weights + constants
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = (odds / odds.sum(axis=1, keepdims=True) - wanted) / np.float32(len(wanted))
    for number in reversed(range(len(network))):
        slopes, constants = gradient[number]
        np.matmul(values[number].T, error, out=slopes)
        error.sum(axis=0, out=constants)
        if number:
            error = (error @ network[number][0].T) * (values[number] > 0)


def step_size(progress):
    """Return the step size: it rises in the first tenth of the training, then falls to zero."""
    if progress < 0.1:
        return LONGEST_STEP * progress / 0.1
    return LONGEST_STEP * (1 + math.cos(math.pi * (progress - 0.1) / 0.9)) / 2


def learn(examples, labels, seed):
    """Train a perceptron with Adam (D. Kingma and J. Ba, arXiv:1412.6980); return its layers.

    Written out here, since batches of so small a network take scikit-learn twice as long.

    Parameters
    ----------
    examples : float32 array of shape (n, n_variables)
    labels : array of shape (n,)
        Which output, counted from 0, is right.
    seed : int
        Of the first weights, and of the order of the examples.
    """
    rng = np.random.default_rng(seed)
    wanted = np.eye(labels.max() + 1, dtype=np.float32)[labels]
    sizes = (examples.shape[1], *HIDDEN_UNITS, wanted.shape[1])
    parameters = np.zeros(sum((i + 1) * o for i, o in pairwise(sizes)), dtype=np.float32)
    gradient, mean, square = (np.zeros_like(parameters) for _ in range(3))
    network, slopes = layers(parameters, sizes), layers(gradient, sizes)
    for weights, _ in network:
        weights[:] = rng.uniform(-1, 1, weights.shape) * np.sqrt(6 / sum(weights.shape))
    batch = min(BATCH, len(labels))
    steps = len(labels) // batch
    for step in range(1, EPOCHS * steps + 1):
        place = (step - 1) % steps
        if place == 0:
            order = rng.permutation(len(labels))
        chosen = order[place * batch : (place + 1) * batch]
        write_gradient(slopes, network, examples[chosen], wanted[chosen])
        mean += 0.1 * (gradient - mean)
        square += 0.001 * (gradient**2 - square)
        direction = mean / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        parameters -= step_size(step / (EPOCHS * steps)) / (1 - 0.9**step) * direction
    return network


class Network:
    """A perceptron: trained by :func:`learn`, evaluated with three matrix products.

    Parameters
    ----------
    inputs : array of shape (n_variables, n_events)
        From :func:`variables`.
    classes, weights : arrays of shape (n_events,)
        Class numbers as in ``CLASSES``, and how often an event counts.
    seed : int
        Choice of the examples and of the first weights.
    """

    def __init__(self, inputs, classes, weights, seed):
        rng = np.random.default_rng(seed)
        self.present = np.unique(classes)  # a tiny training set may lack a class
        number = min(EXAMPLES, 20 * classes.size)
        chosen, shares = [], []
        for label in self.present:
            mine = np.flatnonzero(classes == label)
            probability = weights[mine] / weights[mine].sum()
            chosen.append(rng.choice(mine, int(number * SHARES[label]), p=probability))
            shares.append(SHARES[label])
        chosen = rng.permutation(np.concatenate(chosen))
        mean, width = inputs.mean(axis=1), inputs.std(axis=1) + 1e-3
        examples = np.ascontiguousarray((inputs[:, chosen].T - mean) / width)
        labels = np.searchsorted(self.present, classes[chosen])
        # Scaling the inputs is a part of the first layer; the shares of the classes, which differ
        # from those in nature, are taken out of the last one's constants.
        network = [[w.T, b[:, None]] for w, b in learn(examples, labels, seed)]
        network[0][1] = network[0][1] - network[0][0] @ (mean / width)[:, None]
        network[0][0] = network[0][0] / width
        network[-1][1] = network[-1][1] - np.log(shares)[:, None]
        self.layers = [(w.astype(np.float32), b.astype(np.float32)) for w, b in network]

    def __call__(self, inputs):
        """Return ln p(x | class), shape (3, n), up to a term that the classes have in common."""
        values = inputs
        for weights, constants in self.layers[:-1]:
            values = np.maximum(weights @ values + constants, 0)
        weights, constants = self.layers[-1]
        result = np.full((len(SHARES), inputs.shape[1]), -20.0, dtype=np.float32)
        result[self.present] = weights @ values + constants
        return result


class Classifier:
    """Both networks, each of which judges the half of the events that it has not learned.

    Parameters
    ----------
    events : DataFrame
        Training events, shifted at random so that the networks tolerate shifts.
    expected : dict of str to float
        Expected events of every process, for the background's composition.
    """

    def __init__(self, events, expected):
        which = half(events)
        inputs = variables(events)
        classes = events["detailed_labels"].map(CLASSES).to_numpy(np.int64)
        weights = events["weights"].to_numpy(np.float64)

        def network(judge):
            mine = which != judge
            return Network(inputs[:, mine], classes[mine], weights[mine], seed=judge)

        with THREADS.limit(limits=1), ThreadPoolExecutor(2) as pool:
            self.networks = list(pool.map(network, (0, 1)))
        ztautau, others = expected["ztautau"], expected["ttbar"] + expected["diboson"]
        shares = np.array([ztautau, others]) / (ztautau + others)
        self.log_shares = np.log(np.maximum(shares, 1e-6)).astype(np.float32)

    def __call__(self, events):
        """Return two logarithms of density ratios, shape (2, n_events).

        Signal over background, and ttbar and diboson over ztautau.
        """
        scores = np.empty((2, len(events)), dtype=np.float32)
        with THREADS.limit(limits=1):
            for start in range(0, len(events), CHUNK_ROWS):
                part = events.iloc[start : start + CHUNK_ROWS]
                scores[:, start : start + len(part)] = self._judge(part)
        return scores

    def _judge(self, events):
        inputs, which = variables(events), half(events)
        scores = np.empty((2, which.size), dtype=np.float32)
        for judge, network in enumerate(self.networks):
            rows = np.flatnonzero(which == judge)
            signal, ztautau, others = network(inputs.take(rows, axis=1))
            background = np.logaddexp(ztautau + self.log_shares[0], others + self.log_shares[1])
            scores[0, rows] = signal - background
            scores[1, rows] = others - ztautau
        return scores
