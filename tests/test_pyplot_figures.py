"""Figures are found where one looks: by pyplot, in a script's file, below a notebook's cell."""

from __future__ import annotations

import base64
import io
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.mathtext import MathTextParser
from PIL import Image

from HiggsML import visualization as vis
from HiggsML.errors import DataError
from HiggsML.visualization.pyplot_figures import plain_figures

PLOT = "vis.interval_plot([0.0, 0.4], [1.0, 1.2], 0.7, title='set 0')"


@pytest.fixture(autouse=True)
def _no_figure_stays():
    plt.close("all")
    yield
    plt.close("all")


def draw():
    return vis.interval_plot([0.0, 0.4], [1.0, 1.2], 0.7)


def test_a_figure_is_the_current_one_of_pyplot():
    figure = draw()
    assert plt.gcf() is figure
    assert plt.gca() is figure.axes[0]


def test_a_failed_plot_leaves_no_figure(monkeypatch):
    monkeypatch.setattr("matplotlib.axes.Axes.axvline", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        draw()
    with pytest.raises(DataError):
        vis.interval_plot([], [], 0.7)
    assert plt.get_fignums() == []


def test_axes_of_the_caller_get_no_figure_of_ours():
    _, axes = plt.subplots()
    assert vis.interval_plot([0.0], [1.0], 0.7, ax=axes) is axes.figure
    assert len(plt.get_fignums()) == 1


def test_plain_figures_belong_to_nobody():
    with plain_figures():
        figure = draw()
    assert plt.get_fignums() == []
    figure.savefig(io.BytesIO())


def test_a_loop_keeps_a_bounded_number_and_no_figure_of_others_is_closed():
    theirs = plt.figure()
    figures = [draw() for _ in range(45)]
    assert plt.gcf() is figures[-1]
    assert len(plt.get_fignums()) <= mpl.rcParams["figure.max_open_warning"]
    assert plt.fignum_exists(theirs.number)
    figures[0].savefig(io.BytesIO())  # closed, but not gone


def test_windows_open_where_there_are_windows(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    draw()
    assert shown == []
    backend = type(plt.gcf().canvas)
    monkeypatch.setattr(backend, "required_interactive_framework", "qt", raising=False)
    assert shown == [draw()]


def ink(png):
    """Share of the picture that is not white."""
    return float((np.asarray(Image.open(io.BytesIO(png)).convert("L")) < 200).mean())


@pytest.mark.parametrize("then", ["plt.savefig(path)", "plt.show(); plt.savefig(path)"])
def test_a_script_saves_what_it_has_drawn(tmp_path, then):
    code = (
        "import warnings; warnings.simplefilter('error'); "
        "warnings.filterwarnings('ignore', 'FigureCanvasAgg is non-interactive'); "
        "import matplotlib.pyplot as plt; from HiggsML import visualization as vis; "
        f"path = 'picture.png'; {PLOT}; {then}"
    )
    environment = {"MPLCONFIGDIR": str(tmp_path), "PATH": "", "MPLBACKEND": "agg"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment)
    assert ink((tmp_path / "picture.png").read_bytes()) > 0.02


CELLS = {
    "several in one cell": (f"{PLOT}\n{PLOT};\n{PLOT}", 3),
    "in a loop": (f"for _ in range(3):\n    {PLOT}", 3),
    "returned in the end": (PLOT, 1),
    "shown at once": (f"{PLOT}\nplt.show()", 1),
    "saved, too": (f"{PLOT}\nplt.savefig('saved.png')", 1),
    "kept": (f"kept = {PLOT}", 1),
    "shown again": ("kept", 1),
    "with a title": (f"{PLOT}\nplt.title('mine');", 1),
    "many": (f"for _ in range(23):\n    {PLOT}", 23),
    "nothing": ("1 + 1", 0),
}


@pytest.mark.filterwarnings("default")  # of the machinery that runs kernels
def test_a_notebook_shows_each_figure_once(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="the extra 'notebooks' is not installed")
    pytest.importorskip("ipykernel", reason="the extra 'notebooks' is not installed")
    nbformat = pytest.importorskip("nbformat", reason="the extra 'notebooks' is not installed")
    start = "import matplotlib.pyplot as plt\nfrom HiggsML import visualization as vis"
    sources = [start, *(source for source, _ in CELLS.values())]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    shown = {}
    for name, cell in zip(CELLS, notebook.cells[1:], strict=True):
        pictures = [
            base64.b64decode(output["data"]["image/png"])
            for output in cell["outputs"]
            if "image/png" in output.get("data", {})
        ]
        assert all(ink(picture) > 0.02 for picture in pictures)
        assert not [output for output in cell["outputs"] if output.get("name") == "stderr"]
        shown[name] = len(pictures)
    assert shown == {name: count for name, (_, count) in CELLS.items()}
    assert ink((tmp_path / "saved.png").read_bytes()) > 0.02


def test_a_figure_is_measured_in_the_style_that_it_is_drawn_in(caplog):
    """Formulas of its ticks need the style's fonts, which are found in a cache at best."""
    events = np.random.default_rng(1).exponential(1e-7, 2_000)
    with plain_figures():
        figure = vis.visualize_scatter(
            {0: {"mu_hats": events, "p16": events, "p84": events}}, {0: 1.0}
        )
    figure.savefig(io.BytesIO(), format="png")
    MathTextParser._parse_cached.cache_clear()
    figure.savefig(io.BytesIO(), format="png", bbox_inches="tight")
    MathTextParser._parse_cached.cache_clear()
    renderer = figure.canvas.get_renderer()
    assert figure.get_tightbbox(renderer).width > 1.0  # inches
    assert "findfont" not in caplog.text
