"""Feed damaged files to the readers of `lammps_reader`: nothing but a `LammpsFormatError` may come out.

Coverage-guided with atheris (``pip install atheris``), from the corpus in ``tests/lammps_reader/corpus``:

    python benchmarks/fuzz/fuzz_readers.py dump --runs 1000000 --work /tmp/fuzz/dump

Whatever crashes a reader is written to the work folder and belongs into the corpus, which the tests read.
"""

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lammps_reader"]):
    from lammps_reader import LammpsFormatError, open_dump, read_data, read_log

CORPUS = Path(__file__).parents[2] / "tests" / "lammps_reader" / "corpus"
MAX_BYTES = 1500
MAX_FRAMES = 4
STYLES = (None, "atomic", None, "full", None, "charge", None, "molecular")
WORDS = {
    "dump": "ITEM:|ITEM: TIMESTEP|ITEM: TIME|ITEM: UNITS|ITEM: NUMBER OF ATOMS|ITEM: BOX BOUNDS|ITEM: ATOMS id| xy xz yz|pp pp pp"
    "|abc origin| xu yu zu| xs ys zs| xsu ysu zsu| x y z| ix iy iz| element| type|nan|inf|1e308|1e999|-0|0x1|1_0",
    "data": "atoms|bonds|atom types|xlo xhi|ylo yhi|zlo zhi|xy xz yz|Atoms # full|Atoms|Bonds|Masses|Velocities|Pair Coeffs|"
    "Atom Type Labels|avec|nan|inf|1e308|1e999|999999999999|# |0x1|1_0",
    "log": "Per MPI rank memory allocation|Loop time of |Step |WARNING: |ERROR: |SHAKE stats|---|...|keywords: ['Step']|data:|"
    "  - [|------------ Step 0 ----- CPU = 0 (sec) ----|TotEng   =        -5.27 |LAMMPS (|nan|-inf|.nan|1e999|1_0",
    "xyz": "Atoms. Timestep: |nan|1e999|-1|999999999999",
}


def read_dump_file(path: Path) -> None:
    """Read frames in order, and the last one."""
    dump = open_dump(path, cache=False)
    for _ in islice(dump, MAX_FRAMES):
        pass
    _ = dump[-1]


def read_data_file(path: Path) -> None:
    """Read a data file, its style guessed or given."""
    read_data(path, atom_style=STYLES[path.stat().st_size % len(STYLES)])


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "dump": (".lammpstrj", read_dump_file),
    "data": (".data", read_data_file),
    "log": (".log", read_log),
    "xyz": (".xyz", read_dump_file),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True, help="folder for the growing corpus and for what crashes")
    options = parser.parse_args()
    suffix, read = READERS[options.reader]
    grown = options.work / "corpus"
    grown.mkdir(parents=True, exist_ok=True)
    dictionary = options.work / "words"
    words = [word.encode() for word in WORDS[options.reader].split("|")]
    dictionary.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words))
    # a file in memory, where there is one
    shared = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    folder = Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    path = folder / f"input{suffix}"
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    warnings.simplefilter("ignore")

    def execute(content: bytes) -> None:
        os.ftruncate(handle, 0)
        os.pwrite(handle, content, 0)
        try:
            read(path)
        except LammpsFormatError as error:
            if "\n" in str(error) or error.path != path:
                raise RuntimeError("not a one-line error that names the file") from error

    flags = [
        f"-runs={options.runs}", f"-seed={options.seed}", f"-max_len={MAX_BYTES}", f"-dict={dictionary}", "-timeout=20",
        "-rss_limit_mb=3000", "-print_final_stats=1", f"-artifact_prefix={options.work}/",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *flags, str(grown), str(CORPUS / options.reader)], execute)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
