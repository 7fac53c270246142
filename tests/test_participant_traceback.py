"""Tracebacks that end on the participant's line, and hints for common mistakes."""

from __future__ import annotations

import importlib.util
import socket
from urllib.error import URLError

import pandas as pd
import pytest

from HiggsML.isolation.inside.participant_traceback import folded_traceback, hint
from HiggsML.systematics import systematics


def raised(tmp_path, code):
    """Run code as a file of a submission, and return what it raises."""
    path = tmp_path / "model.py"
    path.write_text(code)
    specification = importlib.util.spec_from_file_location("participants_model", path)
    module = importlib.util.module_from_spec(specification)
    with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever the code raises)
        specification.loader.exec_module(module)
    return caught.value


def test_a_traceback_ends_on_the_participants_line(tmp_path):
    code = "import pandas as pd\n\n\ndef fit(frame):\n    return frame['nothing']\n\n\n"
    error = raised(tmp_path, code + "fit(pd.DataFrame())\n")
    lines = folded_traceback(error, error.__traceback__, tmp_path).splitlines()
    # The cause, inside pandas alone, stays as it is; then comes the error itself.
    own = [number for number, line in enumerate(lines) if "model.py" in line]
    assert lines[own[-1] + 1].strip() == "return frame['nothing']"
    after = [line for line in lines[own[-1] + 2 :] if line.startswith("  ...")]
    assert after[-1].endswith("of pandas")
    assert not any("site-packages" in line for line in lines[own[-1] :])
    assert lines[-1].startswith("KeyError: 'nothing'")


def test_each_library_is_named_once_and_chained_errors_are_folded(tmp_path):
    code = (
        "import json\ntry:\n    json.loads('{')\n"
        "except ValueError as error:\n    raise RuntimeError('mine') from error\n"
    )
    error = raised(tmp_path, code)
    text = folded_traceback(error, error.__traceback__, tmp_path)
    assert "frames of Python\n" in text
    assert "json.loads('{')" in text
    assert "decoder.py" not in text
    assert text.endswith("RuntimeError: mine\n")


def test_a_traceback_without_own_lines_stays_whole(tmp_path):
    error = raised(tmp_path, "{}['a']\n")
    text = folded_traceback(error, error.__traceback__, tmp_path / "elsewhere")
    assert "  ..." not in text
    assert "KeyError: 'a'" in text


def _key(frame, name):
    with pytest.raises(KeyError) as caught:
        frame[name]
    return caught.value


def test_hints_for_common_mistakes():
    frame = pd.DataFrame({"PRI_met": [1.0]})
    assert "get_train_set() returns one DataFrame" in hint(_key(frame, "data"))
    assert "labels are not known" in hint(_key({"data": 1, "weights": 2}, "labels"))
    assert "self.systematics(train_set)" in hint(_key(frame, "DER_mass_vis"))
    assert "self.systematics(train_set)" in hint(_key(frame, ["PRI_met", "DER_mass_vis"]))
    wrong = "Model.fit() missing 1 required positional argument: 'train_set'"
    assert "self.get_train_set()" in hint(TypeError(wrong))
    assert hint(KeyError("mass")) is None
    assert "Did you mean 'DER_mass_vis'?" in hint(_key(frame, "DER_mas_vis"))
    assert "Did you mean 'PRI_met'?" in hint(_key(frame, ["PRI_mett"]))
    assert 'test_set["data"]' in hint(_key({"data": 1, "weights": 2}, "PRI_met"))
    assert hint(ValueError("data")) is None


class Model:
    """Has set an attribute of another name than it reads."""

    def fit(self):
        self.systemtic = 1.0

    def predict(self):
        return self.systematic


MISTAKES = [
    ("np.hypot(1, 2)", "Write 'import numpy as np' at the top"),
    ("plt.figure()", "Write 'import matplotlib.pyplot as plt'"),
    ("f = lambda: 1; f['data']", "get_train_set(), with parentheses"),
    ("systematics(lambda: 1)", "get_train_set(), with parentheses"),
    ("systematics(pd.DataFrame(), TES=1.01)", "tes, jes, soft_met"),
    ("open('/nowhere/weights.bin')", "beside model.py"),
    ("from .helper import x", "'from helper import x'"),
    ("raise EOFError('EOF when reading a line')", "--debug"),
    ("raise ConnectionRefusedError()", "no network during a run"),
    ("raise URLError(gaierror(-3, 'Temporary failure in name resolution'))", "no network"),
    ("model = Model(); model.fit(); model.predict()", "Did you mean self.systemtic"),
]


@pytest.mark.parametrize(("code", "says"), MISTAKES, ids=[code[:20] for code, _ in MISTAKES])
def test_a_mistake_of_the_first_day_says_what_to_do(code, says):
    names = {"systematics": systematics, "URLError": URLError, "gaierror": socket.gaierror}
    names |= {"Model": Model, "__package__": "", "__name__": "model"}
    if "pd." in code:
        names["pd"] = pd
    with pytest.raises(Exception) as caught:  # noqa: PT011 (each of another class)
        exec(code, names)
    assert says in hint(caught.value)


def test_a_cause_inside_a_library_is_folded_too(tmp_path):
    code = "import pandas as pd\npd.DataFrame({'a': [1]})['b']\n"
    error = raised(tmp_path, code)
    lines = folded_traceback(error, error.__traceback__, tmp_path).splitlines()
    assert [line for line in lines if ".pyx" in line or ".pxi" in line] == []
    assert sum("of pandas" in line for line in lines) == 2
