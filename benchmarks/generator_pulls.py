"""What a fit to a million official events would see in the fast engine: an estimate.

The differences that ``calibrate_generator.py`` finds are written as one vector, events by region
and sums of quantities over the region that is known in detail, and fitted by the responses of this
vector to mu and to the nuisance parameters, with its covariance (Poisson, and that of the
simulation) and the constraints of the
nuisance parameters. What comes out are the offsets that a template fit would take them to.
"""

import numpy as np
from generator_figures import DETAILED, OFFICIAL, regions, selected_rows

from HiggsML.schema import NUISANCES, PROCESSES, SIGNAL
from HiggsML.systematics import systematics

__all__ = ["pulls"]

# Those that the energy scales move; more of them, being correlated, ask for a better simulation.
COLUMNS = ("PRI_had_pt", "PRI_jet_leading_pt", "PRI_met", "DER_mass_vis")
# An even function of the width: what is fitted is the square, in units of this one.
SOFT_MET = 2.0


def vector(frame, columns):
    """Observables of each event, (events, k): regions, and quantities in the detailed one."""
    masks = regions(frame)
    inside = masks[DETAILED]
    values = frame[columns].to_numpy(dtype=np.float64) * inside[:, None]
    return np.column_stack([*masks.values(), values]).astype(np.float64)


def expected(process, found, columns):
    """The official vector; quantities of a process that has none published are the engine's."""
    yields = [OFFICIAL["expected_events"][name][process] for name in found["regions"]]
    means = OFFICIAL["mean_and_sd"].get(f"{process}|{DETAILED}")
    if means is None:
        return np.concatenate([yields, found["sum"][len(yields) :]])
    inside = OFFICIAL["expected_events"][DETAILED][process]
    return np.concatenate([yields, [inside * means[name][0] for name in columns]])


def sums(process, rows, factors, columns):
    """Vector of one process, its covariance and responses, at official yields."""
    total = OFFICIAL["expected_events"]["all"][process]
    events = selected_rows(process, rows, factors, 2)
    nominal = systematics(events)
    weight = total / len(nominal)
    values = vector(nominal, columns)

    def shifted(**shift):
        frame = systematics(events, **shift)
        return weight * vector(frame, columns).sum(axis=0)

    out = {
        "regions": list(regions(nominal)),
        "sum": weight * values.sum(axis=0),
        # Of the data, and of the simulation.
        "covariance": weight * (1.0 + weight) * values.T @ values,
    }
    for name in ("tes", "jes"):
        width = NUISANCES[name].scale
        out[name] = 0.5 * (shifted(**{name: 1 + width}) - shifted(**{name: 1 - width}))
    out["soft_met"] = shifted(soft_met=SOFT_MET) - out["sum"]
    return out


def pulls(rows, shares, factors):
    """Offsets of mu and of the nuisance parameters, each with its error.

    The energy scales and rates are in units of their widths, ``soft_met2`` is the square of the
    soft missing momentum's width in GeV^2, ``mu`` the offset at mu = 1.
    """
    columns = list(COLUMNS)
    found = {
        process: sums(process, int(rows * shares[process]), factors[process], columns)
        for process in PROCESSES
    }
    wanted = {p: expected(p, part, columns) for p, part in found.items()}
    difference = sum(wanted.values()) - sum(part["sum"] for part in found.values())
    covariance = sum(part["covariance"] for part in found.values())
    backgrounds = [process for process in PROCESSES if process != SIGNAL]
    responses = {
        "tes": sum(part["tes"] for part in found.values()),
        "jes": sum(part["jes"] for part in found.values()),
        "soft_met2": sum(part["soft_met"] for part in found.values()) / SOFT_MET**2,
        "ttbar_scale": NUISANCES["ttbar_scale"].scale * found["ttbar"]["sum"],
        "diboson_scale": NUISANCES["diboson_scale"].scale * found["diboson"]["sum"],
        "bkg_scale": NUISANCES["bkg_scale"].scale * sum(found[p]["sum"] for p in backgrounds),
        "mu": found[SIGNAL]["sum"],
    }
    constrained = [float(name not in ("mu", "soft_met2")) for name in responses]
    unit = 1.0 / np.sqrt(np.diag(covariance))
    jacobian = np.column_stack(list(responses.values())) * unit[:, None]
    inverse = np.linalg.inv(covariance * unit[:, None] * unit)
    information = jacobian.T @ inverse @ jacobian + np.diag(constrained)
    spread = np.linalg.inv(information)
    offsets = spread @ jacobian.T @ inverse @ (difference * unit)
    return {
        name: [float(value), float(error)]
        for name, value, error in zip(responses, offsets, np.sqrt(np.diag(spread)), strict=True)
    }
