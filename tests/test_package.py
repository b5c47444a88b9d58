"""The package as users get it: a light import and a complete wheel."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import napari_voxreg
from napari_voxreg import METHODS

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "itk", "SimpleITK", "qtpy", "PyQt6", "napari", "magicgui")


def run(code: str, **options: object) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        **options,  # type: ignore[call-overload]
    )
    return str(done.stdout).strip()


def test_import_is_light() -> None:
    loaded = run(
        f"import sys, napari_voxreg; print([name for name in {HEAVY} if name in sys.modules])",
    )
    assert loaded == "[]"


def test_import_is_quick() -> None:
    # CPU time, taken inside: neither the start of the interpreter nor what else the machine does counts.
    code = "import time; t = time.process_time(); import napari_voxreg; print(time.process_time() - t)"
    assert statistics.median(float(run(code)) for _ in range(5)) < 0.2


def test_every_public_name_is_there() -> None:
    for name in napari_voxreg.__all__:
        assert getattr(napari_voxreg, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_voxreg.nothing


def test_training_and_judging_are_there_without_torch() -> None:
    """What finds pairs and judges methods needs none; and no module hides a function of the same name."""
    code = (
        "import sys, napari_voxreg, napari_voxreg.evaluation, napari_voxreg.train\n"
        "from napari_voxreg import TrainOptions, evaluate, open_pairs\n"
        "print(evaluate.__module__, open_pairs.__module__, TrainOptions().epochs, 'torch' in sys.modules)"
    )
    assert run(code) == "napari_voxreg.evaluation.run napari_voxreg.io.pairs.opening 100 False"
    assert napari_voxreg.train_pairs.__module__ == "napari_voxreg.train.run"


def project() -> dict[str, Any]:
    """The project's own table in pyproject.toml."""
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def requirements() -> dict[str, Requirement]:
    """What the package needs, extras included, by name."""
    texts = [*project()["dependencies"], *chain(*project()["optional-dependencies"].values())]
    return {r.name.lower(): r for r in map(Requirement, texts)}


def test_versions_are_tested_ones() -> None:
    """What the package needs is pinned for the set-up, and torch never comes with CUDA by accident."""
    constraints = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
        if "==" in line
    )
    assert set(requirements()) - set(constraints) == {"napari-voxreg"}
    assert constraints["torch"] == "2.13.0"


def test_every_dependency_has_a_lower_bound() -> None:
    """So that scripts/lowest.py can show that it is true."""
    loose = [
        name
        for name, requirement in requirements().items()
        if name not in ("napari-voxreg",)
        and not requirement.extras
        and not any(bound.operator == ">=" for bound in requirement.specifier)
    ]
    assert loose == []


def test_every_imported_package_is_declared() -> None:
    """A package that is there only because another one needs it may be gone tomorrow."""
    names = {
        "cv2": "opencv-python-headless",
        "itk": "itk-elastix",
        "PIL": "pillow",
        "skimage": "scikit-image",
    }
    imported = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module))
    packages = {name.split(".")[0] for name in imported} - sys.stdlib_module_names - {"napari_voxreg"}
    assert len(packages) > 15
    declared = {name.replace("-", "_") for name in requirements()}
    assert {names.get(p, p).replace("-", "_").lower() for p in packages} - declared == set()


def test_elastix_is_an_extra_and_inside_all() -> None:
    extras = project()["optional-dependencies"]
    assert not any("itk" in Requirement(need).name.lower().split("-") for need in project()["dependencies"])
    assert [Requirement(need).name for need in extras["elastix"]] == ["itk-elastix"]
    (ours,) = (need for need in map(Requirement, extras["all"]) if need.name == "napari-voxreg")
    assert ours.extras == {"elastix", "cluster", "large"}
    assert METHODS["elastix"].extra in extras


def test_the_citation_is_of_this_version() -> None:
    """Of the release that is being prepared; the version itself is that of the tag."""
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert f"\nversion: {tools['hatch']['version']['fallback-version']}\n" in citation
    assert project()["urls"]["Source"] in citation


def test_the_conda_recipe_requires_the_same() -> None:
    """With the names of conda-forge, where some differ, and the same lower bounds."""
    names = {
        "dask": "dask-core",
        "lightning-fabric": "pytorch-lightning",  # which brings the module lightning_fabric
        "matplotlib": "matplotlib-base",  # without Qt, which napari's users choose
        "napari": "napari-base",
        "opencv-python-headless": "py-opencv",
        "torch": "pytorch",
    }
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    there = dict(line.split(" >=") for line in recipe["requirements"]["run"])
    assert there.pop("python") == "${{ python_min }}"
    needs = {r.name.lower(): str(r.specifier)[2:] for r in map(Requirement, project()["dependencies"])}
    needs["opencv-python-headless"] = "4.10"  # of which pip's has a fourth number
    assert there == {names.get(name, name): bound for name, bound in needs.items()}
    assert recipe["context"]["python_min"] == project()["requires-python"].removeprefix(">=")
    assert recipe["about"]["summary"] == project()["description"]


SITE = "https://napari-voxreg.github.io/napari-voxreg/"
FILES = (
    "https://github.com/napari-voxreg/napari-voxreg/blob/main/",
    "https://raw.githubusercontent.com/napari-voxreg/napari-voxreg/main/",
)
GENERATED = ("reference/methods/", "reference/command-line")  # by scripts/site_pages.py


def test_links_of_the_readme_are_absolute_and_lead_somewhere() -> None:
    """PyPI and the hub show the page alone."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)|^\[[a-z-]+\]: (\S+)", text, re.MULTILINE)
    links = [a or b for a, b in targets]
    assert len(links) > 30 and all(link.startswith("https://") for link in links)
    defined = set(re.findall(r"^\[([a-z-]+)\]: ", text, re.MULTILINE))
    assert set(re.findall(r"\]\[([a-z-]+)\]", text)) == defined
    for link in links:
        for root in FILES:
            if link.startswith(root):
                assert (ROOT / link.removeprefix(root)).is_file(), link
        if link.startswith(SITE):
            page = link.removeprefix(SITE).rstrip("/") or "index"
            assert (ROOT / "docs" / f"{page}.md").is_file(), link


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[a-z0-9/-]+\.md", text[text.index("\nnav:") :]))
    pages = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    assert {page for page in listed if not page.startswith(GENERATED)} == pages
    assert (ROOT / "docs" / "images" / "register.gif").stat().st_size < 4_000_000


def test_sentences_under_troubleshooting_are_in_the_code() -> None:
    """So that whoever searches for what the panel says finds it, also after it was reworded."""
    said = []
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                said.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.append(node.value)
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert len(quoted) > 20
    for sentence in quoted:
        pieces = [piece.strip() for piece in sentence.split("…") if len(piece.strip()) > 2]
        shape = re.compile(".*".join(map(re.escape, pieces)), re.DOTALL)
        assert any(shape.search(text) for text in said), f"{sentence!r} is said nowhere"


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=250)
    return next(folder.glob("*.whl"))


def test_wheel_is_complete(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "napari.yaml",
        "py.typed",
        "cli/main.py",
        "gui/register/panel.py",
        "sample_data/README.md",
    ):
        assert f"napari_voxreg/{wanted}" in names
    assert not [name for name in names if name.startswith(("tests/", "scripts/", "docs/"))]


def test_installed_wheel_finds_its_samples(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--target", str(target), str(wheel)], check=True, timeout=250)
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "from napari_voxreg.samples import SAMPLES, folder\n"
        "names = {file.name for file in folder().rglob('*')}\n"
        "assert all(any(file.startswith(name) for file in names) for name in SAMPLES), names\n"
        "print(folder())"
    )
    assert Path(run(code, cwd=tmp_path)) == target / "napari_voxreg" / "sample_data"
