"""Files that are written whole or not at all, by one process at a time."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import UserError, one_line


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name in the folder of ``path``; on success it becomes ``path``, on failure it is removed.

    A reader never sees a half-written file, and what was there before survives a crash or a full disk.

    Raises
    ------
    UserError
        If the folder cannot be written or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=f".tmp{target.suffix}", dir=target.parent)
        os.close(handle)
        Path(name).chmod(0o666 & ~_umask())
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({one_line(error)})") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({one_line(error)})") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def check_file_name(name: Any, source: str | os.PathLike[str]) -> None:
    """Raise a `UserError` that names the source, unless ``name`` is that of a file or folder, and not a path to elsewhere."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or not name.isprintable():
        raise UserError(f"{source}: name is {name!r:.60}, which a folder cannot be called: choose one without '/'")


@contextmanager
def sole_writer(folder: str | os.PathLike[str], command: str) -> Iterator[None]:
    """Hold a folder's lock, which goes with this process however it ends; the folder is made where it is missing.

    Raises
    ------
    UserError
        If another process, which is called ``command``, holds it, or the folder cannot be written.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = (Path(folder) / ".lock").open("w")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({one_line(error)})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another {command} is at work here: wait for its end") from None
        except OSError:
            # a file system without locks: take the risk
            pass
        yield


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace the file by ``text``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Replace the file by ``content`` as JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal digits; ``unknown`` where there is no such file."""
    if not Path(path).is_file():
        return "unknown"
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    UserError
        If the file is missing or is not a JSON object; the message names the line.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not valid JSON ({error.msg})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a JSON {type(content).__name__}, expected an object")
    return content
