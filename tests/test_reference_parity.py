"""Live comparison with the reference implementation on real and generated events.

Needs ``HIGGSML_REFERENCE_PYTHON``, see tests/golden/README.md. Nothing of the events is kept.
"""

import subprocess

import numpy as np
import pandas as pd
import pytest

from HiggsML.datasets import Data

ROWS = 5_000  # of the shipped dataset; the real sample has 1,000


def run_reference(interpreter, script, tmp_path, events, make_golden):
    source, target = tmp_path / "events.npz", tmp_path / "values.npz"
    np.savez(source, **make_golden.to_arrays(events))
    done = subprocess.run(
        [interpreter, script, target, "--events", source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(target) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", ["mini_dataset", "real_sample"])
def test_agrees_with_the_reference_row_for_row(
    name, request, reference_python, make_golden, assert_parity, tmp_path, report_line
):
    path = Data(request.getfixturevalue(name)).path
    # The rows of the mini dataset are spread over the file, so that every process is there.
    frame = pd.read_parquet(path)
    frame = frame.iloc[:: max(1, len(frame) // ROWS)][: max(ROWS, 1000)].reset_index(drop=True)
    columns = [*make_golden.PRI, "weights", "detailed_labels", "labels"]
    events = frame[columns].astype(dict.fromkeys(columns[:17], np.float64))
    theirs = run_reference(reference_python, make_golden.__file__, tmp_path, events, make_golden)
    ours = make_golden.all_event_values(events)
    n_values, n_equal = assert_parity(ours, theirs)
    report_line(
        f"{name}: {len(events)} events, {len(ours)} calls, {n_values} values, "
        f"{n_equal / n_values:.2%} of them equal bit for bit ({theirs['versions']})"
    )
    for key in (f"{kind}/f_{column}" for kind in ("f8", "f4") for column in make_golden.DER):
        if "_mass_" not in key:
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-5, atol=2e-3, err_msg=key)


def test_golden_values_are_those_of_this_reference(
    reference_python, make_golden, golden, golden_events, assert_parity, tmp_path
):
    """The stored file is what the script makes: its events, and values up to last digits."""
    pd.testing.assert_frame_equal(make_golden.make_events(), golden_events)
    target = tmp_path / "golden.npz"
    subprocess.run(
        [reference_python, make_golden.__file__, target], check=True, capture_output=True
    )
    with np.load(target) as arrays:
        fresh = dict(arrays)
    assert fresh.keys() == golden.keys()
    events = {key: value for key, value in fresh.items() if key.startswith(("f4/", "f8/"))}
    assert_parity(events, golden)
    for key in fresh:
        if key.startswith(("V4/", "weights/", "score/")):
            np.testing.assert_allclose(fresh[key], golden[key], rtol=1e-12, atol=1e-9)
