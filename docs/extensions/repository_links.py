"""Files of the repository as pages of the site, and relative links that work in both.

``repository_pages`` in conf.py names files from outside docs/ (a benchmark's README, say) and the page that shows each: a
Markdown file that includes it, written before the build. ``repository_folders`` are folders that a page of docs/ is about.

A link is relative to the file that it stands in. On the site it leads to the page that shows its target, where there is one;
a file without a page is offered as a download.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
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


_INCLUDE = "```{{include}} {}\n```\n"


def write_pages(docs: Path, pages: dict[str, str]) -> None:
    """Write the pages that include a file, and remove those of files that are gone.

    A page that is there already keeps its date, so that it is not built anew.
    """
    texts = {
        docs / f"{name}.md": _INCLUDE.format(os.path.relpath(docs.parent / file, (docs / name).parent))
        for file, name in pages.items()
    }
    begin = _INCLUDE.format("").split("\n")[0] + ".."
    for folder in {page.parent for page in texts}:
        for page in folder.glob("*.md"):
            if page not in texts and page.read_text(encoding="utf-8").startswith(begin):
                page.unlink()
    for page, text in texts.items():
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def _write_pages(app: Sphinx, config: Config) -> None:
    write_pages(app.srcdir, config.repository_pages)


def _pages(app: Sphinx) -> dict[str, str]:
    return {**app.config.repository_pages, **app.config.repository_folders}


def _rewrite_page(app: Sphinx, docname: str, content: list[str]) -> None:
    page = app.env.doc2path(docname)
    if page.suffix == ".md":
        content[0] = rewrite(content[0], page, page, app.srcdir, _pages(app))


def _rewrite_included(app: Sphinx, relative_path: Path, _parent: str, content: list[str]) -> None:
    file = Path(os.path.normpath(app.srcdir / relative_path))
    if file.suffix == ".md":
        # MyST gives the parent without its folder
        page = app.env.doc2path(app.env.docname)
        content[0] = rewrite(content[0], file, page, app.srcdir, _pages(app))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the options and the events."""
    app.add_config_value("repository_pages", {}, "env", dict)
    app.add_config_value("repository_folders", {}, "env", dict)
    app.connect("config-inited", _write_pages)
    app.connect("source-read", _rewrite_page)
    app.connect("include-read", _rewrite_included)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
