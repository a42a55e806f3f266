"""Reference electrolytes for several tests: how their files are read, and by which options of the command line."""

from cgplugin.systems.lammps_files import LammpsConventions
from tests.conftest import SHARED

ELECTROLYTES = SHARED / "electrolyte" / "train"
CONVENTIONS = LammpsConventions(units="lj", time_step=0.01)
OPTIONS = ["--lammps-units", "lj", "--md-time-step", 0.01, "--threads", 1, "--platform", "Reference"]
