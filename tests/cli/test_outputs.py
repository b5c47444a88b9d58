"""Outputs that cannot be written, or would cost files of the user's, are refused before anything runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_voxreg import METHODS
from napari_voxreg.cli.main import main
from napari_voxreg.core.params import Params
from napari_voxreg.methods.base import Method, Outcome

PRECIOUS = "years of work"
NOT_UTF8 = "n\udcff"


@pytest.fixture(autouse=True)
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that must not be run."""

    def run(*given: object) -> Outcome:
        raise AssertionError("it ran")

    monkeypatch.setitem(METHODS, "never", Method("never", "Never", Params, run, {"x": {}}, "affine"))


@pytest.fixture
def commands(images: list[str], registered: Path, tmp_path: Path) -> dict[str, list[str]]:
    """Commands with an output, up to its name."""
    table = tmp_path / "list.csv"
    table.write_text("fixed,moving\n" + f"{images[0]},{images[1]}\n{images[1]},{images[0]}\n")
    pairs = [str(table), "--validation", "0"]
    return {
        "register": ["register", *images, "-m", "never"],
        "compare": ["compare", *images, "-m", "never"],
        "apply": ["apply", str(registered), images[1]],
        "evaluate": ["evaluate", *pairs, "-m", "never"],
        "train": ["train", *pairs],
        "clusters": ["clusters", *pairs, "-k", "1"],
        "pairs pack": ["pairs", "pack", *pairs],
        "samples": ["samples", "fundus"],
        "demo": ["demo"],
    }


COMMANDS = ["register", "compare", "apply", "evaluate", "train", "clusters", "pairs pack", "samples", "demo"]
ENDINGS = {"apply": ".nii.gz", "pairs pack": ".h5", "demo": ".png"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_in_the_way_is_refused(
    name: str, commands: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text(PRECIOUS)
    output = tmp_path / "file" / f"out{ENDINGS.get(name, '')}"
    assert main([*commands[name], "-o", str(output)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"napari-voxreg: {tmp_path / 'file'} is not a folder; choose another"), said
    assert said.count("\n") == 1
    assert (tmp_path / "file").read_text() == PRECIOUS


@pytest.mark.parametrize("name", COMMANDS)
def test_names_that_are_not_utf8_are_refused(
    name: str, commands: dict[str, list[str]], tmp_path: Path, refused: Callable[..., str]
) -> None:
    words = [*commands[name], "-o", tmp_path / NOT_UTF8 / f"out{ENDINGS.get(name, '')}"]
    assert r"n\xff" in refused(*words)
    assert not (tmp_path / NOT_UTF8).exists()


@pytest.mark.skipif(os.name != "posix", reason="such names are legal on POSIX")
def test_inputs_with_such_names_are_refused_too(
    images: list[str], tmp_path: Path, refused: Callable[..., str]
) -> None:
    place = tmp_path / NOT_UTF8
    place.mkdir()
    for image in images:
        shutil.copy(image, place)
    out = tmp_path / "out"
    refused("register", place / "fixed.nii.gz", place / "moving.nii.gz", "-o", out, "-m", "never")
    refused("pairs", "list", place)
    shutil.copy(images[0], tmp_path / f"a{NOT_UTF8}.nii.gz")
    shutil.copy(images[1], tmp_path / "b.nii.gz")
    assert "is not UTF-8; rename the file or folder." in refused("pairs", "list", tmp_path)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("register", "warped.gz"),
        ("register", "transform.json"),
        ("register", "elastix.log"),
        ("register", "TransformParameters.0.txt"),
        ("compare", "table.csv"),
        ("compare", "table.md"),
        ("compare", "never/transform.json"),
        ("evaluate", "table.csv"),
        ("evaluate", "summary.md"),
        ("clusters", "clusters.csv"),
        ("train", "pairs.csv"),
        ("train", "best.json"),
        ("train", "pairs.h5"),
    ],
)
def test_files_of_the_users_that_have_our_names_stay(
    name: str, file: str, commands: dict[str, list[str]], tmp_path: Path, refused: Callable[..., str]
) -> None:
    file = "warped.nii.gz" if file == "warped.gz" else file
    out = tmp_path / "out"
    (out / file).parent.mkdir(parents=True, exist_ok=True)
    (out / file).write_text(f'{{"thesis": "{PRECIOUS}"}}')
    said = refused(*commands[name], "-o", out)
    assert str(out / file) in said and "choose another" in said
    assert PRECIOUS in (out / file).read_text()
    assert [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"] == [out / file]


def test_inputs_are_not_written_over(
    images: list[str], registered: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    moving = Path(shutil.copy(images[1], tmp_path / "warped.nii.gz"))
    before = moving.read_bytes()
    said = refused("register", images[0], moving, "-o", tmp_path, "-m", "never")
    assert "warped.nii.gz is an input and would be written over" in said
    assert "is an input" in refused("apply", registered, moving, "-o", moving)
    assert moving.read_bytes() == before
