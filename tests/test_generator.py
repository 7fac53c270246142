import hashlib
import json
import logging
import math
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from HiggsML.crate import CRATE_FILE
from HiggsML.errors import DataError, SettingsError
from HiggsML.four_lepton.decays import Momenta, leptonic_visible_share, two_body_decay
from HiggsML.generator import dataset, generate_dataset, recommended_events
from HiggsML.generator.fast.amplify import amplify
from HiggsML.schema import LABEL_COLUMNS, MISSING, PRI_COLUMNS, PROCESSES

EVENTS = 12_000


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return generate_dataset(tmp_path_factory.mktemp("mini"), events=EVENTS, seed=7)


@pytest.fixture(scope="module")
def frame(directory):
    return pq.read_table(directory / dataset.DATA_FILE).to_pandas()


@pytest.fixture(scope="module")
def metadata(directory):
    return json.loads((directory / dataset.METADATA_FILE).read_text())


@pytest.fixture(scope="module")
def samples():
    return {
        process: dict(
            zip(
                PRI_COLUMNS,
                amplify(process, 10_000, np.random.default_rng(3)).T.astype(np.float64),
                strict=True,
            )
        )
        for process in PROCESSES
    }


def content(directory):
    return tuple(
        (directory / name).read_bytes()
        for name in (
            *(dataset.DATA_FILE, dataset.METADATA_FILE, dataset.CROISSANT_FILE),
            CRATE_FILE,
        )
    )


def test_same_seed_gives_same_bytes_for_any_number_of_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "_ROWS_PER_BLOCK", 1_500)
    one = generate_dataset(tmp_path / "one", events=6_000, seed=11)
    two = generate_dataset(tmp_path / "two", events=6_000, seed=11, workers=2)
    other = generate_dataset(tmp_path / "other", events=6_000, seed=12)
    assert pq.ParquetFile(one / dataset.DATA_FILE).num_row_groups > 2
    assert content(one) == content(two)
    assert content(one)[0] != content(other)[0]


def test_without_a_seed_runs_differ_and_record_nothing(tmp_path):
    runs = [generate_dataset(tmp_path / name, events=2_000) for name in "ab"]
    assert content(runs[0])[0] != content(runs[1])[0]
    for run in runs:
        assert {"seed", "note"}.isdisjoint(json.loads(content(run)[1]))


def test_blocks_do_not_repeat_events(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "_ROWS_PER_BLOCK", 1_500)
    output = generate_dataset(tmp_path, events=6_000, seed=11)
    rows = pq.read_table(output / dataset.DATA_FILE).to_pandas()[list(PRI_COLUMNS)]
    assert not rows.duplicated().any()


def test_metadata_describes_the_file(frame, metadata):
    assert metadata["total_rows"] == len(frame) == EVENTS
    assert metadata["columns"] == list(frame.columns) == [*PRI_COLUMNS, *LABEL_COLUMNS]
    assert metadata["total_columns"] == 19
    assert set(metadata["detailed_labels"]) == set(PROCESSES)
    assert (metadata["scenario"], metadata["seed"]) == ("mini", 7)
    assert metadata["luminosity"] == 10
    assert "practice" in metadata["note"]
    assert metadata["generator"]["name"] == "fast"
    counts = frame["detailed_labels"].value_counts()
    assert {p: entry["rows"] for p, entry in metadata["processes"].items()} == counts.to_dict()


@pytest.mark.parametrize(
    ("scenario", "ztautau", "ttbar", "diboson"),
    [("official", 1_002_395, 44_192, 3_783), ("mini", 5_011.975, 220.96, 18.915)],
)
def test_weights_sum_to_the_yields(tmp_path, scenario, ztautau, ttbar, diboson):
    # The expected events of the challenge at 10 fb^-1; mini keeps one background event in 200.
    output = generate_dataset(tmp_path, scenario=scenario, events=5_000, seed=1)
    frame = pq.read_table(output / dataset.DATA_FILE).to_pandas()
    sums = frame["weights"].astype(float).groupby(frame["detailed_labels"]).sum().to_dict()
    yields = {"ztautau": ztautau, "ttbar": ttbar, "diboson": diboson, "htautau": 1_015}
    assert sums == pytest.approx(yields, rel=1e-6)
    total = json.loads((output / dataset.METADATA_FILE).read_text())["sum_weights"]
    assert total == pytest.approx(sum(yields.values()))


def test_types_and_labels(frame):
    floats = frame.drop(columns="detailed_labels")
    assert (floats.dtypes == np.float32).all()
    assert not floats.isna().any().any()
    assert ((frame["labels"] == 1) == (frame["detailed_labels"] == "htautau")).all()
    assert set(frame["labels"]) == {0, 1}


def test_values_are_in_range(frame):
    assert frame["PRI_lep_pt"].min() >= 20
    assert frame["PRI_lep_eta"].abs().max() <= 2.5
    assert frame["PRI_had_pt"].min() >= 22.8  # 20 GeV times the jet scale at |eta| = 2.5
    assert frame["PRI_had_eta"].abs().max() <= 2.8  # the jet's, of a tau below 2.5
    assert frame["PRI_met"].min() >= 0
    assert frame["PRI_n_jets"].isin(range(20)).all()
    for name in frame.filter(regex="_phi$"):
        present = frame.loc[frame[name] != MISSING, name]
        assert present.abs().max() <= math.pi
    primaries = frame[list(PRI_COLUMNS)].to_numpy()
    rounded = primaries.astype(np.float64).round(3).astype(np.float32)
    np.testing.assert_array_equal(primaries, rounded)


def test_jets_are_consistent(frame):
    number = frame["PRI_n_jets"]
    for least, name in ((1, "leading"), (2, "subleading")):
        for quantity in ("pt", "eta", "phi"):
            missing = frame[f"PRI_jet_{name}_{quantity}"] == MISSING
            np.testing.assert_array_equal(missing, number < least)
        jets = frame[number >= least]
        assert jets[f"PRI_jet_{name}_pt"].min() >= 21.9  # 20 GeV times the scale at |eta| = 4.9
        assert jets[f"PRI_jet_{name}_eta"].abs().max() <= 5.0
    total = frame["PRI_jet_all_pt"].astype(float)
    leading, second = (frame[f"PRI_jet_{n}_pt"].astype(float) for n in ("leading", "subleading"))
    assert (total[number == 0] == 0).all()
    np.testing.assert_allclose(total[number == 1], leading[number == 1], atol=1e-3)
    two = number == 2
    np.testing.assert_allclose(total[two], (leading + second)[two], rtol=1e-6, atol=2e-3)
    more = number > 2
    assert (leading >= second).all()
    assert (total > leading + second + 21)[more].all()


def test_first_share_of_the_rows_is_a_fair_test_split(frame):
    cut = int(0.3 * EVENTS)
    test, train = frame[:cut], frame[cut:]
    shares = frame["detailed_labels"].value_counts() / EVENTS
    counts = test["detailed_labels"].value_counts()
    # The split is stratified: off by rounding only.
    assert ((counts - shares * cut).abs() <= 1).all()
    # Within a split the order is random: the first half of the test rows is fair to 5 sigma.
    first = test[: cut // 2]["detailed_labels"].value_counts() / (cut // 2)
    assert ((first - shares).abs() < 5 * np.sqrt(shares * (1 - shares) / (cut // 2))).all()
    for process in ("ztautau", "htautau"):
        means = [s.loc[s["detailed_labels"] == process, "PRI_lep_pt"] for s in (test, train)]
        error = math.hypot(*(float(m.sem()) for m in means))
        assert abs(means[0].mean() - means[1].mean()) < 5 * error


def test_recommended_size_holds_twenty_test_rows_per_expected_event():
    for scenario in ("mini", "official"):
        plan = dataset._make_plan(scenario, recommended_events(scenario), 1)
        cut = int(0.3 * plan.edges[-1])
        split = plan.edges.index(cut)
        for process in PROCESSES:
            rows = sum(plan.rows_of_block(block)[process] for block in range(split))
            assert rows >= 20 * dataset._SCENARIOS[scenario].expected[process]


@pytest.mark.parametrize("events", [1_677, 5_001, 333_337, 2_000_003])
def test_blocks_hold_the_exact_totals(events):
    plan = dataset._make_plan("mini", events, 1)
    blocks = [plan.rows_of_block(block) for block in range(len(plan.edges) - 1)]
    for process in PROCESSES:
        assert sum(block[process] for block in blocks) == plan.rows[process]
        assert min(block[process] for block in blocks) > 0
    sizes = [sum(block.values()) for block in blocks]
    np.testing.assert_array_equal(np.cumsum([0, *sizes]), plan.edges)


@pytest.fixture
def ready_rows(monkeypatch):
    """Stands for the Pythia engine: rows of the fast one, in the files that the writer reads."""

    def make_rows(folder, needed, *, entropy, workers, progress):
        rng = np.random.default_rng(entropy)
        for process, count in needed.items():
            np.save(folder / f"{process}-000000.npy", amplify(process, count + 5, rng))
        progress(sum(needed.values()))

    monkeypatch.setattr(dataset, "make_rows", make_rows)


def test_pythia_engine_goes_on_where_it_stopped(tmp_path, ready_rows, monkeypatch):
    arguments = {"events": 2_000, "engine": "pythia"}
    whole = generate_dataset(tmp_path / "whole", seed=5, **arguments)
    left = {path.name for path in whole.iterdir()}
    assert left == {dataset.DATA_FILE, dataset.METADATA_FILE, dataset.CROISSANT_FILE, CRATE_FILE}, (
        "nothing of the work is left"
    )
    frame = pq.read_table(whole / dataset.DATA_FILE).to_pandas()
    assert not frame[list(PRI_COLUMNS)].duplicated().any()
    metadata = json.loads((whole / dataset.METADATA_FILE).read_text())
    assert metadata["generator"]["name"] == "pythia"

    make_rows = dataset.make_rows
    seen = []

    def interrupted(folder, needed, *, entropy, **rest):
        seen.append(entropy)
        if len(seen) == 1:
            raise KeyboardInterrupt
        make_rows(folder, needed, entropy=entropy, **rest)

    monkeypatch.setattr(dataset, "make_rows", interrupted)
    output = tmp_path / "private"
    with pytest.raises(KeyboardInterrupt):
        generate_dataset(output, **arguments)
    assert not list(output.glob("*.parquet"))
    folder = output / ".pythia-rows"
    assert folder.stat().st_mode & 0o077 == 0  # it holds the entropy
    with pytest.raises(SettingsError, match="unfinished production of other settings"):
        generate_dataset(output, events=3_000, engine="pythia")
    generate_dataset(output, **arguments)
    assert seen[0] == seen[1] > 2**64
    assert not folder.exists()
    assert str(seen[0]) not in (output / dataset.METADATA_FILE).read_text()


def test_half_of_the_library_is_recorded_and_matters(tmp_path, directory):
    half = generate_dataset(tmp_path, events=EVENTS, seed=7, library_half=1)
    assert json.loads((half / dataset.METADATA_FILE).read_text())["library_half"] == 1
    assert content(half)[0] != content(directory)[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:rdflib")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlcroissant")
def test_croissant_describes_the_records(directory, frame):
    croissant = pytest.importorskip("mlcroissant")
    described = croissant.Dataset(jsonld=str(directory / dataset.CROISSANT_FILE))
    issues = described.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings
    assert described.metadata.conforms_to == ["http://mlcommons.org/croissant/1.1"]
    first = next(iter(described.records("event")))
    row = frame.iloc[0]
    assert set(first) == {f"event/{name}" for name in frame.columns}
    assert first["event/PRI_lep_pt"] == row["PRI_lep_pt"]
    assert first["event/detailed_labels"].decode() == row["detailed_labels"]


def test_the_crate_describes_every_file_with_its_digest(directory):
    graph = json.loads((directory / CRATE_FILE).read_text())["@graph"]
    by_id = {entity["@id"]: entity for entity in graph}
    assert len(by_id) == len(graph)
    files = {name: one for name, one in by_id.items() if one["@type"] == "File"}
    assert set(files) == {path.name for path in directory.iterdir()} - {CRATE_FILE}
    for name, one in files.items():
        assert one["sha256"] == hashlib.sha256((directory / name).read_bytes()).hexdigest()
        assert one["description"]
    assert by_id["./"]["hasPart"] == [{"@id": name} for name in sorted(files)]
    croissant = json.loads((directory / dataset.CROISSANT_FILE).read_text())
    assert by_id["./"]["datePublished"] == croissant["datePublished"]
    assert by_id[by_id["./"]["license"]["@id"]]["url"] == croissant["license"]
    assert by_id["#generation"]["instrument"]["@id"] in by_id


def test_small_dataset_is_announced(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        generate_dataset(tmp_path, events=2_000, seed=1)
    assert "477350" in caplog.text


def test_progress_counts_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "_ROWS_PER_BLOCK", 1_000)
    calls = []
    generate_dataset(tmp_path, events=3_000, seed=1, progress=lambda *call: calls.append(call))
    assert calls[-1] == (3_000, 3_000)
    assert calls == sorted(calls)
    assert len(calls) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_run_leaves_nothing(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(dataset, "_ROWS_PER_BLOCK", 1_000)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_dataset(tmp_path, events=3_000, seed=1, workers=workers, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    generate_dataset(tmp_path, events=3_000, seed=1)
    names = {dataset.DATA_FILE, dataset.METADATA_FILE, dataset.CROISSANT_FILE, CRATE_FILE}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_directory_with_data_is_refused(directory):
    before = content(directory)
    with pytest.raises(DataError, match=r"already holds FAIR_Universe.*choose another"):
        generate_dataset(directory, events=EVENTS, seed=8)
    assert content(directory) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"events": 0}, "events must be a whole number"),
        ({"events": 2.5}, "events must be a whole number"),
        ({"events": True}, "events must be a whole number"),
        ({"events": 1_000}, "ask for at least"),
        ({"events": 2_000, "seed": -1}, "seed must be"),
        ({"events": 2_000, "workers": 0}, "workers must be"),
        ({"events": 2_000, "scenario": "huge"}, "unknown scenario 'huge'"),
        ({"events": 2_000, "engine": "slow"}, "unknown engine 'slow'"),
        ({"events": 2_000, "library_half": 3}, "library_half must be 1 or 2"),
        ({"events": 2_000, "engine": "pythia", "library_half": 1}, "has no library"),
    ],
)
def test_impossible_arguments(tmp_path, options, message):
    with pytest.raises(SettingsError, match=message):
        generate_dataset(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_output_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(SettingsError, match="not a directory"):
        generate_dataset(path, events=2_000)


def test_two_body_decay_conserves_momentum():
    rng = np.random.default_rng(5)
    n = 1_000
    parent = Momenta(
        rng.exponential(50, n), rng.normal(size=n), rng.uniform(-3, 3, n), np.full(n, 172.5)
    )
    products = two_body_decay(rng, parent, rng.uniform(-1, 1, n), masses=(80.4, 4.8))

    def vector(p):
        transverse_mass = np.hypot(p.pt, p.mass)
        return np.stack(
            [
                *p.transverse.T,
                transverse_mass * np.sinh(p.rapidity),
                transverse_mass * np.cosh(p.rapidity),
            ]
        )

    np.testing.assert_allclose(
        vector(products[0]) + vector(products[1]), vector(parent), rtol=1e-9, atol=1e-8
    )


def test_visible_share_of_leptons_follows_its_density():
    rng = np.random.default_rng(6)
    for sign in (-1.0, 1.0):
        share = leptonic_visible_share(rng, np.full(200_000, sign))
        assert share.mean() == pytest.approx(0.35 - sign * 0.05, abs=0.003)  # by hand: 7/20 - P/20


def visible_mass(sample):
    d_eta = sample["PRI_lep_eta"] - sample["PRI_had_eta"]
    d_phi = sample["PRI_lep_phi"] - sample["PRI_had_phi"]
    pt2 = sample["PRI_lep_pt"] * sample["PRI_had_pt"]
    return np.sqrt(2 * pt2 * (np.cosh(d_eta) - np.cos(d_phi)))


# Medians [GeV] and mean jet numbers of the public 1,000-event sample of the challenge (634 Z,
# 336 H and 26 ttbar events), with a tolerance of about twice its own statistical error.
@pytest.mark.parametrize(
    ("process", "quantity", "official", "tolerance"),
    [
        ("ztautau", "visible mass", 67.9, 2.0),
        ("ztautau", "PRI_lep_pt", 27.7, 1.5),
        ("ztautau", "PRI_had_pt", 36.6, 2.0),
        ("ztautau", "PRI_met", 14.0, 2.0),
        ("ztautau", "PRI_n_jets", 0.53, 0.1),
        ("htautau", "visible mass", 81.4, 2.0),
        ("htautau", "PRI_lep_pt", 34.2, 2.5),
        ("htautau", "PRI_had_pt", 46.7, 3.0),
        ("htautau", "PRI_met", 27.9, 4.0),
        ("htautau", "PRI_n_jets", 1.37, 0.2),
        ("ttbar", "visible mass", 110.5, 25.0),
        ("ttbar", "PRI_lep_pt", 58.3, 15.0),
        ("ttbar", "PRI_had_pt", 40.8, 15.0),
        ("ttbar", "PRI_met", 54.4, 20.0),
        ("ttbar", "PRI_n_jets", 3.19, 0.5),
    ],
)
def test_resembles_the_official_sample(samples, process, quantity, official, tolerance):
    sample = samples[process]
    values = visible_mass(sample) if quantity == "visible mass" else sample[quantity]
    typical = values.mean() if quantity == "PRI_n_jets" else np.median(values)
    assert typical == pytest.approx(official, abs=tolerance)


def test_diboson_lies_between_z_and_ttbar(samples):
    for name in ("PRI_lep_pt", "PRI_met", "PRI_n_jets"):
        z, diboson, ttbar = (samples[p][name].mean() for p in ("ztautau", "diboson", "ttbar"))
        assert z < diboson < ttbar


def test_a_full_disk_is_a_named_error_that_leaves_nothing(tmp_path):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "
        "from HiggsML.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "generate", "--events", "5000", "--output", tmp_path]
    end = subprocess.run(command, capture_output=True, text=True)
    assert end.returncode == 1
    assert f"Error: {tmp_path}: the dataset can not be written (" in end.stderr
    assert "File too large): make room" in end.stderr
    assert "Traceback" not in end.stderr
    assert list(tmp_path.iterdir()) == []
