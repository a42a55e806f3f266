"""The report in a real browser: opened from disk, without network, with hostile names in the files."""

import csv
import io
import itertools
import json
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from PIL import Image

from cgplugin.analysis.analyze import analyze
from cgplugin.report.report import write_report
from tests.chromium import PROGRAM, Page, chromium

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium: apt-get install chromium")

HOSTILE = "<img src=x onerror=window.hacked=1>"
SPECIES = ("Li", "</script><script>window.hacked=2</script>", f"PEO {HOSTILE}")
RUN = f"run {HOSTILE}"
EDGE, N_FRAMES, N_CHAINS, N_SALT = 6.0, 30, 4, 6
MOLECULES = np.concatenate([np.arange(2 * N_SALT), 2 * N_SALT + np.repeat(np.arange(N_CHAINS), 5)])
NAMES = [SPECIES[0]] * N_SALT + [SPECIES[1]] * N_SALT + [SPECIES[2]] * (5 * N_CHAINS)
BONDS = [(i, i + 1) for i in range(len(MOLECULES) - 1) if MOLECULES[i] == MOLECULES[i + 1]]


def paths() -> np.ndarray:
    """Molecules that diffuse through the box, whole; the beads of a chain are 0.8 nm apart."""
    random = np.random.default_rng(0)
    starts = random.uniform(0, EDGE, (MOLECULES.max() + 1, 3))
    centres = starts + random.normal(scale=0.3, size=(N_FRAMES, *starts.shape)).cumsum(axis=0)
    places = np.array([i - np.flatnonzero(MOLECULES[i] == MOLECULES)[0] for i in range(len(MOLECULES))])
    positions = centres[:, MOLECULES]
    positions[..., 0] += 0.8 * places
    return positions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``cgplugin simulate`` and ``analyze`` leave behind, with names that want to be programs."""
    base = tmp_path_factory.mktemp("report")
    run = base / RUN
    run.mkdir()
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    atoms = [topology.add_atom("CG", mdtraj.element.carbon, topology.add_residue("CGB", chain)) for _ in MOLECULES]
    for i, j in BONDS:
        topology.add_bond(atoms[i], atoms[j])
    trajectory = mdtraj.Trajectory(
        paths().astype(np.float32),
        topology,
        unitcell_lengths=np.full((N_FRAMES, 3), EDGE),
        unitcell_angles=np.full((N_FRAMES, 3), 90.0),
    )
    trajectory[0].save_pdb(run / "topology.pdb")
    trajectory.save_dcd(run / "trajectory.dcd")
    charges = [1.0] * N_SALT + [-1.0] * N_SALT + [0.0] * (5 * N_CHAINS)
    mapping = {"masses": [3.0] * len(NAMES), "molecules": MOLECULES.tolist(), "species": NAMES, "charges": charges}
    (run / "mapping.json").write_text(json.dumps({**mapping, "beads": [[n] for n in range(len(NAMES))], "units": "lj"}))
    summary = {
        "model": HOSTILE,
        "seed": 7,
        "units": "lj",
        "time_step": 0.5,
        "report_interval": 4,
        "n_beads": len(NAMES),
    }
    (run / "summary.json").write_text(json.dumps(summary))
    analyze(base)
    write_report(base)
    return base


@pytest.fixture(scope="module")
def page(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        page.open(folder / "report.html")
        page.evaluate("document.getElementById('stage').ready")
        yield page


def picture(page: Page) -> np.ndarray:
    """Pixels of the viewer, shape (height, width, 3)."""
    page.evaluate("document.getElementById('viewer').scrollIntoView()")
    box = page.evaluate("(({x, y, right, bottom}) => [x, y, right, bottom])(stage.getBoundingClientRect())")
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB").crop([round(edge) for edge in box])
    # the frame around the viewer is no part of the picture
    return np.asarray(image)[4:-4, 4:-4].astype(int)


def shown_positions(page: Page) -> np.ndarray:
    """Positions of the beads in the viewer's model, nm."""
    return np.array(page.evaluate("stage.viewer.selectedAtoms({}).map(({x, y, z}) => [x, y, z])")) / 10


def move_slider(page: Page, frame: int) -> None:
    page.evaluate(f"document.getElementById('frame').value = {frame}")
    page.evaluate("document.getElementById('frame').dispatchEvent(new Event('input'))")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_asks_for_nothing_and_complains_about_nothing(folder, page):
    assert page.requests() == [(folder / "report.html").resolve().as_uri()]
    assert page.complaints() == []


def test_the_slider_moves_the_beads_to_where_the_trajectory_has_them(folder, page):
    frames = mdtraj.load(folder / RUN / "trajectory.dcd", top=folder / RUN / "topology.pdb").xyz
    pictures = []
    for frame in (0, 17, N_FRAMES - 1):
        move_slider(page, frame)
        found = shown_positions(page)
        # another image of the whole molecule, with its centre in the box
        shift = (found - frames[frame]) / EDGE
        np.testing.assert_allclose(shift, np.rint(shift), atol=1e-3)
        for molecule in range(MOLECULES.max() + 1):
            own = molecule == MOLECULES
            assert np.ptp(np.rint(shift[own]), axis=0).max() == 0
            centre = found[own].mean(axis=0)
            assert (centre > -1e-3).all()
            assert (centre < EDGE + 1e-3).all()
        pictures.append(picture(page))
        assert f"frame {frame + 1} of {N_FRAMES}" in page.evaluate("document.getElementById('time').textContent")
    for first, second in itertools.pairwise(pictures):
        assert (np.abs(first - second).max(axis=-1) > 50).mean() > 0.01


def test_the_view_shows_beads_of_every_colour_of_the_legend(page):
    move_slider(page, 0)
    pixels = picture(page)
    background = (pixels > 245).all(axis=-1).mean()
    assert 0.3 < background < 0.98
    colors = page.evaluate(
        "JSON.parse(document.getElementById('trajectories').textContent)[0].kinds.map((k) => k.color)"
    )
    assert len(set(colors)) == len(SPECIES)
    # shading changes the brightness of a bead, not its hue
    dark = pixels[pixels.min(axis=-1) < 200]
    hues = dark / np.linalg.norm(dark, axis=-1, keepdims=True).clip(1)
    for text in colors:
        wanted = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)
        assert (hues @ (wanted / np.linalg.norm(wanted)) > 0.995).sum() > 100, text


def test_plots_are_drawn_from_the_numbers_in_the_files(folder, page):
    n = page.evaluate("document.querySelectorAll('.plot').length")
    assert n == page.evaluate("document.querySelectorAll('.plot .main-svg:first-child').length") >= 6
    titles = page.evaluate("[...document.querySelectorAll('figcaption')].map((item) => item.textContent)")
    assert {"Distribution of Rg²", "Autocorrelation of Rg²", "Radial distribution functions", "Mean squared displacement",
            "Collisions against time"} <= set(titles)  # fmt: skip
    with (folder / RUN / "distribution.csv").open(newline="") as file:
        heights = [float(row["density"]) for row in csv.DictReader(file)]
    own = titles.index("Distribution of Rg²")
    drawn = page.evaluate(f"Array.from(document.querySelectorAll('.plot')[{own}].calcdata[0].map((point) => point.y))")
    np.testing.assert_allclose(drawn, heights, rtol=1e-6)
    # each has an axis with its title, and something between the axes
    counts = "(plot) => ['.infolayer text[class*=title]', '.trace'].map((name) => plot.querySelectorAll(name).length)"
    found = page.evaluate(f"[...document.querySelectorAll('.plot')].map({counts})")
    assert all(titles >= 2 and traces >= 1 for titles, traces in found), found


def test_hostile_names_are_shown_and_run_nothing(page):
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('img[src=x], [onerror]').length") == 0
    legend = page.evaluate("[...document.querySelectorAll('#legend span')].map((item) => item.textContent)")
    assert legend == [f"{name} ({NAMES.count(name)})" for name in SPECIES]
    assert page.evaluate("document.getElementById('which').options[0].textContent") == RUN
    cells = page.evaluate("[...document.querySelectorAll('td')].map((item) => item.textContent)")
    assert {HOSTILE, RUN, *SPECIES} <= set(cells)


def test_the_page_fits_a_telephone(folder, page):
    page.call("Emulation.setDeviceMetricsOverride", width=420, height=800, deviceScaleFactor=1, mobile=False)
    try:
        # plots follow a change of the width after a moment
        page.evaluate("new Promise((done) => setTimeout(done, 1000))")
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")


def test_the_policy_stops_what_got_past_the_escaping(folder, tmp_path):
    text = (folder / "report.html").read_text(encoding="utf-8")
    marked = text.replace("<main>", f"<main>{HOSTILE}<script>window.hacked = 3</script>", 1)
    (tmp_path / "marked.html").write_text(marked, encoding="utf-8")
    (tmp_path / "open.html").write_text(marked.replace("Content-Security-Policy", "Nothing", 1), encoding="utf-8")
    (tmp_path / "profile").mkdir()
    with chromium(tmp_path / "profile") as page:
        page.open(tmp_path / "open.html")
        assert page.evaluate("window.hacked") in (1, 3)
        page.open(tmp_path / "marked.html")
        assert page.evaluate("window.hacked") is None
        # our own programs ran
        assert page.evaluate("document.querySelectorAll('.plot .main-svg').length") > 0
