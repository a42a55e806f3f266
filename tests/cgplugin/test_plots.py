"""Plots: what they show, and that they come out readable."""

import dataclasses
import math

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cgplugin.analysis import plots
from cgplugin.analysis.system_analysis import SystemAnalysis
from cgplugin.observables.statistics import Relaxation, SeriesStatistics, relaxation_time
from tests.cgplugin.test_statistics import ornstein_uhlenbeck


def analysis(relaxations: float = 200, name: str = "chain", seed: int = 0) -> SystemAnalysis:
    """Rg^2 and end-to-end distance that fluctuate as Ornstein-Uhlenbeck processes do."""
    rng = np.random.default_rng(seed)
    times = 5.0 * np.arange(1, 4001)
    rg2 = 20 + 4 * ornstein_uhlenbeck(rng, relaxations)
    distances = 11 + 2 * ornstein_uhlenbeck(rng, relaxations)[::10]
    return SystemAnalysis(
        name=name,
        units="lj",
        n_frames=400,
        duration=float(times[-1] - times[0]),
        rg2=SeriesStatistics.of(rg2, 5.0),
        rg2_beads=None,
        rg2_power=1,
        relaxation=relaxation_time(rg2, 5.0),
        end_to_end=SeriesStatistics.of(distances, 50.0),
        mean_squared_end_to_end=float((distances**2).mean()),
        longest_bond=2.0,
        masses_known=True,
        times=times,
        series=rg2,
        frame_times=times[::10],
        frame_rg2=rg2[::10],
        frame_end_to_end=distances,
    )


@pytest.fixture
def figure(monkeypatch):
    """The figure that is saved."""
    kept = []
    original = plots.save

    def save(figure, path):
        original(figure, path)
        kept.append(figure)

    monkeypatch.setattr(plots, "save", save)
    return kept


def overlapping_texts(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes meet: tick labels, axis labels, titles, legends."""
    FigureCanvasAgg(figure).draw()
    boxes = []
    for text in figure.findobj(mpl.text.Text):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            # what is drawn at all: tick labels beyond the axis limits are not
            if figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.width > 0:
                boxes.append((text.get_text(), box))
    return [
        (a, b) for n, (a, first) in enumerate(boxes) for b, second in boxes[:n] if a != b and first.overlaps(second)
    ]


def test_figure_of_a_system(tmp_path, figure):
    result = analysis()
    plots.plot_system(result, tmp_path / "system.png")
    [shown] = figure
    trace, rg2, decay, ends = shown.axes
    assert "σ" in trace.get_ylabel()
    assert "(τ)" in trace.get_xlabel()
    assert "(σ)" in ends.get_xlabel()
    np.testing.assert_allclose(trace.lines[1].get_ydata(), result.rg2.mean)
    # the distribution stands beside the trace, on its axis, and integrates to one
    assert rg2.get_ylim() == trace.get_ylim()
    heights, edges, _ = rg2.patches[0].get_data()
    assert (heights * np.diff(edges)).sum() == pytest.approx(1)
    # the marked point lies on 1/e, at the relaxation time
    (marked,) = [line for line in decay.lines if line.get_marker() == "o"]
    assert marked.get_xydata()[0] == pytest.approx([result.relaxation.time, math.exp(-1)])
    (fitted,) = [line for line in decay.lines if line.get_linestyle() == "--"]
    assert np.interp(result.relaxation.fitted_time, *fitted.get_data()) == pytest.approx(math.exp(-1), abs=0.01)
    assert f"{result.end_to_end.mean:.2f}" in ends.get_title(loc="right")
    image = matplotlib.image.imread(tmp_path / "system.png")
    assert image.shape[:2] == (810, 1200)
    # some ink in every quarter
    assert all(quarter[..., :3].min() < 0.5 for half in np.split(image, 2) for quarter in np.split(half, 2, axis=1))


@pytest.mark.parametrize("relaxations", [5, 200])
def test_no_text_covers_another(relaxations, tmp_path, figure):
    plots.plot_system(analysis(relaxations), tmp_path / "system.png")
    plots.plot_overview(
        [analysis(relaxations, f"random{n:04d}/replica-{n}", n) for n in range(4)], tmp_path / "all.png"
    )
    for shown in figure:
        assert overlapping_texts(shown) == []


def test_short_run_shows_the_reason_instead_of_a_fit(tmp_path, figure):
    result = dataclasses.replace(analysis(5), relaxation=Relaxation.unknown("the series is too short"))
    plots.plot_system(result, tmp_path / "system.png")
    decay = figure[0].axes[2]
    assert not [line for line in decay.lines if line.get_linestyle() == "--"]
    assert "the series is too short" in [text.get_text() for text in decay.texts]
    assert "error at least" in figure[0].axes[0].get_title(loc="right")


def test_constant_series_can_be_plotted(tmp_path):
    constant = np.full(400, 4.0)
    result = dataclasses.replace(
        analysis(),
        rg2=SeriesStatistics.of(constant, 1.0),
        relaxation=relaxation_time(constant, 1.0),
        end_to_end=SeriesStatistics.of(constant, 1.0),
        times=np.arange(400.0),
        series=constant,
        frame_end_to_end=constant,
    )
    plots.plot_system(result, tmp_path / "system.png")
    plots.plot_overview([result], tmp_path / "all.png")
    assert (tmp_path / "system.png").stat().st_size > 10_000


def test_overview(tmp_path, figure):
    results = [analysis(200, "long", 1), analysis(5, "short", 2)]
    plots.plot_overview(results, tmp_path / "all.png")
    means, relaxations, distances = figure[0].axes
    assert [label.get_text() for label in means.get_yticklabels()] == ["long", "short"]
    # the first system is on top
    assert means.yaxis_inverted()
    for axes, values in ((means, [r.rg2.mean for r in results]), (distances, [r.end_to_end.mean for r in results])):
        points = [line.get_xdata()[0] for line in axes.lines]
        np.testing.assert_allclose(points, values)
        # hollow where the error is only a lower bound
        assert [line.get_markerfacecolor() == "white" for line in axes.lines] == [False, True]
    shown = relaxations.lines[0].get_xdata()
    assert shown[0] == results[0].relaxation.time
    assert math.isnan(shown[1])


def test_overview_of_hundreds_of_systems(tmp_path):
    one = analysis()
    plots.plot_overview([dataclasses.replace(one, name=f"system{n}") for n in range(300)], tmp_path / "all.png")
    assert matplotlib.image.imread(tmp_path / "all.png").shape[0] < 10_000


def test_plotting_leaves_no_trace(tmp_path):
    before = dict(mpl.rcParams)
    plots.plot_system(analysis(), tmp_path / "system.png")
    assert dict(mpl.rcParams) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["system.png", "system.svg"]
