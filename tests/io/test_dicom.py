"""Slices of a DICOM series lie where they were taken, or are refused."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg.io.images import read_image
from napari_voxreg.io.pairs import open_pairs

C, S = np.cos(0.3), np.sin(0.3)
UPRIGHT = (1.0, 0, 0, 0, 1, 0)
TILTED = (1.0, 0, 0, 0, C, S)
NORMAL = np.cross(TILTED[:3], TILTED[3:])


def write(
    folder: Path,
    positions: Sequence[Sequence[float]],
    orientations: Sequence[Sequence[float]] = (UPRIGHT,),
    ending: str = ".dcm",
) -> Path:
    """A series with slices k of value k at these positions (x, y, z), its files out of order."""
    folder.mkdir()
    for k, position in enumerate(positions):
        slice_ = sitk.GetImageFromArray(np.full((20, 24), k, np.int16))
        slice_.SetSpacing((0.8, 0.7))
        orientation = orientations[k % len(orientations)]
        tags = {
            "0008|0060": "MR",
            "0008|0018": f"1.2.3.{k + 1}",
            "0020|000e": "1.2.3",
            "0020|000d": "1.2",
            "0020|0013": str(k),
            "0020|0032": "\\".join(f"{x:.6f}" for x in position),
            "0020|0037": "\\".join(f"{x:.8f}" for x in orientation),
        }
        for tag, value in tags.items():
            slice_.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(folder / f"{(7 * k) % 10}{ending}"))
        writer.Execute(slice_)
    return folder


def planes(image) -> np.ndarray:
    """Where each plane's first pixel lies, (x, y, z)."""
    return image.grid.to_world([[k, 0, 0] for k in range(image.grid.shape[0])])[:, ::-1]


def stack(*heights: float) -> list[tuple[float, float, float]]:
    return [(-4.0, 9.0, z) for z in heights]


EVEN = {
    "upright": (stack(0, 3, 6, 9), UPRIGHT),
    "downwards": (stack(9, 6, 3, 0), UPRIGHT),
    "oblique": ([tuple(2.5 * k * NORMAL) for k in range(5)], TILTED),
    "gantry tilted": ([(0.0, 0.8 * k, 3.0 * k) for k in range(5)], UPRIGHT),
    "two slices": (stack(1, 6), UPRIGHT),
}


@pytest.mark.parametrize("case", EVEN)
def test_planes_lie_where_the_slices_were_taken(tmp_path, case):
    positions, orientation = EVEN[case]
    image = read_image(write(tmp_path / "mr", positions, [orientation]))
    values = image.data[:, 0, 0]
    assert sorted(values) == list(range(len(positions)))
    assert np.allclose(planes(image), np.array(positions)[values], atol=1e-3)
    assert image.notes == ()


UNEVEN = {
    "one missing": (stack(0, 3, 6, 12, 15), "3 to 6 mm apart"),
    "two missing": (stack(0, 3, 12, 15), "3 to 9 mm apart"),
    "uneven": (stack(0, 2, 5, 6, 9), "1 to 3 mm apart"),
    "missing and oblique": ([tuple(k * NORMAL) for k in (0, 1, 2, 4, 5)], "1 to 2 mm apart"),
    "two echoes": (stack(0, 0, 3, 3, 6, 6), "3 of 6 slices lie where another does"),
    "one twice": (stack(0, 3, 6, 6, 9), "1 of 5 slices lie where another does"),
}


@pytest.mark.parametrize("case", UNEVEN)
def test_a_series_without_an_even_grid_is_refused(tmp_path, case):
    positions, words = UNEVEN[case]
    orientation = TILTED if "oblique" in case else UPRIGHT
    with pytest.raises(ValueError, match=rf"mr.* {words}.*; (add|put)"):
        read_image(write(tmp_path / "mr", positions, [orientation]))


def test_slices_across_each_other_are_refused(tmp_path):
    with pytest.raises(ValueError, match="mr holds slices of several orientations"):
        read_image(write(tmp_path / "mr", stack(0, 3, 6, 9), [UPRIGHT, TILTED]))


def test_small_unevenness_is_read_and_said(tmp_path):
    image = read_image(write(tmp_path / "mr", stack(0, 3, 6.1, 9)))
    assert image.notes == ("The slices of mr lie up to 0.1 mm beside the even grid on which they are read.",)
    assert np.allclose(planes(image)[:, 2], (0, 3, 6, 9), atol=1e-3)


@pytest.mark.parametrize("ending", ["", ".001", ".MR"])
def test_files_need_no_ending(tmp_path, ending):
    folder = write(tmp_path / "1.2.840", stack(0, 3, 6), ending=ending)
    assert read_image(folder).grid.shape == (3, 20, 24)
    single = read_image(folder / f"0{ending}")
    assert single.data.shape == (1, 20, 24)
    assert single.name == f"0{ending}"
    assert np.allclose(single.grid.spacing[1:], (0.7, 0.8))
    assert len(open_pairs(folder).all) == 2


def test_other_files_without_an_ending_are_refused(tmp_path):
    (tmp_path / "notes").write_text("x" * 200)
    with pytest.raises(ValueError, match=r"notes cannot be read; .* unless it is DICOM"):
        read_image(tmp_path / "notes")


def element(tag: int, kind: str, value: bytes | str) -> bytes:
    """One element in explicit little endian."""
    value = value.encode() if isinstance(value, str) else value
    value += (b"\0" if kind == "UI" else b" ") * (len(value) % 2)
    long = kind in ("OB", "OW", "SQ")
    size = struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind.encode() + size + value


def sequence(tag: int, items: Sequence[bytes]) -> bytes:
    heads = (struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) for item in items)
    return element(tag, "SQ", b"".join(head + item for head, item in zip(heads, items, strict=True)))


def write_frames(
    path: Path, positions: Sequence[Sequence[float]], orientations: Sequence[Sequence[float]] = (UPRIGHT,)
) -> Path:
    """An enhanced multi-frame file with frames k of value k at these positions (x, y, z)."""

    def numbers(tag: int, values: Sequence[float]) -> bytes:
        return element(tag, "DS", "\\".join(f"{x:.6f}" for x in values))

    def short(tag: int, value: int) -> bytes:
        return element(tag, "US", struct.pack("<H", value))

    turns = [sequence(0x00209116, [numbers(0x00200037, each)]) for each in orientations]
    own = [b""] * len(positions) if len(turns) == 1 else turns
    places = [sequence(0x00209113, [numbers(0x00200032, position)]) for position in positions]
    kind = "1.2.840.10008.5.1.4.1.1.4.1"
    meta = element(0x00020002, "UI", kind) + element(0x00020003, "UI", "1.2.3.4")
    meta += element(0x00020010, "UI", "1.2.840.10008.1.2.1")
    pixels = np.stack([np.full((20, 24), k, "<u2") for k in range(len(positions))])
    parts = [
        bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta,
        element(0x00080016, "UI", kind) + element(0x00080018, "UI", "1.2.3.4"),
        element(0x00080060, "CS", "MR")
        + element(0x0020000D, "UI", "1.2")
        + element(0x0020000E, "UI", "1.2.3"),
        short(0x00280002, 1) + element(0x00280004, "CS", "MONOCHROME2"),
        element(0x00280008, "IS", str(len(positions))) + short(0x00280010, 20) + short(0x00280011, 24),
        short(0x00280100, 16) + short(0x00280101, 16) + short(0x00280102, 15) + short(0x00280103, 0),
        sequence(
            0x52009229,
            [
                (turns[0] if len(turns) == 1 else b"")
                + sequence(0x00289110, [numbers(0x00180050, [3]) + numbers(0x00280030, (0.7, 0.8))])
            ],
        ),
        sequence(0x52009230, [a + b for a, b in zip(own, places, strict=True)]),
        element(0x7FE00010, "OW", pixels.tobytes()),
    ]
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("case", EVEN)
def test_frames_of_one_file_lie_where_they_were_taken(tmp_path, case, folder):
    positions, orientation = EVEN[case]
    (tmp_path / "mr").mkdir()
    path = write_frames(tmp_path / "mr" / "x.dcm", positions, [orientation])
    image = read_image(path.parent if folder else path)
    values = image.data[:, 0, 0]
    assert sorted(values) == list(range(len(positions)))
    assert np.allclose(planes(image), np.array(positions)[values], atol=1e-3)
    assert np.allclose(image.grid.spacing[1:], (0.7, 0.8))


@pytest.mark.parametrize("case", [*UNEVEN, "out of order", "across each other"])
def test_frames_without_an_even_grid_are_refused_like_a_series(tmp_path, case):
    positions, words = UNEVEN.get(case, (stack(0, 6, 3, 9), "not stored in the order of their places"))
    orientations = [TILTED if "oblique" in case else UPRIGHT]
    if case == "across each other":
        words, orientations = "several orientations", [UPRIGHT, TILTED, UPRIGHT, TILTED]
    path = write_frames(tmp_path / "x.dcm", positions, orientations)
    with pytest.raises(ValueError, match=rf"x\.dcm.* {words}.*; convert it with dcm2niix"):
        read_image(path)


def test_small_unevenness_of_frames_is_said(tmp_path):
    image = read_image(write_frames(tmp_path / "x.dcm", stack(0, 3, 6.1, 9)))
    assert "lie up to 0.1 mm beside the even grid" in image.notes[0]
