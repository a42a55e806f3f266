"""The notebook of examples/ runs from start to end, and its view is seen in a browser that has no network."""

import io
import os
import re
import shutil
from pathlib import Path

import matplotlib.image
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from numpy.typing import NDArray

from tests.chromium import PROGRAM, Page, chromium
from tests.conftest import ROOT

NOTEBOOK = ROOT / "examples" / "learned_simulation.ipynb"
WHITE = 250


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The notebook with its outputs, executed where it finds what it finds in the repository."""
    root = tmp_path_factory.mktemp("repository")
    for folder in ("examples", "models"):
        shutil.copytree(ROOT / folder, root / folder)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": root / "examples"}}).execute()
    return notebook


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream" and output["name"] == "stdout"
    )


def shown(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["data"][kind] for output in outputs if kind in output.get("data", {})]


def test_is_committed_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None)


def test_numbers_are_those_of_a_polymer(executed: nbformat.NotebookNode) -> None:
    text = printed(executed)
    assert "102 atoms in 10 beads" in text
    assert "500 frames of 10 beads" in text
    mean, error = map(float, re.search(r"Rg² = ([\d.]+) ± ([\d.]+)", text).groups())
    # LAMMPS finds means from 17.9 to 29.7 for ten such copolymers (benchmarks/polymers)
    assert 12 < mean < 40
    assert 0 < error < 3


def test_plot_and_view_are_there(executed: nbformat.NotebookNode) -> None:
    assert len(shown(executed, "image/png")) == 1
    assert len(shown(executed, "text/html")) == 1


def drawn_in_frame(browser: Page, viewer: str, frame: int) -> NDArray[np.float64]:
    """Red, green and blue, up to 255, of all pixels that are not white while the animation stands still at a frame."""
    browser.evaluate(f"{viewer}.pauseAnimate(), null")
    browser.evaluate(f"{viewer}.setFrame({frame}).then(() => {viewer}.render()).then(() => null)")
    browser.evaluate("new Promise(done => setTimeout(done, 200))")
    pixels = matplotlib.image.imread(io.BytesIO(browser.screenshot()))[..., :3] * 255
    return pixels[(pixels < WHITE).any(axis=-1)]


def n_of_colour(pixels: NDArray[np.float64], channel: int | None) -> int:
    """Number of pixels in which one of red, green and blue stands out, or (None) of grey ones that are not black."""
    if channel is None:
        return int(((np.ptp(pixels, axis=-1) < 10) & (pixels.mean(axis=-1) > 60)).sum())
    return int((pixels[:, channel] > np.delete(pixels, channel, axis=1).max(axis=1) + 60).sum())


@pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")
def test_view_shows_coloured_beads_without_network(executed: nbformat.NotebookNode, tmp_path: Path) -> None:
    (view,) = shown(executed, "text/html")
    viewer = re.search(r"viewer_\d+", view).group()
    page = tmp_path / "view.html"
    page.write_text(f"<!doctype html><html><body>{view}</body></html>", encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        browser.open(page, 700, 500)
        # the promise that py3Dmol leaves behind: 3Dmol.js is loaded, the beads are drawn
        browser.evaluate("$3Dmolpromise.then(() => null)")
        drawn = [drawn_in_frame(browser, viewer, frame) for frame in (0, 12, 25, 37, 49)]
        asked = [address for address in browser.requests() if not address.startswith(("file:", "data:", "blob:"))]
        complaints = browser.complaints()
    assert asked == []
    assert [line for line in complaints if "GPU stall" not in line] == []
    assert min(map(len, drawn)) > 2000
    # bonds are grey
    assert min(n_of_colour(pixels, None) for pixels in drawn) > 200
    # colours of the rainbow along the chain, not a page of text; in a single frame other beads may hide an end
    red, blue = 0, 2
    for colour in (red, blue):
        assert max(n_of_colour(pixels, colour) for pixels in drawn) > 100
