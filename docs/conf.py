"""Sphinx configuration: ``make docs`` builds docs/_build/html with warnings as errors, without network."""

import sys
from pathlib import Path

import cgplugin

HERE = Path(__file__).parent
READMES = sorted((HERE.parent / "benchmarks").glob("*/README.md"))
sys.path.insert(0, str(HERE / "extensions"))

project = "cgplugin"
author = "the cgplugin developers"
project_copyright = "the cgplugin developers"
release = version = cgplugin.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_click",
    "sphinx_copybutton",
    "literal_prose",
    "mathml",
    "repository_links",
]
exclude_patterns = ["_build"]
# files of the repository and the pages that show them; a page for each is written before the build
repository_pages = {
    "CHANGELOG.md": "changelog",
    "models/README.md": "models",
    **{f"benchmarks/{readme.parent.name}/README.md": f"benchmarks/{readme.parent.name}" for readme in READMES},
}
# folders that a page of its own shows
repository_folders = {"examples": "examples"}

# MyST
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

# API reference; docstrings are numpydoc, with single backticks for names
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 100
numpydoc_show_class_members = False
python_use_unqualified_type_names = True
# names of other packages: their inventories are on the network, which the build does without
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!cgplugin\.|openmm_integration\.|lammps_reader\.).*")]

# HTML
html_theme = "furo"
html_title = f"cgplugin {version}"
html_theme_options = {"navigation_with_keys": True}
# of commands, in blocks that do not say their language
highlight_language = "none"
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
