"""Files are complete or not there; what cannot be written is refused before the work."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import napari_voxreg
from napari_voxreg import figures
from napari_voxreg.core.disk import DiskFull
from napari_voxreg.core.geometry import Grid, Image
from napari_voxreg.io import files
from napari_voxreg.io.files import check_inputs_kept, check_outputs, replace_file
from napari_voxreg.io.flo import write_flo
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.io.pairs import Pair, PairSet, pack
from napari_voxreg.io.transforms import save_transform
from napari_voxreg.transforms import Affine, Displacement

NOISE = np.random.default_rng(0).integers(0, 255, (96, 100)).astype(np.uint8)
FLAT = Grid.from_spacing((96, 100))
FIELD = Displacement(np.random.default_rng(1).standard_normal((96, 100, 2)), FLAT)

posix = pytest.mark.skipif(os.name != "posix", reason="needs limits of the system's")


def pair_set():
    image = Image(NOISE, FLAT, "noise")
    return PairSet((Pair("one", image, image),), ())


def figure():
    return figures.elbow([float(k) for k in range(9, 0, -1)], 3)


WRITERS = {
    "w.nii": lambda path: write_image(Image(NOISE, FLAT), path),
    "w.nii.gz": lambda path: write_image(Image(NOISE, FLAT), path),
    "w.mha": lambda path: write_image(Image(NOISE, FLAT), path),
    "w.nrrd": lambda path: write_image(Image(NOISE, FLAT), path),
    "w.tif": lambda path: write_image(Image(NOISE, FLAT), path),
    "w.png": lambda path: write_image(Image(NOISE, FLAT), path),
    "w.jpg": lambda path: write_image(Image(NOISE, FLAT), path),
    "affine.h5": lambda path: save_transform(Affine.translation([1.0, 2.0]), path, FLAT),
    "field.h5": lambda path: save_transform(FIELD, path, FLAT),
    "w.flo": lambda path: write_flo(path, FIELD.field),
    "pairs.h5": lambda path: pack(pair_set(), path),
    "figure.png": lambda path: figures.save(figure(), path),
    "figure.svg": lambda path: figures.save(figure(), path),
    "figure.pdf": lambda path: figures.save(figure(), path),
}


@pytest.fixture
def limit():
    """Limits the size of files, which acts as a full disk; lifted in the end."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@posix
@pytest.mark.parametrize("name", WRITERS)
def test_on_a_full_disk_nothing_half_written_is_left_and_the_disk_is_named(name, tmp_path, limit):
    path = tmp_path / name
    path.write_bytes(b"earlier")
    limit(2048)
    with pytest.raises(
        DiskFull, match=rf"^The disk of {tmp_path} is full; free some space there, and start again\.$"
    ):
        WRITERS[name](path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"earlier", "what stood there stays"


@posix
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("lacking", [20, 400, 3000])
def test_images_that_itk_cuts_off_without_a_word_are_noticed(ending, lacking, tmp_path, limit):
    size = write_image(Image(NOISE, FLAT), tmp_path / f"whole{ending}").stat().st_size
    limit(size - lacking)
    with pytest.raises(OSError, match=r"(is full; free some|was not written .*check the) space") as said:
        write_image(Image(NOISE, FLAT), tmp_path / f"cut{ending}")
    assert "\n" not in str(said.value) and str(tmp_path) in str(said.value)
    assert [file.name for file in tmp_path.iterdir()] == [f"whole{ending}"]


def test_whole_images_pass_with_nan_in_them(tmp_path):
    pixels = NOISE.astype(np.float32)
    pixels[3, 4] = np.nan
    for ending in (".mha", ".nrrd"):
        np.testing.assert_array_equal(
            read_image(write_image(Image(pixels, FLAT), tmp_path / f"w{ending}")).data, pixels
        )


def test_a_library_that_fails_without_a_reason_is_one_sentence(tmp_path):
    def fails(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("Exception thrown:\n sitk::ERROR: something")

    with pytest.raises(
        OSError, match=r"x\.mha was not written \(.*ERROR: something\); check the space"
    ) as said:
        replace_file(tmp_path / "x.mha", fails)
    assert "\n" not in str(said.value)
    assert list(tmp_path.iterdir()) == []


@posix
def test_files_that_cannot_be_written_are_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"x cannot be written: .*; choose another folder\.$"):
        replace_file(tmp_path / "file" / "x", lambda path: path.write_text("1"))
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match=r"x cannot be written: Is a directory"):
        replace_file(tmp_path / "x", lambda path: path.write_text("1"))


# Before the work ----------------------------------------------------------------------------------------


def test_outputs_that_can_be_written_pass_and_nothing_is_made(tmp_path):
    (tmp_path / "there.png").write_text("earlier")
    check_outputs(tmp_path / "there.png", tmp_path / "new" / "deep" / "x.h5")
    assert [file.name for file in tmp_path.iterdir()] == ["there.png"]


@posix
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("file/x.h5", "file is not a folder"),
        ("file/deep/x.h5", "file is not a folder"),
        ("folder", "folder is a folder"),
        ("nowhere/x.h5", "nowhere is not a folder"),
        ("a" * 300 + "/x.h5", "File name too long"),
        ("n\udcff/x.h5", "not UTF-8"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(name, why, tmp_path):
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises((OSError, ValueError), match=why) as said:
        check_outputs(tmp_path / name)
    assert "\n" not in str(said.value) and str(said.value).endswith(".")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc, where nobody can write")
def test_folders_of_others_are_refused():
    with pytest.raises(OSError, match="cannot be written"):
        check_outputs(Path("/proc/napari-voxreg/x.h5"))


@posix
def test_a_full_disk_is_refused_before_the_work(tmp_path, limit):
    limit(1024)
    with pytest.raises(DiskFull, match=f"The disk of {tmp_path} is full"):
        check_outputs(tmp_path / "x.h5")


def test_inputs_are_not_written_over(tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(b"pixels")
    other = tmp_path / "link.png"
    other.symlink_to(image)
    check_inputs_kept([image, None], [tmp_path / "new.png"])
    for output in (image, other, tmp_path / "." / "image.png"):
        with pytest.raises(ValueError, match="is an input and would be written over"):
            check_inputs_kept([None, image], [tmp_path / "new.png", output])


def test_a_file_that_is_read_is_replaced_once_the_reader_is_done(tmp_path, monkeypatch):
    """As on Windows, where the system refuses it meanwhile."""
    rename, tries = Path.replace, []

    def refused_twice(self, target):
        tries.append(target)
        if len(tries) <= 2:
            raise PermissionError(13, "Permission denied", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refused_twice)
    path = tmp_path / "history.csv"
    path.write_text("old")
    monkeypatch.setattr(files, "PATIENCE", 0.0)
    with pytest.raises(OSError, match=r"history\.csv cannot be written: Permission denied"):
        replace_file(path, lambda target: target.write_text("new"))
    assert path.read_text() == "old"
    monkeypatch.setattr(files, "PATIENCE", 5.0)
    replace_file(path, lambda target: target.write_text("new"))
    assert path.read_text() == "new" and len(tries) == 3


def test_text_has_the_same_line_ends_on_every_system():
    """Files of ours are recognised by how they begin, which must not depend on who wrote them."""
    root = Path(napari_voxreg.__file__).parent
    loose = []
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            parts = (node.func, *node.args)  # also in partial(Path.write_text, ...)
            if any(isinstance(part, ast.Attribute) and part.attr == "write_text" for part in parts):
                given = {word.arg: word.value for word in node.keywords}
                if "newline" not in given or "encoding" not in given:
                    loose.append(f"{file.relative_to(root)}:{node.lineno}")
    assert loose == []
