"""The documentation: it builds without a warning, its examples run, its feature table is true."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FEATURES = {
    name: test
    for group in yaml.safe_load((DOCS / "features.yml").read_text(encoding="utf-8")).values()
    for name, test in group.items()
}


# The API of the reference implementation, the package's and the bundle's, by module and class.
REFERENCE = {
    "datasets": "Data download_dataset train_test_split Neurips2024_public_dataset "
    "BlackSwan_public_dataset",
    "datasets.Data": "load_train_set load_test_set get_train_set get_test_set delete_train_set "
    "get_syst_train_set",
    "derived_quantities": "calcul_int f_del_DER DER_data f_DER_mass_transverse_met_lep "
    "f_DER_mass_vis f_DER_pt_h f_DER_deltaeta_jet_jet f_DER_mass_jet_jet f_DER_prodeta_jet_jet "
    "f_DER_deltar_had_lep f_DER_pt_tot f_DER_sum_pt f_DER_pt_ratio_lep_had "
    "f_DER_met_phi_centrality f_DER_lep_eta_centrality",
    "systematics": "V4 ttbar_bkg_weight_norm diboson_bkg_weight_norm all_bkg_weight_norm "
    "mom4_manipulate postprocess systematics get_bootstrapped_dataset get_systematics_dataset "
    "generate_pseudo_exp_data make_unweighted_set repeat_rows_by_weight",
    "systematics.V4": "copy p2 p pt2 pt m eta phi deltaPhi deltaEta deltaR eWithM scale "
    "scaleFixedM setPtEtaPhiM sum",
    "ingestion": "Ingestion",
    "ingestion.Ingestion": "start_timer stop_timer get_duration show_duration save_duration "
    "load_train_set init_submission fit_submission predict_submission process_results_dict "
    "compute_result save_result",
    "score": "Scoring",
    "score.Scoring": "start_timer stop_timer get_duration show_duration load_ingestion_duration "
    "load_ingestion_results compute_scores RMSE_score MAE_score Quantiles_Score write_scores "
    "save_figure compute_bootstraped_scores plot_bootstraped_scores",
    "visualization": "correlation_plots pair_plots pair_plots_syst stacked_histogram "
    "event_vise_syst visualize_scatter visualize_coverage histogram_syst event_vise_syst_arrow "
    "roc_curve_wrapper Dataset_visualise custom_pretty_print",
}


def resolve(name):
    """Import as much of a dotted name as is a module, and get the rest as attributes."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize(("name", "test"), FEATURES.items(), ids=FEATURES)
def test_feature_and_its_test_exist(name, test):
    assert callable(resolve(name))
    module, function = test.split(".")
    tree = ast.parse((ROOT / "tests" / f"{module}.py").read_text(encoding="utf-8"))
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert function in names


@pytest.mark.parametrize("home", REFERENCE)
def test_every_function_of_the_reference_is_here_and_has_a_row(home):
    rows = [(name.rpartition(".")[2], resolve(name)) for name in FEATURES]
    for name in REFERENCE[home].split():
        found = resolve(f"HiggsML.{home}.{name}")
        assert any(name == title and found is what for title, what in rows), f"{home}.{name}"


def test_four_lepton_functions_all_have_a_row():
    module = importlib.import_module("HiggsML.four_lepton")
    functions = {
        f"HiggsML.four_lepton.{name}"
        for name in module.__all__
        if callable(getattr(module, name)) and not isinstance(getattr(module, name), type)
    }
    assert functions <= set(FEATURES)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_examples_of_a_page(page):
    text = page.read_text(encoding="utf-8")
    for code in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        ast.parse(code)
    for code in re.findall(r"^```pycon\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        example = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0)
        assert doctest.DocTestRunner().run(example).failed == 0


def plotting_functions():
    """Return the names of all public functions that draw."""
    modules = ("visualization", "visualization.cut_scan", "visualization.ranking")
    found = {"plot_SoverB"}  # returns the figure with its scans
    for name in (*modules, "studies.figures"):
        module = importlib.import_module(f"HiggsML.{name}")
        for public in module.__all__:
            member = getattr(module, public)
            if inspect.isfunction(member) and "Figure" in str(inspect.signature(member)):
                found.add(public)
    return sorted(found)


def test_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    pytest.importorskip("material", reason="the extra 'docs' is not installed")
    pytest.importorskip("mkdocstrings", reason="the extra 'docs' is not installed")
    # Without -q: what it hides, --strict does not count.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "features" / "index.html").read_text(encoding="utf-8")
    for name in FEATURES:
        assert f"#{name}" in page, f"{name} has no link to its documentation"
    reference = "".join(
        one.read_text(encoding="utf-8") for one in (tmp_path / "reference").rglob("*.html")
    )
    for name in plotting_functions():
        assert f'src="../../figures/{name}.png"' in reference, f"{name} shows no figure"
        assert (tmp_path / "figures" / f"{name}.png").is_file()
    for path in (DOCS / "notebooks").glob("*.py"):
        opened = json.loads((tmp_path / "tutorials" / f"{path.stem}.ipynb").read_text())
        code = [cell["source"] for cell in opened["cells"] if cell["cell_type"] == "code"]
        for text in code:
            ast.parse(re.sub(r"^%", "#", text, flags=re.MULTILINE))
        assert sum(map(len, code)) > 1000
        assert (
            f"{path.stem}.ipynb" in (tmp_path / "tutorials" / path.stem / "index.html").read_text()
        )
    lines = set(re.findall(r"tests/(\w+)/#(__codelineno-0-\d+)", page))
    for module, anchor in lines:
        text = (tmp_path / "tests" / module / "index.html").read_text(encoding="utf-8")
        assert f'name="{anchor}"' in text
    for path in tmp_path.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?(https?:[^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"?stylesheet[^>]*href=\"?(https?:[^\s\">]+)", text)
        assert not loaded, f"{path.name} loads {loaded}"


def test_the_address_of_the_repository_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    address = project["project"]["urls"]["Repository"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == address
    assert citation["version"] == project["project"]["version"]
    assert citation["license"] == project["project"]["license"]
    texts = [ROOT / "pyproject.toml", ROOT / "README.md", *ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    found = set()
    for path in {*texts, ROOT / "mkdocs.yml", ROOT / "CITATION.cff"}:
        found |= set(re.findall(r"https?://[\w.]+/[\w-]+/higgsml-[\w-]+", path.read_text("utf-8")))
    assert found == {address}
