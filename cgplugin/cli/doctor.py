"""``cgplugin doctor``: what is installed here, what works, and what is missing for which feature."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cgplugin.errors import one_line

if TYPE_CHECKING:
    from cgplugin.doctor import Diagnosis


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for a bug report or a script.")
def command(as_json: bool) -> None:
    """Print versions, OpenMM's platforms, devices, threads, and what is missing for which feature.

    Every platform of OpenMM is tried on one particle. What is missing or broken is told together with the command that
    installs it; the exit status is 0 all the same.
    """
    from cgplugin.doctor import diagnose

    diagnosis, openmm = diagnose(), _openmm()
    if as_json:
        click.echo(json.dumps({**diagnosis.to_json(), "openmm": openmm}, indent=1))
        return
    for line in _lines(diagnosis, openmm):
        click.echo(line)


def _openmm() -> dict[str, Any]:
    """OpenMM's platforms, or why it cannot be imported: just then this command is needed."""
    try:
        from openmm_integration.doctor import diagnose_platforms
    except (ImportError, OSError) as error:
        return {"error": one_line(error)}
    return diagnose_platforms()


def _lines(diagnosis: "Diagnosis", openmm: dict[str, Any]) -> Iterator[str]:
    yield "Versions"
    for name, version in diagnosis.versions.items():
        yield f"  {name:16} {version or f'missing: pip install {name}'}"
    yield "OpenMM platforms"
    if "error" in openmm:
        yield f"  OpenMM cannot be imported: {openmm['error']}"
    for platform in openmm.get("platforms", []):
        yield f"  {platform['name']:16} {'works' if platform['error'] is None else platform['error']}"
    for failure in openmm.get("plugin_failures", []):
        yield f"  not loaded: {failure}"
    yield "Devices for the networks"
    yield f"  {'cpu':16} {'works' if diagnosis.torch_error is None else f'torch cannot be imported: {diagnosis.torch_error}'}"
    for number, device in enumerate(diagnosis.devices):
        yield f"  {f'cuda:{number}':16} {device['name']}, {device['memory_gib']} GiB"
    if not diagnosis.devices:
        yield f"  {'cuda':16} none that torch sees"
    yield "Compiler for the networks (--compile)"
    yield f"  {'C++':16} {diagnosis.compiler or 'none: install g++, or set CXX'}"
    yield "Threads"
    for name, value in diagnosis.threads.items():
        yield f"  {name:16} {value}"
    yield "Features beyond the plain install"
    for feature in diagnosis.features:
        yield f"  {feature.name}: {'there' if feature.installed else f'missing, {feature.install}'}"
