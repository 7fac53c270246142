"""The pages in a real browser: no error, no request, sorting, two widths, light and dark.

Needs chromium and its driver (Debian: ``apt-get install chromium chromium-driver``) and selenium
(``pip install selenium``); skipped where one is missing.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from HiggsML.datasets import Data
from HiggsML.generator import generate_dataset
from HiggsML.reports.dataset_page import explore, write_page
from HiggsML.reports.run_page import render_report
from HiggsML.results import Predictions, Settings
from HiggsML.schema import NUISANCES
from HiggsML.statistics.official_scores import bootstrap_scores, compute_scores

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("chromium or chromedriver is not installed", allow_module_level=True)

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # needed as root, as in a container; the page is our own
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOSTILE = "</dd><script>console.error('ran')</script><img src=x onerror=console.error('ran')>"
SCORING_MODEL = """
class Model:
    def __init__(self, get_train_set, systematics): ...
    def fit(self): ...
    def predict(self, test_set): ...
    def score(self, features):
        return features["DER_mass_vis"]
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Path of a result page with every section, and with hostile text in it."""
    rng = np.random.default_rng(0)
    mus = {i: float(mu) for i, mu in enumerate(rng.uniform(0.1, 3, 14))}
    predictions = {}
    for index, mu in mus.items():
        mu_hat = rng.normal(mu, 0.3, 200)
        delta = np.full(200, 0.25)
        predictions[index] = Predictions(mu_hat, delta, mu_hat - delta, mu_hat + delta)
    path = tmp_path_factory.mktemp("page") / "detailed_results.html"
    render_report(
        path,
        predictions=predictions,
        mus=mus,
        scores=compute_scores(predictions, mus),
        settings=Settings(14, 200, dict.fromkeys(NUISANCES, True), mus),
        duration_minutes=3.0,
        bootstrap=bootstrap_scores(predictions, mus, n_bootstraps=50),
        phase_2=bootstrap_scores(predictions, mus, unit="set", n_bootstraps=50),
        details={"model": HOSTILE, "isolation": "x" * 300, "long": "y" * 3000},
        notices=[HOSTILE],
    )
    return path


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    """Path of an explorer's page with every section, and with a hostile title."""
    folder = tmp_path_factory.mktemp("explorer")
    generate_dataset(folder / "data", scenario="mini", events=4000, seed=3)
    submission = folder / "submission"
    submission.mkdir()
    (submission / "model.py").write_text(SCORING_MODEL)
    data = Data(folder / "data")
    columns = ["DER_mass_vis", "PRI_met", "PRI_jet_leading_pt", "PRI_n_jets"]
    plots = explore(data, submission=submission, columns=columns, max_events=2000)
    return write_page(plots, folder / "page.html", title=HOSTILE, data=data)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # A driver that is named is not searched for, or downloaded.
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def show(browser, page, *, width=1200, scheme="light", script=True):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    browser.get(page.as_uri())


def requests(browser):
    """Addresses that pages asked for since the last call; the browser's start page loads late."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and not message["params"]["documentURL"].startswith("chrome:")
    ]


def column(browser, number):
    cells = f"table.sortable tbody tr > :nth-child({number})"
    values = "return [...document.querySelectorAll(arguments[0])].map(c => +c.dataset.value)"
    return browser.execute_script(values, cells)


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "explorer"])
def test_no_error_no_request_and_nothing_sticks_out(browser, request, name, width, scheme):
    page = request.getfixturevalue(name)
    requests(browser)
    browser.get_log("browser")
    show(browser, page, width=width, scheme=scheme)
    assert browser.get_log("browser") == []
    outside = [url for url in requests(browser) if not url.startswith(("file:", "data:"))]
    assert outside == []
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) <= 0
    ink, paper = browser.execute_script(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    )
    brightness = {
        name: sum(map(int, color[4:-1].split(",")))
        for name, color in (("ink", ink), ("paper", paper))
    }
    assert (brightness["ink"] < brightness["paper"]) == (scheme == "light")


@pytest.mark.parametrize("name", ["report", "explorer"])
def test_figures_follow_the_color_scheme(browser, request, name):
    page = request.getfixturevalue(name)
    colors = []
    for scheme in ("light", "dark"):
        show(browser, page, scheme=scheme)
        text = "return getComputedStyle(document.querySelector('figure svg text')).fill"
        colors.append(browser.execute_script(text))
    assert colors[0] != colors[1]


def test_clicks_sort_by_number_in_both_directions(browser, report):
    show(browser, report)
    before = column(browser, 1)
    assert before == list(range(14))
    for number in range(1, 10):
        head = browser.find_element("css selector", f"thead th:nth-child({number}) button")
        browser.execute_script("arguments[0].click()", head)
        values = column(browser, number)
        assert values == sorted(values)
        browser.execute_script("arguments[0].click()", head)
        assert column(browser, number) == sorted(values, reverse=True)
        state = browser.find_element("css selector", f"thead th:nth-child({number})")
        assert state.get_attribute("aria-sort") == "descending"
    assert len(browser.find_elements("css selector", "[aria-sort]")) == 1


@pytest.mark.parametrize(("name", "place", "scripts"), [("report", "dl", 1), ("explorer", "h1", 0)])
def test_hostile_text_is_shown_and_not_run(browser, request, name, place, scripts):
    browser.get_log("browser")
    show(browser, request.getfixturevalue(name))
    assert HOSTILE in browser.find_element("css selector", place).text
    assert browser.execute_script("return document.scripts.length") == scripts
    assert browser.find_elements("css selector", "img") == []
    assert browser.get_log("browser") == []


def test_the_report_works_without_scripts(browser, report):
    show(browser, report, script=False)
    try:
        assert len(browser.find_elements("css selector", "table tbody tr")) == 14
        assert browser.find_elements("css selector", "thead button") == []
        assert len(browser.find_elements("css selector", "figure svg")) == 4 + 3 + 14
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_wide_figures_of_the_explorer_stay_readable_on_a_phone(browser, explorer):
    show(browser, explorer, width=390)
    shown = browser.execute_script(
        "return [...document.querySelectorAll('figure svg')].map("
        "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"
    )
    assert len(shown) == 4 + 1 + 6 + 1 + 2
    assert min(shown) > 0.8  # pixels per point: type of 10 points has 8 pixels at least
