"""`napari-voxreg methods`, the page made of it, and a method's parameters as options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_voxreg import METHODS
from napari_voxreg.cli import describe
from napari_voxreg.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", METHODS)
def test_each_parameter_is_an_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also shows that no parameter has the name of a shared option, which argparse would refuse."""
    assert main(["register", "--method", name, "--help"]) == 0
    options = capsys.readouterr().out
    assert main(["methods", name]) == 0
    listing = capsys.readouterr().out
    for info in METHODS[name].params.infos():
        assert f"--{info.name.replace('_', '-')}" in options
        assert f"  {info.name} " in listing
        assert describe.default(info) in listing
    for preset in METHODS[name].presets:
        assert preset in listing


def test_methods_are_listed(capsys: pytest.CaptureFixture[str], refused: Callable[..., str]) -> None:
    assert main(["methods"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METHODS)
    assert "choose from" in refused("methods", "magic")


def test_documentation_is_current() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert page == describe.markdown(), "run: make docs"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"`{name}`" not in readme] == []
