"""Where the networks run: names of devices, and a simulation whose networks are elsewhere."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cgplugin import LearnedModel, UserError
from cgplugin.cli.main import main
from cgplugin.learned import devices, simulator
from cgplugin.learned.devices import choose_device, model_on
from cgplugin.learned.simulator import LearnedSimulator
from openmm_integration import CoarseSystem, learned_simulation
from openmm_integration.simulation import LearnedSimulation
from tests.conftest import SHARED

ELSEWHERE = torch.device("cpu", 0)
"""Not equal to the host's device, so that all is done as for a GPU: networks read again, tensors taken there and back."""

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch could use")


def positions(made: LearnedSimulation) -> np.ndarray:
    return made.context.getState(positions=True).getPositions(asNumpy=True)._value.copy()


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:one", "", "meta"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UserError, match=f"unknown device '{name}': expected cpu, cuda, cuda:N or auto"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cpu", "cpu:0", torch.device("cpu")])
def test_the_cpu_is_one_device(name: str | torch.device) -> None:
    assert choose_device(name) == torch.device("cpu")


def test_gpus_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UserError, match="device 'cuda:2' was asked for, but there are 2 GPUs, counted from cuda:0"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("built", "why"), [(False, "is a build without CUDA: install the one for your CUDA"), (True, "finds no GPU")]
)
def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch, built: bool, why: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match=f"device 'cuda' was asked for, but torch .* {why}, or use device cpu"):
        choose_device("cuda")


@pytest.mark.parametrize("command", ["simulate", "screen", "evaluate"])
def test_command_line_says_so_in_one_line(
    command: str, small_model: Path, polymer_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    structure = ["--reference", SHARED / "polymer" / "val" / "000"] if command == "evaluate" else [polymer_data]
    words = [command, small_model, *structure, "--time", "100tau", "--out", tmp_path / "out", "--device", "gpu"]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "unknown device 'gpu': expected cpu, cuda, cuda:N or auto" in line
    assert not (tmp_path / "out").exists()


def test_networks_elsewhere_are_fed_from_here(
    model: LearnedModel, cg: CoarseSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refinement included; every tensor is taken to the device, and observers get theirs on the host."""
    here = learned_simulation(model, cg, seed=1, platform="Reference", device="cpu")
    there = learned_simulation(model, cg, seed=1, platform="Reference")
    monkeypatch.setattr(simulator, "choose_device", torch.device)
    there.integrator.simulator.to(ELSEWHERE)
    assert there.integrator.simulator.model is not model
    taken, seen = [], []
    original = devices._NetworksOnDevice._taken
    monkeypatch.setattr(
        devices._NetworksOnDevice, "_taken", lambda self, item: taken.append(type(item)) or original(self, item)
    )
    there.integrator.observers.append(lambda o: seen.append(o.state.positions.device))
    for made in (here, there):
        made.step(12)
    np.testing.assert_array_equal(positions(there), positions(here))
    assert here.integrator.simulator.refinement.levels > 0
    assert len(taken) > 12 * 6
    assert seen == [torch.device("cpu")] * 12


def test_a_large_system_goes_piece_by_piece_elsewhere(
    model: LearnedModel, cg: CoarseSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator, "PIECE_BEADS", 3)
    here, there = LearnedSimulator(model, cg.parts), LearnedSimulator(model, cg.parts)
    monkeypatch.setattr(simulator, "choose_device", torch.device)
    there.to(ELSEWHERE)
    ends = [made.step(made.start([cg.start_frames])).state.positions for made in (here, there)]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)


def test_a_model_on_the_host_is_itself(model: LearnedModel) -> None:
    assert model_on(model, torch.device("cpu")) is model


@needs_gpu
def test_gpu_and_cpu_agree(model: LearnedModel, cg: CoarseSystem) -> None:
    here, there = (learned_simulation(model, cg, seed=1, platform="Reference", device=d) for d in ("cpu", "cuda"))
    kept = []
    step = there.integrator.simulator.step
    there.integrator.simulator.step = lambda state, force: kept.append(state) or step(state, force)
    for made in (here, there):
        made.step(5)
    np.testing.assert_allclose(positions(there), positions(here), atol=1e-3)
    # between the steps of a call, the state stays there
    assert all(state.positions.is_cuda and state.displacements.is_cuda for state in kept[1:])


@needs_gpu
def test_gpu_runs_go_on_from_a_checkpoint(model: LearnedModel, cg: CoarseSystem, tmp_path: Path) -> None:
    whole, part, resumed = (learned_simulation(model, cg, seed=1, platform="CPU", device="cuda") for _ in range(3))
    whole.step(8)
    part.step(3)
    part.saveCheckpoint(str(tmp_path / "checkpoint"))
    resumed.loadCheckpoint(str(tmp_path / "checkpoint"))
    resumed.step(5)
    # sums over edges add up in no fixed order on a GPU
    np.testing.assert_allclose(positions(resumed), positions(whole), atol=1e-3)
