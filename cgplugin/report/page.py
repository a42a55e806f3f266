"""One HTML file: data, styles and programs inside, and no way to the network."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import jinja2
import plotly.graph_objects as go
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from .content import Section
from .trajectory_view import TrajectoryView


def render(title: str, sections: Sequence[Section], trajectories: Sequence[TrajectoryView], note: str) -> str:
    """The page as text.

    All texts are escaped by the template. Its content security policy lets only our own programs run, told by their hash,
    and nothing be loaded, so that a name that should get past the escaping could do no harm.

    Parameters
    ----------
    title : str
    sections : sequence of Section
    trajectories : sequence of TrajectoryView
        For the viewer, which is left out where there are none.
    note : str
        Beside the viewer: what is shown of what there is.
    """
    static = files("cgplugin.report") / "static"
    own = (static / "report.js").read_text(encoding="utf-8")
    viewer = [(static / "3dmol" / "3Dmol-min.js").read_text(encoding="utf-8")] if trajectories else []
    scripts = [get_plotlyjs(), *viewer, own]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cgplugin.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    return environment.get_template("report.html").render(
        title=title,
        sections=sections,
        trajectories=[view.to_json() for view in trajectories],
        note=note,
        style=Markup((static / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - programs of packages, checked by their hashes
        hashes=[_hash(script) for script in scripts],
    )


def _figure(figure: go.Figure) -> Markup:
    """A figure as JSON that can stand in a script element."""
    dumps: Any = go.Figure.to_json
    return htmlsafe_json_dumps(figure, dumps=dumps)


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
