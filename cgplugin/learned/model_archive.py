"""Model files as what they are, ZIP archives: checked and written anew before torch sees them."""

import io
import re
import zipfile
import zlib
from pathlib import Path

from cgplugin.errors import UserError, one_line

HEADER = "cgplugin.json"
"""Extra file of an archive with the model's description."""

LARGEST_RATIO = 20
"""Unpacked size over size of the file. Weights are stored as they are, code shrinks fivefold, a bomb a thousandfold."""

LARGEST_TEXT = 64 * 2**20
"""Bytes of the description, and of all code."""

_SERIALIZED = re.compile(
    r"[^/]+/(version|byteorder|\.data/serialization_id|\.format_version|\.storage_alignment|(data|constants)\.pkl|(data|constants)/\d+"
    r"|code/__torch__(/\w+)*\.py(\.debug_pkl)?|extra/" + re.escape(HEADER) + ")"
)
"""What `torch.jit.save` writes. Older formats, which torch also reads, have other members."""

_RUNS_UNASKED = re.compile(rb"__setstate__|__forward_hooks__|__forward_pre_hooks__")
"""TorchScript that torch runs when a file is loaded, or beside the method that is called."""

_NATIVE_CLASS = re.compile(rb"__torch__[.\n]torch[.\n]classes[.\n]")
"""Objects with a C++ class of their own, rebuilt by it from the file's bytes; in a pickle the name may be cut by a newline."""


def checked_archive(path: Path) -> io.BytesIO:
    """Content of a model file, which holds what `torch.jit.save` writes and nothing that runs when it is loaded.

    The archive is written anew from the members that were checked: two readers of one ZIP file can be made to see different
    members, and the file can change in between.

    Raises
    ------
    UserError
        If the file is no such archive, unpacks to more than it should, or has members of another kind.
    OSError
        If it cannot be read.
    """
    written = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as copy:
            members = archive.infolist()
            _check_members(path, members)
            for member in members:
                content = archive.read(member)
                _check_content(path, member.filename, content)
                copy.writestr(member.filename, content)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: not a model of cgplugin ({one_line(error)[:120]})") from error
    written.seek(0)
    return written


def check_unpacked_size(path: Path) -> None:
    """Find out before torch reads a file of its own whether it unpacks to far more than it holds.

    Raises
    ------
    UserError
        If so. A file that is no ZIP archive is left to its reader.
    OSError
        If it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_unpacked(path, archive.infolist())
    except zipfile.BadZipFile:
        return


def _check_unpacked(path: Path, members: list[zipfile.ZipInfo]) -> None:
    unpacked, packed = sum(member.file_size for member in members), path.stat().st_size
    if unpacked > LARGEST_RATIO * packed:
        raise UserError(
            f"{path}: {packed} bytes that unpack to {unpacked}, which no file of cgplugin does: do not use it"
        )


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    for name in names:
        if not _SERIALIZED.fullmatch(name):
            raise UserError(f"{path}: not a model of cgplugin (it holds {name!r:.80}, which models do not have)")
    if len(set(names)) < len(names):
        raise UserError(f"{path}: not a model of cgplugin (it holds two members of one name)")
    _check_unpacked(path, members)
    text = sum(member.file_size for member in members if "/code/" in member.filename or "/extra/" in member.filename)
    if text > LARGEST_TEXT:
        raise UserError(
            f"{path}: not a model of cgplugin (code and description of {text} bytes, at most {LARGEST_TEXT})"
        )


def _check_content(path: Path, name: str, content: bytes) -> None:
    if name.endswith(".py") and (found := _RUNS_UNASKED.search(content)):
        raise UserError(
            f"{path}: has code that runs unasked ({found.group().decode()}), which models of cgplugin do not have: do not use it"
        )
    if name.endswith((".py", ".pkl")) and _NATIVE_CLASS.search(content):
        raise UserError(f"{path}: has objects of C++ classes, which models of cgplugin do not have: do not use it")
