"""Loading and building a Model, and checking what it answers."""

import math
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from HiggsML.errors import PredictionError, SubmissionError
from HiggsML.results import ANSWER_LIMIT, Answer
from HiggsML.submission.model import (
    answer_of,
    check_calls,
    check_prediction,
    load_model_class,
    make_model,
)
from HiggsML.submission.value import Submission
from tests.pipeline_fixtures import SUBMISSIONS, model_text, write_submission

GOOD = {"mu_hat": 1.0, "delta_mu_hat": 0.3, "p16": 0.7, "p84": 1.3}


@pytest.fixture
def loading(monkeypatch):
    """Undo what loading a submission does to this process."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


# --- load_model_class ---------------------------------------------------------------------------


@pytest.mark.usefixtures("loading")
def test_helper_modules_beside_and_below_are_found():
    model_class = load_model_class(SUBMISSIONS / "honest" / "model.py")
    assert model_class.__name__ == "Model"
    assert model_class.__module__ == "model", "a fitted Model is pickled by this name"
    assert {"counting", "selection"} <= set(sys.modules)


@pytest.mark.usefixtures("loading")
def test_helper_modules_can_not_replace_installed_ones(tmp_path):
    traps = dict.fromkeys(("json", "numpy", "HiggsML"), "raise RuntimeError('replaced')")
    top = "import json, numpy, HiggsML.schema, colorsys, mine"
    directory = write_submission(tmp_path, model_text(top=top), mine="", **traps)
    (directory / "__MACOSX").mkdir()
    load_model_class(directory / "model.py")
    assert str(directory / "__MACOSX") not in sys.path
    assert Submission.of(directory).shadowed_modules == ("HiggsML", "json", "numpy")
    assert Submission.of(SUBMISSIONS / "third_party").shadowed_modules == ()


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Modell: pass", "model.py defines no class named Model"),
        ("Model = 3", "model.py defines no class named Model"),
        ("def Model(get_train_set, systematics): pass", "model.py defines no class named Model"),
        ("", "model.py defines no class named Model"),
        ("class Model:\n    def fit(self): pass", "lacks the method predict"),
        ("class Model:\n    fit = 3", "lacks the method fit and predict"),
    ],
)
def test_what_is_no_model(tmp_path, text, message):
    with pytest.raises(SubmissionError, match=message):
        load_model_class(write_submission(tmp_path, text) / "model.py")


@pytest.mark.usefixtures("loading")
def test_what_does_not_load_is_named_with_its_line(tmp_path):
    with pytest.raises(SubmissionError, match="line 1: there is no module 'no_such_library'"):
        load_model_class(write_submission(tmp_path, "import no_such_library") / "model.py")
    with pytest.raises(SubmissionError, match=r"model.py, line 2: SyntaxError"):
        load_model_class(write_submission(tmp_path, "x = 1\ndef f(:") / "model.py")


# --- make_model ---------------------------------------------------------------------------------


class Bare:
    def __init__(self, get_train_set, systematics):
        self.got = (get_train_set, systematics)


class InOtherOrder:
    def __init__(self, systematics=None, get_train_set=None):
        self.got = (get_train_set, systematics)


class Typed(Bare):
    def __init__(self, get_train_set, systematics, model_type):
        super().__init__(get_train_set, systematics)
        self.model_type = model_type


class TypedByDefault(Typed):
    def __init__(self, get_train_set, systematics, model_type="mine"):
        super().__init__(get_train_set, systematics, model_type)


class Open(Bare):
    def __init__(self, get_train_set, systematics, **others):
        super().__init__(get_train_set, systematics)
        self.model_type = others.get("model_type")
        assert set(others) <= {"model_type"}


def test_bare_names_of_the_bundle_are_ours_and_own_modules_come_first(tmp_path):
    """In a process of its own, as a submission has one."""
    (tmp_path / "visualization.py").write_text("own = True\n")
    (tmp_path / "model.py").write_text(
        "from systematics import postprocess, systematics\n"
        "from derived_quantities import DER_data\n"
        "import datasets, ingestion, score, visualization\n"
        "from HiggsML.systematics import postprocess as ours\n"
        "assert postprocess is ours and visualization.own\n"
        "assert datasets.Data and ingestion.Ingestion and score.Scoring\n"
        "class Model:\n"
        "    def fit(self): pass\n"
        "    def predict(self, test_set): pass\n"
    )
    code = (
        "import sys; from pathlib import Path; "
        "from HiggsML.submission.model import load_model_class; "
        "load_model_class(Path(sys.argv[1])); import HiggsML.systematics as one; "
        "assert one.__name__ == 'HiggsML.systematics'"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr


class OfOldName:
    def __init__(self, train_set, systematics):
        self.train_set = train_set


class OfOwnNames:
    def __init__(self, loader, shifts):
        raise AssertionError


def test_constructors_with_other_names():
    """The first submissions took the training set itself; other names get one sentence."""
    assert make_model(OfOldName, lambda: "events", None).train_set == "events"
    with pytest.raises(
        SubmissionError, match=r"can not be built .*write 'def __init__\(self, get_"
    ):
        make_model(OfOwnNames, None, None)


@pytest.mark.parametrize(
    ("model_class", "given_type", "expected"),
    [
        (Bare, None, None),
        (Bare, "other", None),
        (InOtherOrder, "other", None),
        (Typed, None, "sample_model"),
        (Typed, "other", "other"),
        (TypedByDefault, None, "mine"),
        (TypedByDefault, "other", "other"),
        (Open, None, None),
        (Open, "other", "other"),
    ],
)
def test_model_type_goes_where_it_is_wanted(model_class, given_type, expected):
    model = make_model(model_class, len, max, model_type=given_type)
    assert model.got == (len, max)
    assert getattr(model, "model_type", None) == expected


# --- check_prediction ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    [
        *(1, 1.0, Fraction(1), np.float16(1), np.float32(1), np.float64(1), np.int8(1)),
        *(np.uint64(1), np.array(1.0), np.array([1.0]), np.array([[1]], dtype=np.float32)),
    ],
    ids=lambda number: f"{type(number).__name__}{getattr(number, 'shape', '')}",
)
def test_numbers_of_every_kind(number):
    answer = check_prediction({**GOOD, "mu_hat": number, "more": object()})
    assert answer._asdict() == GOOD
    assert all(type(value) is float for value in answer)


def test_an_interval_of_no_width_and_the_largest_numbers_are_allowed():
    check_prediction({**GOOD, "p16": 1.0, "p84": 1.0})
    check_prediction({**GOOD, "p16": -ANSWER_LIMIT, "p84": ANSWER_LIMIT})


@pytest.mark.parametrize("key", Answer._fields)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "= nan: it must be finite"),
        (np.float32("inf"), "= inf: it must be finite"),
        (-np.inf, "= -inf: it must be finite"),
        (10**400, "= inf: it must be finite"),
        (np.array([np.nan]), "= nan: it must be finite"),
        (1.1e4, "= 11000; magnitudes up to 10000 are allowed"),
        (-1e300, "= -1e\\+300; magnitudes up to 10000 are allowed"),
        (True, "as bool, not a number"),
        (np.True_, "as bool, not a number"),
        (np.array([True]), "as bool, not a number"),
        ("1.0", "as str, not a number"),
        (b"1", "as bytes, not a number"),
        (None, "as NoneType, not a number"),
        (1 + 0j, "as complex, not a number"),
        (np.complex64(1), "as complex64, not a number"),
        (np.array([None]), "as NoneType, not a number"),
        (np.array([1.0, 2.0]), "as ndarray, not a number"),
        (np.array([]), "as ndarray, not a number"),
        ([1.0], "as list, not a number"),
        (np.datetime64(1, "s"), "as datetime64, not a number"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_is_no_number(key, value, says):
    with pytest.raises(PredictionError, match=f"predict returned {key} {says}"):
        check_prediction({**GOOD, key: value})


@pytest.mark.parametrize("key", Answer._fields)
def test_a_missing_number(key):
    with pytest.raises(PredictionError, match=f"predict returned no '{key}'"):
        check_prediction({name: value for name, value in GOOD.items() if name != key})


def test_what_is_wrong_with_an_answer_says_what_to_write():
    with pytest.raises(PredictionError, match="no 'mu_hat': its dict has mu, sigma; the keys are"):
        check_prediction({"mu": 1.0, "sigma": 0.3, "p16": 0.7, "p84": 1.3})
    with pytest.raises(PredictionError, match=re.escape('return {"mu_hat": ..., "delta_mu_hat"')):
        check_prediction((1.0, 0.3, 0.7, 1.3))
    for value, says in (
        (np.array([1.0, 2.0]), r"float\(p16\[0\]\)"),
        ([1.0], r"float\(p16\[0\]\)"),
        ("1.0", r"float\(p16\)"),
        (1 + 0j, r"p16\.real"),
        (None, "p16 was not set"),
    ):
        with pytest.raises(PredictionError, match=f"not a number: .*{says}"):
            check_prediction({**GOOD, "p16": value})


class Wrong:
    def fit(self, train): ...

    def predict(self): ...


class Answers:
    def __init__(self, answer):
        self.answer = answer

    def fit(self, epochs=3): ...

    def predict(self, test_set):
        return self.answer


def test_methods_with_other_arguments_are_named_with_their_line():
    with pytest.raises(SubmissionError, match=r"^test_submission\.py, line \d+: fit can not"):
        check_calls(Wrong())
    wrong = Wrong()
    wrong.fit = lambda: None
    with pytest.raises(SubmissionError, match=r"'def predict\(self, test_set\):'.*a dictionary"):
        check_calls(wrong)
    check_calls(Answers(GOOD))
    first = Answers.predict.__code__.co_firstlineno
    with pytest.raises(PredictionError, match=rf"\(predict: test_submission.py, line {first}\)$"):
        answer_of(Answers({**GOOD, "p84": math.nan}), {})
    assert answer_of(Answers(GOOD), {})._asdict() == GOOD


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import sklaern", "no module 'sklaern' \\(did you mean 'sklearn'"),
        ("def predict(test_set): ...", "no class named Model \\(write 'class Model:'"),
        (
            "class Model:\n    def train(self): ...\n    def predict(self, x): ...",
            "lacks the method fit: write 'def fit\\(self\\):' \\(it has train\\)",
        ),
    ],
)
def test_a_module_that_is_no_model_yet(text, says, tmp_path):
    (tmp_path / "model.py").write_text(text)
    with pytest.raises(SubmissionError, match=says):
        load_model_class(tmp_path / "model.py")


@pytest.mark.parametrize("answer", [None, 1.0, (1.0, 0.3, 0.7, 1.3), "mu_hat", [GOOD]])
def test_no_dict(answer):
    with pytest.raises(PredictionError, match=f"must return a dict.* not {type(answer).__name__}"):
        check_prediction(answer)


def test_a_swapped_interval_is_no_error():
    """Scoring counts it as one that misses; it ended the winner's own method once."""
    answer = {**GOOD, "p16": 1.3, "p84": 0.7}
    assert check_prediction(answer)._asdict() == answer


anything = (
    st.floats()
    | st.integers()
    | st.none()
    | st.booleans()
    | st.text()
    | st.complex_numbers()
    | st.lists(st.floats(), max_size=2).map(np.array)
)


@given(st.dictionaries(st.sampled_from([*Answer._fields, "other"]), anything))
def test_an_answer_is_four_finite_numbers_or_an_error(answer):
    try:
        checked = check_prediction(answer)
    except PredictionError:
        return
    assert np.all(np.abs(checked) <= ANSWER_LIMIT)
