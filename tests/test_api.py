"""The public surface: what docs/api.md lists is what there is."""

from __future__ import annotations

import difflib
import importlib.util
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

import napari_voxreg
from napari_voxreg import register

ROOT = Path(__file__).parents[1]


def written_page() -> str:
    """What scripts/api.py prints."""
    spec = importlib.util.spec_from_file_location("api_page", ROOT / "scripts" / "api.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.page())


def test_the_page_lists_what_there_is() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    found = difflib.unified_diff(
        page.splitlines(), written_page().splitlines(), "docs/api.md", "the code", lineterm="", n=1
    )
    text = "\n".join(found)
    assert not text, f"The public surface changed. If that is meant, run `make docs`.\n\n{text}"
    for name in napari_voxreg.__all__:
        assert f"### {name}\n" in page or name.startswith("__")


def test_dir_lists_the_public_names_without_loading_them() -> None:
    assert {*napari_voxreg.__all__, "__version__", "load_result", "register"} <= set(dir(napari_voxreg))
    assert not {"Any", "TYPE_CHECKING", "import_module", "logging"} & set(dir(napari_voxreg))
    code = (
        "import sys, napari_voxreg; dir(napari_voxreg); print(len([m for m in sys.modules if 'voxreg' in m]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "1"


def test_the_version_is_that_of_the_distribution() -> None:
    assert napari_voxreg.__version__ == version("napari-voxreg")
    command = [sys.executable, "-m", "napari_voxreg", "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == f"napari-voxreg {napari_voxreg.__version__}"


def test_the_files_of_a_result_are_those_of_the_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(40, 50)).astype(np.float32)
    register(image, np.roll(image, 2, 0), method="translation").save(tmp_path)
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["transform.h5", "transform.json"]
    assert all(f"`{name}`" in page for name in names)
