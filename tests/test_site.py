"""The pages of the site that are written from the code."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from napari_voxreg import METHODS
from napari_voxreg.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """scripts/site_pages.py, which needs no mkdocs until a site is built."""
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "scripts" / "site_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", METHODS)
def test_the_page_of_a_method_has_its_parameters(site: ModuleType, name: str) -> None:
    page = site.method_page(name, {})
    assert page.startswith(f"# {METHODS[name].title}\n") and f'method="{name}"' in page
    assert all(f"`{info.name}`" in page for info in METHODS[name].params.infos())
    assert "has no row of this method" in page


def test_accuracy_and_speed_are_those_of_the_benchmark(site: ModuleType) -> None:
    def cell(measure: str, before: float, after: float, seconds: float) -> dict[str, object]:
        return {"before": {measure: before}, "after": {measure: after}, "unit": "px", "seconds": seconds}

    cells = {
        "real/two_eyes/auto": cell("error", 98.5, 3.4, 2.8),
        "samples/head/auto": cell("dice", 0.61, 0.89, 1.2),
        "real/two_eyes/pose": cell("error", 1.0, 77.0, 66.0),
        "real/failed/auto": {"failed": "no memory"},
    }
    page = site.method_page("auto", cells)
    assert "| two eyes | 98.5 px | 3.4 px | 2.8 |" in page and "Median 2.8 s." in page
    assert "| head | 0.61 Dice | 0.89 Dice | 1.2 |" in page
    assert "77" not in page and "failed" not in page
    known = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
    assert "### Real pairs" in site.method_page("auto", known)


def test_the_page_of_the_command_line_has_each_command(site: ModuleType) -> None:
    page = site.command_page()
    assert all(f"## {name}\n" in page and f"usage: napari-voxreg {name} " in page for name in COMMANDS)
