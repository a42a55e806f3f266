"""Relative links that work in the repository work on the site as well.

Pages of the site are Markdown files of docs/, or include a file from elsewhere (a benchmark's README, say). A link in them is
relative to the file that it stands in. On the site it leads to the page that shows the target, where there is one
(``repository_pages`` in conf.py, and all of docs/); a file without a page is offered as a download.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s]+)(?=\))")
"""Target of a Markdown link or image, but for those with a scheme and anchors of the same page."""


def rewrite(text: str, file: Path, page: Path, docs: Path, pages: dict[str, str]) -> str:
    """Rewrite the links of a Markdown file for the page that shows it.

    Parameters
    ----------
    text : str
    file : Path
        Where the text stands; its links are relative to it.
    page : Path
        Source of the page that shows it.
    docs : Path
        Folder of the pages; the repository is the one above.
    pages : dict
        File or folder, relative to the repository, to the name of the page that shows it.

    Returns
    -------
    str
        Links are relative to ``page``. Folders are shown by their README.md, if at all; a target without a page, or
        that is not there, stays as it is, for Sphinx to deal with.
    """

    def replace(match: re.Match[str]) -> str:
        target, hash_sign, anchor = match[1].partition("#")
        path = Path(os.path.normpath(file.parent / target))
        if path.is_dir() and (path / "README.md").is_file():
            path /= "README.md"
        if path.is_relative_to(docs.parent):
            shown_by = pages.get(path.relative_to(docs.parent).as_posix())
            if shown_by is not None:
                path = docs / f"{shown_by}.md"
        return os.path.relpath(path, page.parent) + hash_sign + anchor

    return _LINK.sub(replace, text)


def _rewrite_page(app: Sphinx, docname: str, content: list[str]) -> None:
    page = app.env.doc2path(docname)
    if page.suffix == ".md":
        content[0] = rewrite(content[0], page, page, app.srcdir, app.config.repository_pages)


def _rewrite_included(app: Sphinx, relative_path: Path, _parent: str, content: list[str]) -> None:
    file = Path(os.path.normpath(app.srcdir / relative_path))
    if file.suffix == ".md":
        # MyST gives the parent without its folder
        page = app.env.doc2path(app.env.docname)
        content[0] = rewrite(content[0], file, page, app.srcdir, app.config.repository_pages)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the option and the two events."""
    app.add_config_value("repository_pages", {}, "env", dict)
    app.connect("source-read", _rewrite_page)
    app.connect("include-read", _rewrite_included)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
