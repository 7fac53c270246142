"""Fixtures that several test modules share."""

import contextlib
import fcntl
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from HiggsML.derived_quantities import DER_data
from HiggsML.schema import DER_COLUMNS, LABEL_COLUMNS, PRI_COLUMNS, PROCESSES, SIGNAL

ROOT = Path(__file__).resolve().parent.parent
DATA_FILE = "FAIR_Universe_HiggsML_data.parquet"

# Those that take longest, longest first (``pytest --durations=0``).
LONG_FILES = (
    *("test_generator_pythia", "test_generator_fast", "test_repeat", "test_frameworks"),
    *("test_workers", "test_container", "test_honest_models", "test_notebooks", "test_four_lepton"),
    *("test_other_systems", "test_rank", "test_checkpoint", "test_sample_submission"),
    *("test_bundle_build", "test_planted", "test_dry_run", "test_starts", "test_docs"),
    *("test_dataset_page", "test_ingestion", "test_cli", "test_sandbox", "test_programs"),
    *("test_restrict", "test_pyplot_figures", "test_pseudo_experiments", "test_visualization"),
    *("test_four_lepton_tables", "test_reference_names", "test_reference_parity", "test_doctests"),
)

REPORT_LINES = pytest.StashKey[list]()

# The same examples every time, and no limit on their time: a slow machine is not a failure.
settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("project")


def pytest_configure(config):
    config.stash[REPORT_LINES] = []


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest: none of them is the last, which cores wait for."""
    rank = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_sessionfinish(session):
    # With pytest-xdist, tests run in workers, and what these leave here reaches the terminal.
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["report_lines"] = session.config.stash[REPORT_LINES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    # A worker that crashed left nothing.
    node.config.stash[REPORT_LINES] += getattr(node, "workeroutput", {}).get("report_lines", [])


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash[REPORT_LINES]
    if lines:
        terminalreporter.section("agreement with the reference implementation")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def report_line(pytestconfig):
    """A function that adds a line to the end of pytest's output."""
    return pytestconfig.stash[REPORT_LINES].append


@pytest.fixture(scope="session")
def container_turn(tmp_path_factory):
    """A function that waits until no other test process uses containers, for a with statement.

    Some tests look whether any container is left.
    """
    path = tmp_path_factory.getbasetemp().parent / "containers.lock"

    @contextlib.contextmanager
    def turn():
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    return turn


@pytest.fixture(scope="session")
def real_sample():
    """Directory of the organizers' sample of 1,000 events, which is not part of the repository."""
    default = ROOT.parent / "shared" / "data" / "fair_universe_sample"
    directory = Path(os.environ.get("HIGGSML_REAL_SAMPLE", default))
    if not (directory / DATA_FILE).is_file():
        pytest.skip("no real sample: set HIGGSML_REAL_SAMPLE to the directory that holds it")
    return directory


@pytest.fixture(scope="session")
def mini_dataset():
    """Directory of the dataset that the repository ships."""
    return ROOT / "input_data"


@pytest.fixture(scope="session")
def reference_python():
    """Interpreter of an environment with the reference implementation."""
    interpreter = os.environ.get("HIGGSML_REFERENCE_PYTHON")
    if not interpreter:
        pytest.skip(
            "HIGGSML_REFERENCE_PYTHON is not set: tests/golden/README.md says how to make that "
            "environment"
        )
    return interpreter


@pytest.fixture(scope="session")
def make_golden():
    """The module tests/golden/make_golden.py, whose functions call either implementation."""
    path = ROOT / "tests" / "golden" / "make_golden.py"
    spec = importlib.util.spec_from_file_location("make_golden", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden():
    """Arrays that the reference implementation computed; see tests/golden/README.md."""
    with np.load(ROOT / "tests" / "golden" / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden_events(make_golden, golden):
    """The events (float64) to which the golden values belong."""
    return make_golden.from_arrays(golden)


def synthetic_events(n, *, seed=0):
    """Plausible events (float32) with the primaries and labels of a training set.

    Momenta fall exponentially from below the cuts on tau and jets, so that shifts move events and
    jets across them. Every event has its own ``PRI_lep_eta``, which no shift changes.
    """
    rng = np.random.default_rng(seed)
    n_jets = rng.choice([0, 1, 2, 3, 4], n, p=[0.35, 0.3, 0.2, 0.1, 0.05])
    leading = 23 + rng.exponential(35, n)
    subleading = np.minimum(leading, 22 + rng.exponential(15, n))
    others = np.maximum(n_jets - 2, 0) * 0.9 * subleading
    columns = {
        "PRI_lep_pt": 20 + rng.exponential(15, n),
        "PRI_lep_eta": rng.permutation(np.linspace(-2.5, 2.5, n)),
        "PRI_lep_phi": rng.uniform(-3.14, 3.14, n),
        "PRI_had_pt": 24 + rng.exponential(15, n),
        "PRI_had_eta": rng.uniform(-2.5, 2.5, n),
        "PRI_had_phi": rng.uniform(-3.14, 3.14, n),
        "PRI_n_jets": n_jets,
        "PRI_jet_all_pt": (n_jets > 0) * leading + (n_jets > 1) * subleading + others,
        "PRI_met": rng.exponential(25, n),
        "PRI_met_phi": rng.uniform(-3.14, 3.14, n),
    }
    for jet, pt, number in (("leading", leading, 1), ("subleading", subleading, 2)):
        for part, values in (
            ("pt", pt),
            ("eta", rng.uniform(-4.5, 4.5, n)),
            ("phi", rng.uniform(-3.14, 3.14, n)),
        ):
            columns[f"PRI_jet_{jet}_{part}"] = np.where(n_jets >= number, values, -25)
    frame = pd.DataFrame(columns)[list(PRI_COLUMNS)].round(3).astype(np.float32)
    frame["weights"] = rng.uniform(0.2, 1.5, n).astype(np.float32)
    frame["detailed_labels"] = rng.choice(PROCESSES, n)
    frame["labels"] = (frame["detailed_labels"] == SIGNAL).astype(np.float32)
    return frame


def _energy(values, mass):
    """Energy that enters a mass, from the sixteen primaries: the scale of its rounding error."""

    def of(name):
        return values[f"PRI_{name}_pt"] * np.cosh(values[f"PRI_{name}_eta"])

    if mass == "DER_mass_transverse_met_lep":
        return values["PRI_met"] + values["PRI_lep_pt"]
    first, second = ("lep", "had") if mass == "DER_mass_vis" else ("jet_leading", "jet_subleading")
    return np.abs(of(first)) + np.abs(of(second))


def check_parity(ours, theirs):
    """Compare results of ``make_golden.all_event_values`` with the reference's, row for row.

    Values may differ by 1e-5 relative or 2e-3 absolute, room for one step of the rounding to three
    decimals; an angle may differ by a full turn. Squared masses may also differ by the rounding of
    the squared energies whose difference they are. Events whose primaries were rounded to different
    sides are rare (which is checked); their derived quantities are left out, since they follow from
    those primaries, and the functions that derive them are compared on equal input.

    Returns the number of values and how many are equal bit for bit.
    """
    assert ours.keys() <= theirs.keys()
    n_values = n_equal = 0
    for key, mine in ours.items():
        reference = np.asarray(theirs[key])
        assert mine.shape == reference.shape, key
        kind, name = key.split("/")[:2]
        if name.endswith("_rows"):
            np.testing.assert_array_equal(mine, reference, err_msg=key)
            continue
        n_values += mine.size
        n_equal += int((mine == reference).sum())
        if not name.startswith("systematics"):
            continue
        names = [*PRI_COLUMNS, *DER_COLUMNS, "weights", "labels"][: len(mine)]
        if key.endswith("dict/weights"):
            np.testing.assert_allclose(mine, reference, rtol=1e-7, err_msg=key)
            continue
        mine = dict(zip(names, mine.astype(np.float64), strict=True))
        reference = dict(zip(names, reference.astype(np.float64), strict=True))
        steps = np.zeros(len(mine["PRI_met"]), dtype=bool)
        for column in PRI_COLUMNS:
            gap = np.abs(mine[column] - reference[column])
            if column == "PRI_met_phi":
                gap = np.minimum(gap, np.abs(gap - 2 * np.pi))
            allowed = 2e-3 + 1e-5 * np.abs(reference[column])
            assert (gap <= allowed).all(), f"{key} {column}: off by up to {gap.max()}"
            steps |= gap > 5e-4
        assert steps.mean() < 0.005, f"{key}: {steps.sum()} events were rounded differently"
        noise = 16 * np.finfo(np.float32 if kind == "f4" else np.float64).eps
        for column in (*DER_COLUMNS, *names[28:]):
            gap = np.abs(mine[column] - reference[column])
            close = gap <= 2e-3 + 1e-5 * np.abs(reference[column])
            if "_mass_" in column:
                squares = np.abs(mine[column] ** 2 - reference[column] ** 2)
                close |= squares <= noise * _energy(reference, column) ** 2
            worst = gap[~close & ~steps]
            assert not worst.size, f"{key} {column}: off by up to {worst.max()}"
    return n_values, n_equal


@pytest.fixture(scope="session")
def assert_parity():
    """The function :func:`check_parity`."""
    return check_parity


@pytest.fixture
def events():
    """200 plausible events, a fresh frame each time."""
    return synthetic_events(200)


@pytest.fixture(scope="session")
def make_events():
    """The function that makes such frames: ``make_events(n, seed=0)``."""
    return synthetic_events


@pytest.fixture
def write_dataset(tmp_path):
    """A function that writes a dataset and returns its directory.

    ``write_dataset(frame, metadata={...}, derived=True, row_group_size=..., name=...)``;
    ``metadata`` are changes to the right content, or None for no such file.
    """

    def write(frame, *, metadata=(), derived=False, row_group_size=None, name="data"):
        directory = tmp_path / name
        directory.mkdir()
        if derived:
            frame = DER_data(frame.copy())
            frame = frame[[*PRI_COLUMNS, *LABEL_COLUMNS, *DER_COLUMNS]]
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table, directory / DATA_FILE, row_group_size=row_group_size)
        if metadata is not None:
            content = {
                "total_rows": len(frame),
                "columns": list(frame.columns),
                "detailed_labels": list(PROCESSES),
                "sum_weights": 1234.5,
                **dict(metadata),
            }
            path = directory / DATA_FILE.replace(".parquet", "_metadata.json")
            path.write_text(json.dumps(content), encoding="utf-8")
        return directory

    return write
