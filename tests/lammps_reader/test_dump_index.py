"""The index of a dump: random access, memory, and a cache that is never trusted too far."""

import bz2
import gzip
import os
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import zstandard

from lammps_reader import LammpsFormatError, LammpsFormatWarning, bytes_file, dump_index, open_dump, scanner
from tests.lammps_reader.dumps import positions_text

N_ATOMS = 5


def positions(frame: int) -> np.ndarray:
    return np.random.default_rng(frame).normal(size=(N_ATOMS, 3)) * 10


def text(n_frames: int, first: int = 0) -> str:
    return "".join(positions_text(10 * n, range(1, N_ATOMS + 1), positions(n)) for n in range(first, first + n_frames))


def cache_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.frames.npz")


@pytest.fixture(autouse=True)
def _cache_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_index, "CACHE_FROM", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "t.lammpstrj"
    path.write_text(text(20))
    return path


def count_searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of frames that were known before each search."""
    searches: list[int] = []
    search = dump_index._search

    def counted(file, known):
        searches.append(0 if known is None else len(known))
        return search(file, known)

    monkeypatch.setattr(dump_index, "_search", counted)
    return searches


def check(path: Path, n_frames: int) -> None:
    dump = open_dump(path)
    assert dump.timesteps.tolist() == [10 * n for n in range(n_frames)]
    for n in (0, n_frames // 2, n_frames - 1):
        np.testing.assert_array_equal(dump[n].positions, positions(n))


def test_random_access_slices_and_iteration_agree(path: Path) -> None:
    dump = open_dump(path)
    everything = [frame.positions for frame in dump]
    assert len(everything) == len(dump) == 20
    np.testing.assert_array_equal(dump[-1].positions, everything[-1])
    part = dump[15:3:-4]
    assert part.timesteps.tolist() == [150, 110, 70]
    for frame, expected in zip(part, everything[15:3:-4], strict=True):
        np.testing.assert_array_equal(frame.positions, expected)
    np.testing.assert_array_equal(part[1:][0].positions, everything[11])
    assert len(dump[30:]) == 0
    assert list(dump[30:]) == []
    for index in (20, -21):
        with pytest.raises(IndexError):
            _ = dump[index]


def test_random_access_reads_one_frame_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = open_dump(path)
    read: list[tuple[int, int]] = []
    whole = bytes_file.OpenBytes.read

    def noted(self, start: int, size: int) -> bytes:
        read.append((start, size))
        return whole(self, start, size)

    monkeypatch.setattr(bytes_file.OpenBytes, "read", noted)
    np.testing.assert_array_equal(dump[13].positions, positions(13))
    begin = len(text(13).encode())
    assert read == [(begin, len(text(14).encode()) - begin)]


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "CHUNK", 2**16)

    def peak(n_frames: int) -> int:
        path = tmp_path / f"{n_frames}.lammpstrj"
        one = positions_text(0, range(1, 301), np.random.default_rng(0).normal(size=(300, 3)))
        with path.open("w") as stream:
            for _ in range(n_frames):
                stream.write(one)
        tracemalloc.start()
        for frame in open_dump(path, cache=False):
            assert len(frame.ids) == 300
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    # what grows is the index: five integers for a frame
    assert peak(800) < peak(200) + 600 * 500


def test_cache_is_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = count_searches(monkeypatch)
    check(path, 20)
    assert cache_of(path).is_file()
    check(path, 20)
    assert searches == [0]
    open_dump(path, cache=False)
    assert searches == [0, 0]


def test_file_that_has_grown_is_searched_from_where_it_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = count_searches(monkeypatch)
    check(path, 20)
    with path.open("a") as stream:
        stream.write(text(5, 20))
    check(path, 25)
    check(path, 25)
    assert searches == [0, 20]


def test_frame_that_was_being_written_is_there_later(path: Path) -> None:
    whole = path.read_text()
    path.write_text(whole[:-20])
    with pytest.warns(LammpsFormatWarning, match="ends within frame 19"):
        check(path, 19)
    # from the cache, too
    with pytest.warns(LammpsFormatWarning, match="ends within frame 19"):
        check(path, 19)
    path.write_text(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(path, 20)


def test_file_that_was_cut_or_replaced_is_searched_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = count_searches(monkeypatch)
    check(path, 20)
    path.write_text(text(7))
    check(path, 7)
    path.write_text(text(30))
    other = path.with_name("other")
    other.write_text(text(30))
    check(path, 30)
    other.replace(path)
    check(path, 30)
    assert searches == [0, 0, 7, 0] or searches[:2] == [0, 0]


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_same_size_and_time_but_other_content(path: Path, where: str) -> None:
    check(path, 20)
    before = path.stat()
    lines = path.read_text().splitlines(keepends=True)
    frame = {"first": 0, "middle": 9, "last": 19}[where]
    per_frame = len(lines) // 20
    swapped = lines[frame * per_frame : (frame + 1) * per_frame]
    # other rows first, so that rows begin elsewhere, and another step of as many digits
    swapped[9:] = swapped[:8:-1]
    swapped[1] = swapped[1].replace(str(10 * frame), "7" * len(str(10 * frame)))
    lines[frame * per_frame : (frame + 1) * per_frame] = swapped
    path.write_text("".join(lines))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    dump = open_dump(path)
    assert dump.timesteps[frame] == int("7" * len(str(10 * frame)))
    np.testing.assert_array_equal(dump[frame].positions, positions(frame))


def test_change_under_an_open_dump_is_told(path: Path) -> None:
    dump = open_dump(path)
    path.write_text("\n" + text(20, 3))
    with pytest.raises(LammpsFormatError, match="changed since it was opened"):
        _ = dump[4]
    path.write_text(text(2))
    with pytest.raises(LammpsFormatError):
        _ = dump[19]


def test_folder_that_cannot_be_written_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.chmod(0o500)
    try:
        if os.access(path.parent, os.W_OK):
            # root may write anywhere
            def refuse(*_: object, **__: object) -> None:
                raise PermissionError(13, "Permission denied")

            monkeypatch.setattr(dump_index.tempfile, "NamedTemporaryFile", refuse)
        check(path, 20)
        assert [item.name for item in path.parent.iterdir()] == [path.name]
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("damage", ["rubbish", "empty", "cut", "other file", "offsets", "types"])
def test_damaged_cache_does_no_harm(path: Path, tmp_path: Path, damage: str) -> None:
    check(path, 20)
    cache = cache_of(path)
    if damage == "rubbish":
        cache.write_bytes(np.random.default_rng(0).bytes(2000))
    elif damage == "empty":
        cache.write_bytes(b"")
    elif damage == "cut":
        cache.write_bytes(cache.read_bytes()[:700])
    elif damage == "other file":
        other = tmp_path / "other.lammpstrj"
        other.write_text(text(20, 1))
        open_dump(other)
        cache_of(other).replace(cache)
    else:
        with np.load(cache) as stored:
            content = dict(stored)
        if damage == "offsets":
            content["offsets"] = content["offsets"][::-1].copy()
        else:
            content["lines"] = content["lines"].astype(np.float32)
        np.savez(cache, **content)
    check(path, 20)
    assert not list(path.parent.glob("*.tmp"))


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".zst", zstandard.ZstdCompressor().compress)],
)
def test_compressed_files(tmp_path: Path, suffix: str, pack, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"t.lammpstrj{suffix}"
    path.write_bytes(pack(text(20).encode()))
    check(path, 20)
    # too large to be kept in memory: going back starts over
    monkeypatch.setattr(bytes_file, "SMALL", 1000)
    check(path, 20)
    dump = open_dump(path)
    for n in (7, 3, 19, 0):
        np.testing.assert_array_equal(dump[n].positions, positions(n))
    for frame, n in zip(dump, range(20), strict=True):
        np.testing.assert_array_equal(frame.positions, positions(n))


@pytest.mark.parametrize("small", [2**26, 1000])
@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".zst", zstandard.ZstdCompressor().compress)],
)
def test_cut_archives_are_never_read_in_silence(
    tmp_path: Path, suffix: str, pack, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bytes_file, "SMALL", small)
    path = tmp_path / f"t.lammpstrj{suffix}"
    # two streams, the first of which ends with a frame
    whole = pack(text(20).encode()) + pack(text(20, 20).encode())
    for part in (0.02, 0.3, 0.55, 0.8, 0.98):
        path.write_bytes(whole[: int(part * len(whole))])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if part < 0.05 or (part < 0.5 and suffix != ".gz"):
                # bzip2 and zstandard give whole blocks only
                with pytest.raises(LammpsFormatError, match="no frame is whole"):
                    open_dump(path, cache=False)
                continue
            dump = open_dump(path, cache=False)
        assert len(caught) == 1
        assert "compressed data end early" in str(caught[0].message)
        for n, frame in enumerate(dump):
            np.testing.assert_array_equal(frame.positions, positions(n))
        if part > 0.5:
            assert len(dump) >= 20


def test_damage_within_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "t.lammpstrj.gz"
    packed = bytearray(gzip.compress(text(400).encode()))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(bytes(packed))
    # what comes out of damaged data is no dump, before the checksum says so
    with pytest.raises(LammpsFormatError) as caught:
        open_dump(path, cache=False)
    assert caught.value.line is not None
    packed[-8] ^= 0xFF
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(bytes(packed))
    with pytest.warns(LammpsFormatWarning, match="end early or are damaged"):
        open_dump(path, cache=False)


def test_several_files_and_patterns(tmp_path: Path) -> None:
    for n in (0, 9, 10):
        (tmp_path / f"t.{n}.lammpstrj").write_text(text(1, n))
    dump = open_dump(tmp_path / "t.*.lammpstrj")
    assert dump.timesteps.tolist() == [0, 90, 100]
    named = open_dump([tmp_path / "t.10.lammpstrj", tmp_path / "t.0.lammpstrj"])
    assert named.timesteps.tolist() == [100, 0]
    np.testing.assert_array_equal(named[-1].positions, positions(0))
    with pytest.raises(LammpsFormatError, match="no file has such a name"):
        open_dump(tmp_path / "u.*.lammpstrj")
    with pytest.raises(ValueError, match="no file to open"):
        open_dump([])


def test_repeats_of_a_restarted_run(tmp_path: Path) -> None:
    first, second = tmp_path / "a.lammpstrj", tmp_path / "b.lammpstrj"
    first.write_text(text(5))
    second.write_text(text(4, 3))
    dump = open_dump([first, second])
    assert dump.timesteps.tolist() == [0, 10, 20, 30, 40, 30, 40, 50, 60]
    once = dump.without_repeats()
    assert once.timesteps.tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert [frame.timestep for frame in once] == once.timesteps.tolist()
    assert dump[:5].without_repeats().timesteps.tolist() == [0, 10, 20, 30, 40]
