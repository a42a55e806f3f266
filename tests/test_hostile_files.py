"""Files from strangers: one line of error, exit status 2, and nothing in them runs."""

import io
import json
import pickle
import resource
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openmm
import pytest
import torch
from torch import Tensor, nn

from cgplugin import LearnedModel, UserError
from cgplugin.baselines import model_file
from cgplugin.cli.main import main
from cgplugin.learned import torchscript
from cgplugin.learned.model_archive import checked_archive
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.structure_files import load_structure
from cgplugin.training.options import TrainingOptions
from cgplugin.training.trainer import train
from lammps_reader import dump_index, open_dump
from openmm_integration.ground_truth.generate import GenerateSpec, generate
from openmm_integration.runs.warm_up import openmm_system_beside
from tests.cgplugin.test_training import TINY, dimers
from tests.conftest import ROOT, chain
from tests.random_model import random_model

MODEL = ROOT / "tests" / "models" / "without_score.pt"


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Run a command, in this process since there are many: status 2, and one line that has the message."""

    def check(*arguments: object, message: str) -> None:
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in arguments])
        error = capsys.readouterr().err
        assert stop.value.code == 2, error
        assert len(error.strip().splitlines()) == 1, error
        assert message in error, error

    return check


def as_pickle(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content))


def as_torch_file(path: Path, content: object) -> None:
    torch.save({"format": "cgplugin baseline", "version": 1, "kind": content}, path)


@pytest.mark.parametrize("write", [as_pickle, as_torch_file])
def test_pickle_in_place_of_a_model_or_a_baseline(tmp_path: Path, marker: Path, write: Callable) -> None:
    path = tmp_path / "hostile.pt"
    write(path, Bomb(marker))
    with pytest.raises(UserError, match="not a model"):
        LearnedModel.load(path)
    with pytest.raises(UserError, match="not a baseline"):
        model_file.load(path)
    assert not marker.exists()
    # what would have happened, before torch finds that a bare pickle is no file of its own
    with suppress(RuntimeError):
        torch.load(path, weights_only=False)
    assert marker.exists()


def test_command_refuses_a_pickle(tmp_path: Path, marker: Path, refused: Callable[..., None]) -> None:
    path = tmp_path / "hostile.pt"
    as_pickle(path, Bomb(marker))
    refused("simulate", path, "nothing.pdb", "--time", 1, "--out", tmp_path / "out", message="hostile.pt: not a model")
    assert not marker.exists()


def test_checkpoint_with_a_hostile_global(tmp_path: Path, marker: Path) -> None:
    """An unfinished training from a stranger: its options and data are the same, its checkpoint is not."""
    run = partial(train, dimers(), tmp_path / "model.pt", options=TrainingOptions(**TINY))
    run()
    last = tmp_path / "model.training" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    torch.save({**checkpoint, "loops": Bomb(marker)}, last)
    with pytest.raises(UserError, match=r"last\.ckpt: not a checkpoint .*--restart"):
        run()
    assert not marker.exists()
    torch.load(last, weights_only=False)
    assert marker.exists()


class Saving(nn.Module):
    """Writes a file in the course of a step."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, self.path)
        return x


class Mapping(nn.Module):
    """Maps, and so makes, a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_file(self.path, shared=True, size=4, dtype=torch.float32)


class Nested(nn.Module):
    """Hides what it does in a part of itself, behind a branch."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.part = Saving(path)

    def forward(self, x: Tensor) -> Tensor:
        if x.numel() > 0:
            x = self.part(x)
        return x


class Forking(nn.Module):
    """Hides it in another thread."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.part = Saving(path)

    def forward(self, x: Tensor) -> Tensor:
        return torch.jit.wait(torch.jit.fork(self.part, x))


@pytest.mark.parametrize("module", [Saving, Mapping, Nested, Forking])
def test_torchscript_that_touches_files(tmp_path: Path, marker: Path, module: type[nn.Module]) -> None:
    path = tmp_path / "hostile.pt"
    torchscript.save(module(str(marker)), {}, path)
    with pytest.raises(UserError, match=r"hostile\.pt: has the operator (aten::save|aten::from_file|prim::fork)"):
        LearnedModel.load(path)
    assert not marker.exists()
    # it would have run, had it been called
    torch.jit.load(path)(torch.zeros(4))
    assert marker.exists()


class Waking(nn.Module):
    """Has code that torch runs while it loads the file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> str:
        return self.path

    @torch.jit.export
    def __setstate__(self, state: str) -> None:
        self.path = state
        self.training = False
        torch.save(torch.zeros(1), state)


def test_torchscript_that_runs_while_it_is_loaded(tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "hostile.pt"
    torchscript.save(Waking(str(marker)), {}, path)
    with pytest.raises(UserError, match="code that runs unasked"):
        LearnedModel.load(path)
    assert not marker.exists()
    torch.jit.load(path)
    assert marker.exists()


def test_operators_with_a_file_name_are_forbidden() -> None:
    """Those that this version of torch has: a newer one may have more."""
    named = {
        schema.name
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.startswith("aten::")
        and any("file" in a.name or "path" in a.name for a in schema.arguments if str(a.type) == "str")
    }
    assert "aten::from_file" in named
    assert named <= torchscript.FORBIDDEN_OPERATORS


class Variant(NamedTuple):
    symmetry: str
    noise: str
    prior: str


@pytest.mark.parametrize("variant", [Variant("none", "diagonal", "none"), Variant("rotation", "bonded", "linear")])
def test_every_architecture_passes(tmp_path: Path, variant: Variant) -> None:
    options = NetworkOptions(**variant._asdict(), score=True, score_layers=1, layers=1, hidden=16)  # type: ignore[arg-type]
    LearnedModel.load(random_model(tmp_path / "model.pt", [chain(20)], options=options))


def rewritten(path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None], **more: bytes) -> Path:
    """The older model with other members."""
    with zipfile.ZipFile(MODEL) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if (member := change(name, old.read(name))) is not None:
                new.writestr(*member)
        root = old.namelist()[0].split("/")[0]
        for name, content in more.items():
            new.writestr(f"{root}/{name}", content)
    return path


def test_archive_written_anew_is_the_same_model(tmp_path: Path) -> None:
    """The test below changes one thing only."""
    path = rewritten(tmp_path / "same.pt", lambda name, content: (name, content))
    assert LearnedModel.load(path).description == LearnedModel.load(MODEL).description


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"data/999": bytes(2**28)}, "bytes that unpack to"),
        ({"extra/run.py": b""}, "extra/run.py"),
        ({"model.json": b"{}"}, "model.json"),
        ({"../../escaped": b""}, "escaped"),
    ],
)
def test_archive_with_more_in_it(tmp_path: Path, more: dict[str, bytes], message: str) -> None:
    path = rewritten(tmp_path / "hostile.pt", lambda name, content: (name, content), **more)
    with pytest.raises(UserError, match=r"hostile\.pt") as caught:
        LearnedModel.load(path)
    assert message in str(caught.value)


def test_bomb_costs_no_memory(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "bomb.pt", lambda name, content: (name, content), **{"data/999": bytes(2**28)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for load in (LearnedModel.load, model_file.load):
        with pytest.raises(UserError, match="unpack to"):
            load(path)
    # KiB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17


def test_native_classes_are_refused(tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> tuple[str, bytes]:
        if name.endswith("/constants.pkl"):
            content = b"\x80\x02c__torch__.torch.classes.quantized\nLinearPackedParamsBase\n)\x81."
        return name, content

    with pytest.raises(UserError, match=r"C\+\+ classes"):
        checked_archive(rewritten(tmp_path / "hostile.pt", change))


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("time_step", float("nan")),
        ("time_step", "5"),
        ("n_history", -1),
        ("n_history", True),
        ("cutoff", [1]),
        ("atoms_per_bead", 0),
        ("atom_types", [1]),
        ("noise_levels", [float("inf")]),
        ("force_field", "x"),
        ("training", None),
        ("units", "../x"),
    ],
)
def test_header_that_lies(tmp_path: Path, entry: str, value: object) -> None:
    def change(name: str, content: bytes) -> tuple[str, bytes]:
        if name.endswith("/cgplugin.json"):
            content = json.dumps({**json.loads(content), entry: value}).encode()
        return name, content

    with pytest.raises(UserError) as caught:
        LearnedModel.load(rewritten(tmp_path / "hostile.pt", change))
    assert entry in str(caught.value)
    assert "\n" not in str(caught.value)


def test_header_that_nests_too_deep(tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> tuple[str, bytes]:
        return name, b"[" * 100_000 if name.endswith("/cgplugin.json") else content

    with pytest.raises(UserError, match=r"lacks cgplugin\.json"):
        LearnedModel.load(rewritten(tmp_path / "hostile.pt", change))


@pytest.mark.parametrize("command", [("generate", "{}", "--out", "out"), ("train", "--config", "{}", "--out", "m.pt")])
def test_yaml_that_names_python(
    tmp_path: Path, marker: Path, command: tuple[str, ...], refused: Callable[..., None]
) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(
        f"name: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{marker}']]\n"
    )
    refused(*(word.format(path) for word in command), message="hostile.yaml: not a readable YAML file")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/b", "..", ".hidden", "a\\0b", "-o"])  # noqa: S108 - it is refused
def test_names_in_a_spec_do_not_leave_the_output_folder(
    tmp_path: Path, name: str, refused: Callable[..., None]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(f'name: "{name}"\nn_systems: 1\nn_units: 4\nlength: 1\nrecording_interval: 1\nrelaxation: 1\n')
    refused("generate", spec, "--out", tmp_path / "deep" / "out", message="spec.yaml: name is")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["spec.yaml"]


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "..", "", "a\0b", 7])
def test_names_in_system_files_do_not_leave_the_output_folder(
    tmp_path: Path, name: object, refused: Callable[..., None]
) -> None:
    chain(4).save(tmp_path / "system.json")
    content = json.loads((tmp_path / "system.json").read_text())
    (tmp_path / "system.json").write_text(json.dumps({**content, "name": name}))
    (tmp_path / "topology.pdb").touch()
    out = tmp_path / "deep" / "out"
    refused("simulate", MODEL, tmp_path, "--time", "20tau", "--out", out, message="system.json: name is")
    assert not out.parent.exists()


class HostileForce(Bomb):
    """Something that can be called, as OpenMM wants it."""

    def __call__(self, _state: object) -> None:
        raise AssertionError


def test_system_xml_with_python_in_it(tmp_path: Path, marker: Path) -> None:
    """OpenMM unpickles a PythonForce's function while it reads the XML."""
    if not hasattr(openmm, "PythonForce"):
        pytest.skip("this OpenMM has no PythonForce")
    spec = GenerateSpec(n_systems=1, n_units=8, length=40, recording_interval=1, relaxation=1)
    (folder,) = generate(spec, tmp_path / "data")
    system = openmm.System()
    system.addForce(openmm.PythonForce(HostileForce(marker)))
    text = openmm.XmlSerializer.serialize(system)
    (folder / "system.xml").write_text(text)
    with pytest.raises(UserError, match=r"system\.xml: has a PythonForce"):
        openmm_system_beside(load_structure(folder))
    assert not marker.exists()
    with suppress(Exception):
        openmm.XmlSerializer.deserialize(text)
    assert marker.exists()


def test_cache_beside_a_dump_is_not_unpickled(tmp_path: Path, marker: Path) -> None:
    """It comes from the same stranger as the dump."""
    rows = (
        "ITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 1\n0 1\n0 1\nITEM: ATOMS id type xu yu zu\n1 1 0 0 0\n"
    )
    dump = tmp_path / "a.lammpstrj"
    dump.write_text(f"ITEM: TIMESTEP\n0\n{rows}")
    content = io.BytesIO()
    np.savez(content, stat=np.array([Bomb(marker)], dtype=object))
    dump_index._cache_path(dump).write_bytes(content.getvalue())
    assert len(open_dump(dump)) == 1
    assert not marker.exists()
