"""The examples of README.md and docs/*.md are run, page by page, in the order in which they stand."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Displacement, Grid, Image, register, save_transform
from napari_voxreg.cli.main import main
from napari_voxreg.io.images import write_image
from napari_voxreg.transforms import chain
from napari_voxreg.weights import shipped

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# How to add a method has a test of its own, tests/test_how_to.py.
PAGES = [ROOT / "README.md", *sorted(set(DOCS.rglob("*.md")) - {DOCS / "how-to" / "add-a-method.md"})]


def title(page: Path) -> str:
    """What a page is called here: its path in docs/, or its name."""
    return page.relative_to(DOCS).as_posix() if page.is_relative_to(DOCS) else page.name


WINDOWS = ("layers.md", "panel.md")  # their examples have a viewer
SLOW = (
    "README.md",
    "clusters.md",
    "evaluation.md",
    "panel.md",
    "samples.md",
    "start.md",
    "training.md",
    *(
        f"tutorials/{name}.md"
        for name in ("cohort", "fundus", "sar", "scripting", "sections", "training", "visits")
    ),
)  # over ten seconds each
# How the commands begin that are not run, and why.
NOT_RUN = {
    "make ": "works on a checkout",
    "pip install": "installs",
    "python -m napari_voxreg.train recipe NAME": "takes hours, NAME stands for any",
    "python scripts/train_weights.py": "takes hours",
    "OMP_NUM_THREADS=1 python scripts/training_sar.py": "takes many minutes",
    'xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/training_sar.py': "takes many minutes",
}


@dataclass(frozen=True)
class Example:
    """A block of code on a page: its kind (python, sh or text), the line where it begins, and its text."""

    kind: str
    line: int
    text: str


def examples(page: str) -> Iterator[Example]:
    """The fenced and the indented blocks of a page; what is indented is for the shell."""
    kind, first, lines = "", 0, []
    for number, line in enumerate([*page.splitlines(), ""], start=1):
        if kind in ("", "indented"):
            if line.startswith("```"):
                kind, first, lines = line[3:].strip() or "untagged", number + 1, []
            elif line.startswith("    ") and line.strip():
                kind, first, lines = "indented", first if lines else number, [*lines, line.strip()]
            elif kind:
                yield Example("sh", first, "\n".join(lines))
                kind, lines = "", []
        elif line == "```":
            yield Example(kind, first, "\n".join(lines))
            kind, lines = "", []
        else:
            lines.append(line)


FOUND = {page: list(examples(page.read_text(encoding="utf-8"))) for page in PAGES}


def shorter(text: str) -> str:
    """The same example with as few epochs as it works with."""
    text = re.sub(r"(--resume --epochs )\d+", r"\g<1>2", text)
    return re.sub(r"(?<!--resume )(--epochs |epochs=)\d+", r"\g<1>1", text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the files that the examples name: small pairs of two kinds."""
    rng, grid = np.random.default_rng(0), Grid.from_spacing((32, 40))
    stripes = np.sin(np.arange(32) / 2)[:, None] * np.ones(40)
    for k in range(12):
        smooth = gaussian_filter(rng.standard_normal(grid.shape), 3)
        scene = (stripes + 0.1 * rng.standard_normal(grid.shape)) if k % 2 else 10 * smooth
        for side, shift in (("fixed", 0), ("moving", 2)):
            image = Image(np.roll(scene, shift, 0).astype(np.float32), grid)
            write_image(image, tmp_path / "visits" / side / f"{k}.tif")
            write_image(image, tmp_path / side / f"{k}.tif")
    rows = [f"../../fixed/{k}.tif,../../moving/{k}.tif" for k in range(12)]
    (tmp_path / "clusters" / "pairs").mkdir(parents=True)
    (tmp_path / "clusters" / "pairs" / "pairs.csv").write_text("\n".join(["fixed,moving", *rows]))
    for names, image in zip((("fixed.png", "a.tif"), ("moving.png", "b.tif")), pair(), strict=True):
        for name in names:
            write_image(image, tmp_path / name)
    write_foreign(tmp_path)
    for suffix in (".safetensors", ".json"):
        shutil.copy(shipped("voxelmorph", 2).with_suffix(suffix), tmp_path / f"mine{suffix}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


LTA = """type = 1
nxforms = 1
mean = 0 0 0
sigma = 1
1 4 4
1 0 0 1
0 1 0 2
0 0 1 3
0 0 0 1
"""


def write_foreign(folder: Path) -> None:
    """Results of other programs."""
    fixed, moving = pair()
    write_image(fixed, folder / "fixed.nii.gz")
    write_image(moving, folder / "moving.nii.gz")
    volume = Grid.from_spacing((6, 7, 8), 2.0, units="millimeter")
    for name in ("reference", "input"):
        write_image(Image(np.ones(volume.shape, np.uint8), volume), folder / f"{name}.nii.gz")
    shift, field = Affine.translation((1.0, 2.0)), Displacement(np.ones((64, 72, 2)), fixed.grid)
    save_transform(chain(field, shift), folder / "ants_", fixed.grid, format="ants")
    save_transform(shift, folder / "TransformParameters.0.txt", fixed.grid, format="elastix")
    for name in ("flirt.mat", "affine.txt"):
        np.savetxt(folder / name, np.eye(4))
    (folder / "register.lta").write_text(LTA)
    (folder / "align.aff12.1D").write_text("1 0 0 1 0 1 0 2 0 0 1 3\n")
    points = np.random.default_rng(0).uniform(0, 60, (6, 2)).tolist()
    rows = [f'"Pt-{k}","true","{x + 1}","{y}","{x}","{y}"' for k, (x, y) in enumerate(points)]
    (folder / "landmarks.csv").write_text("\n".join(rows))
    np.save(folder / "layer.npy", np.eye(3))


def pair() -> tuple[Image, Image]:
    """Two images of one scene, a few pixels apart."""
    scene = gaussian_filter(np.random.default_rng(1).standard_normal((84, 92)), 3)
    scene = (255 * (scene - scene.min()) / np.ptp(scene)).astype(np.uint8)
    grid = Grid.from_spacing((64, 72))
    return Image(scene[10:74, 10:82], grid), Image(scene[8:72, 11:83], grid)


def namespace() -> dict[str, Any]:
    """What the Python examples of a page take for granted."""
    fixed, moving = pair()
    points = np.array([[3.0, 4.0], [5.0, 6.0]])
    given = {"fixed": fixed, "moving": moving, "transform": Affine.identity(2), "fixed_points": points}
    return {"__name__": "__main__", "register": register, **given}


def run_commands(text: str) -> None:
    """Run each line of a shell example; what cannot be run is in `NOT_RUN`."""
    for line in text.splitlines():
        if line.startswith(tuple(NOT_RUN)):
            continue
        program, *words = shlex.split(line, comments=True)
        assert program == "napari-voxreg", f"run {line!r} here, or name it in NOT_RUN"
        assert main(words) == 0, line


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_examples_are_tagged(page: Path) -> None:
    kinds = {example.kind for example in FOUND[page]}
    assert kinds <= {"python", "sh", "text"}, "tag a block python or sh, which run it, or text"


def test_all_that_is_not_run_stands_on_a_page() -> None:
    lines = [line for found in FOUND.values() for example in found for line in example.text.splitlines()]
    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if title(page) in SLOW else [], id=title(page))
        for page in PAGES
        if title(page) not in WINDOWS and FOUND[page]
    ],
)
def test_examples_run(page: Path, folder: Path) -> None:
    names = namespace()
    for example in FOUND[page]:
        if example.kind == "python":
            exec(compile(shorter(example.text), f"{title(page)}:{example.line}", "exec"), names)
        elif example.kind == "sh":
            run_commands(shorter(example.text))
    if page.name == "README.md":
        assert (folder / "fundus" / "transform.h5").is_file()
        assert (folder / "run" / "best.safetensors").is_file()
        assert (folder / "table" / "table.csv").is_file()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in WINDOWS]
)
def test_examples_with_a_viewer_run(
    name: str, folder: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Statement by statement: each waits until the panel, if there is one, has done what it was told."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        pytest.skip("no display: run the tests with xvfb-run -a")
    qtbot = request.getfixturevalue("qtbot")
    viewer = request.getfixturevalue("make_napari_viewer")(show=True)
    names = {**namespace(), "viewer": viewer}
    names["layer"] = movie = viewer.add_image(np.zeros((3, 8, 8)), name="movie")
    for title, image in zip(("fixed", "moving", "visit 2019", "visit 2021"), pair() * 2, strict=True):
        viewer.add_image(image.data, name=title)
    for example in FOUND[ROOT / "docs" / name]:
        assert example.kind == "python"
        for statement in ast.parse(example.text).body:
            code = compile(ast.Module([statement], []), f"{name}:{example.line}", "exec")
            exec(code, names)
            panel = names.get("panel")
            if panel is not None:
                qtbot.waitUntil(lambda: not panel.busy, timeout=120_000)  # noqa: B023 - waits at once
    if name == "panel.md":
        # A run that takes long is announced by napari as well, on a line of its own.
        assert "\nBetter" in f"\n{capsys.readouterr().out}"
        assert [row.method for row in panel.table.rows] == ["before", "elastix", "affine", "bspline"]
    else:
        assert movie.axis_labels == ("t", "y", "x")
        assert any("SSIM" in layer.name for layer in viewer.layers)


def test_the_examples_are_found() -> None:
    page = "# Title\n    make one\n    make two\n\ntext\n```python\nif x:\n    y\n```\n\n```\nz\n```\n"
    assert list(examples(page)) == [
        Example("sh", 2, "make one\nmake two"),
        Example("python", 7, "if x:\n    y"),
        Example("untagged", 12, "z"),
    ]
    assert shorter("train a --epochs 20\ntrain b --resume --epochs 200") == (
        "train a --epochs 1\ntrain b --resume --epochs 2"
    )


def test_make_has_a_recipe_for_each_command_on_a_page() -> None:
    pages = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "Makefile"]
    named = {
        name
        for page in pages
        for name in re.findall(r"\bmake ([a-z][a-z-]*)\b(?=`| +[A-Z]| {2})", page.read_text("utf-8"))
    }
    made = set(
        re.findall(r"^([a-z-]+):(?!=).*\n(?:\t|\n*$)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    assert {"test", "fuzz", "bench"} <= named and named <= made
