"""Every published number agrees with the result file that it was computed from."""

import json

import jinja2
import pytest
import tables

PAGE = """# Page

<!-- results
Coverage {{ error(runs.a.coverage) }}
{% for name in runs -%}
- {{ name }}
{% endfor %}
-->
old text
over two lines
<!-- /results -->

untouched 0.5 ± 0.1
"""


def test_pages_agree_with_their_result_files():
    values = tables.results()
    assert tables.pages(), "no page with numbers was found"
    for page in tables.pages():
        text = page.read_text(encoding="utf-8")
        assert tables.render(text, values) == text, f"{page.name}: run 'make tables'"


def test_a_block_is_made_anew_below_its_template():
    values = {"runs": {"a": {"coverage": [0.68271, 0.0151]}, "b": {}}}
    made = tables.render(PAGE, values)
    assert "-->\nCoverage 0.683 ± 0.015\n- a\n- b\n<!-- /results -->" in made
    assert "old text" not in made
    assert made.endswith("untouched 0.5 ± 0.1\n")
    assert tables.render(made, values) == made


def test_a_number_that_no_file_holds_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="coverage"):
        tables.render(PAGE, {"runs": {"a": {}}})


def test_check_names_the_page_that_differs_and_changes_nothing(tmp_path, monkeypatch, capsys):
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    (tmp_path / "benchmarks/results/runs.json").write_text(json.dumps({"a": {"coverage": [0, 1]}}))
    page = tmp_path / "README.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "benchmarks/results")
    monkeypatch.setattr("sys.argv", ["tables.py", "--check"])
    assert tables.main() == 1
    assert "README.md" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == PAGE
    monkeypatch.setattr("sys.argv", ["tables.py"])
    assert tables.main() == 0
    assert "Coverage 0.000 ± 1.000" in page.read_text(encoding="utf-8")
