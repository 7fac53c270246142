"""Tracebacks that end on the participant's line, and hints for common mistakes."""

from __future__ import annotations

import importlib.util

import pandas as pd
import pytest

from HiggsML.isolation.inside.participant_traceback import folded_traceback, hint


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
    assert hint(ValueError("data")) is None
