"""Images come back from disk with their pixels and their place, or a plain sentence comes instead."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_voxreg import Grid, Image
from napari_voxreg.io.images import read_image, read_series, write_image, write_like

C, S = math.cos(0.3), math.sin(0.3)
FLAT_TURN = np.array([[C, -S], [S, C]])
TURN = np.eye(3)
TURN[1:, 1:] = FLAT_TURN
MEDICAL = (".mha", ".nii", ".nii.gz", ".nrrd")
RNG = np.random.default_rng(0)
VOLUME = RNG.integers(-900, 900, (8, 20, 30)).astype(np.int16)
PLANE = RNG.normal(size=(20, 30)).astype(np.float32)


def turned(ndim: int) -> Grid:
    """A grid with unequal spacing, an origin and a rotation."""
    shape, spacing, origin = (
        ((8, 20, 30), (3, 1.5, 2.0), (3, -4.0, 7)) if ndim == 3 else ((20, 30), (1.5, 2.0), (3, -4))
    )
    return Grid.from_spacing(shape, spacing, origin, TURN if ndim == 3 else FLAT_TURN, "millimeter")


def sheared() -> Grid:
    """A plane whose axes are not at right angles."""
    affine = turned(2).affine.copy()
    affine[0, 1] += 0.5
    return Grid((20, 30), affine, ("millimeter",) * 2)


def mirrored() -> Grid:
    """A plane with one axis running backwards."""
    return Grid((20, 30), turned(2).affine @ np.diag([-1.0, 1.0, 1.0]), ("millimeter",) * 2)


def series() -> Grid:
    """Five volumes in time."""
    units = ("second", *("millimeter",) * 3)
    return Grid.from_spacing((5, 8, 20, 30), (2.5, 3, 1.5, 2.0), (0, 3, -4.0, 7), units=units)


def metres(turn: np.ndarray | None = None) -> Grid:
    """A map at true coordinates."""
    return Grid.from_spacing((20, 30), (10.0, 12.0), (-5_250_000.0, 431_000.0), turn, "meter")


MICRO = Grid.from_spacing((20, 30), (0.5, 0.6), (22.0, -9.0), units="micrometer")
STACK = Grid.from_spacing((8, 20, 30), (2.0, 0.5, 0.6), (1.0, 22.0, -9.0), units="micrometer")
PLAIN = Grid.from_spacing((20, 30))
FRAMES = np.stack([VOLUME + k for k in range(5)])
COLOURS = RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)
CASES = [
    *[(e, Image(VOLUME, turned(3))) for e in MEDICAL],
    *[(e, Image(PLANE, turned(2))) for e in MEDICAL],
    *[(e, Image(PLANE, mirrored())) for e in MEDICAL],
    *[(e, Image(COLOURS, turned(2))) for e in MEDICAL],
    *[(e, Image(RNG.normal(size=(5, 8, 20, 30)).astype(np.float32), series())) for e in MEDICAL],
    (".mha", Image(PLANE, sheared())),
    *[(e, Image(PLANE, replace(turned(2), units=("pixel",) * 2))) for e in MEDICAL],
    *[(e, Image(VOLUME, replace(turned(3), units=("pixel",) * 3))) for e in MEDICAL],
    *[(e, Image(FRAMES, replace(series(), units=("second", *("pixel",) * 3)))) for e in MEDICAL],
    (".tif", Image(PLANE, metres())),
    (".tif", Image(PLANE, metres(FLAT_TURN))),
    (".tif", Image((PLANE + 1j * PLANE[::-1]).astype(np.complex64), metres())),
    (".tif", Image(VOLUME[0].astype(np.uint16), MICRO)),
    (".tif", Image(COLOURS, MICRO)),
    (".tif", Image(RNG.normal(size=(20, 30, 5)).astype(np.float32), MICRO)),
    (".tif", Image(VOLUME, STACK)),
    (".tif", Image(np.stack([VOLUME, -VOLUME], axis=-1), STACK)),
    (".tif", Image(PLANE.astype(np.float64), PLAIN)),
    (".png", Image(COLOURS, PLAIN)),
    (".png", Image(VOLUME[0].astype(np.uint16), PLAIN)),
]


@pytest.mark.parametrize(("ending", "image"), CASES, ids=[f"{k}{e}" for k, (e, _) in enumerate(CASES)])
def test_what_is_written_is_read(tmp_path, ending, image):
    found = read_image(write_image(image, tmp_path / f"scan{ending}"))
    assert np.array_equal(found.data, image.data)
    assert found.data.dtype == image.data.dtype
    assert found.grid.same_as(image.grid)
    assert found.name == "scan"
    assert [p.name for p in tmp_path.iterdir()] == [f"scan{ending}"]


def test_micrometres_are_written_as_millimetres(tmp_path):
    found = read_image(write_image(Image(PLANE, MICRO), tmp_path / "a.mha"))
    assert found.grid.same_as(MICRO.in_units(("millimeter",) * 2))


def test_nan_is_kept(tmp_path):
    holed = PLANE.copy()
    holed[3, 4] = np.nan
    assert np.isnan(read_image(write_image(Image(holed, turned(2)), tmp_path / "a.mha")).data[3, 4])


def test_a_folder_whose_subfolders_hold_the_slices_names_one(tmp_path):
    (tmp_path / "study" / "series 1").mkdir(parents=True)
    (tmp_path / "study" / "series 1" / "0001").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(
        ValueError, match=r"study holds no DICOM files; give one in it, such as .*series 1\.$"
    ):
        read_series(tmp_path / "study")


def test_a_packed_file_is_not_taken_for_its_unpacked_neighbour(tmp_path):
    write_image(Image(VOLUME, turned(3)), tmp_path / "a.nii")
    write_image(Image(-VOLUME, turned(3)), tmp_path / "a.nii.gz")
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").data, -VOLUME)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
def test_shear_is_refused_where_it_would_be_lost(tmp_path, ending):
    with pytest.raises(ValueError, match=r"not at right angles.*write \.mha"):
        write_image(Image(PLANE, sheared()), tmp_path / f"a{ending}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "image", "words"),
    [
        ("a.png", Image(COLOURS, MICRO), "no spacing or origin"),
        ("a.png", Image(PLANE, PLAIN), "float32"),
        ("a.tif", Image(PLANE, turned(2)), "no rotated or mirrored axes"),
        ("a.mha", Image(PLANE.astype(complex), turned(2)), "complex"),
        ("a.dcm", Image(PLANE, turned(2)), "files are written as"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, name, image, words):
    with pytest.raises(ValueError, match=words):
        write_image(image, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [*MEDICAL, ".tif", ".png"])
def test_a_cut_file_is_refused(tmp_path, ending):
    image = {".tif": Image(PLANE, metres()), ".png": Image(COLOURS, PLAIN)}.get(
        ending, Image(VOLUME, turned(3))
    )
    path = write_image(image, tmp_path / f"a{ending}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"^a\..* cannot be read; it may be damaged or cut off\.$"):
        read_image(path)


def test_missing_unknown_and_empty_are_said_plainly(tmp_path):
    (tmp_path / "a.xyz").write_text("?")
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(ValueError, match="There is no file"):
        read_image(tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"a\.xyz cannot be read; its name must end in"):
        read_image(tmp_path / "a.xyz")
    with pytest.raises(ValueError, match="damaged"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match="holds no DICOM files"):
        read_image(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no folders without write permission")
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_image(Image(PLANE, turned(2)), tmp_path / "a.mha")
    before = path.read_bytes()
    import SimpleITK as sitk

    def broken(image: object, name: str, **options: object) -> None:
        Path(name).write_bytes(b"half")
        raise RuntimeError("disk full")

    monkeypatch.setattr(sitk, "WriteImage", broken)
    with pytest.raises(OSError, match="disk full"):
        write_image(Image(-PLANE, turned(2)), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mha"]


def test_like_takes_the_other_files_format_or_one_that_fits(tmp_path):
    assert write_like(Image(VOLUME, turned(3)), tmp_path / "warped", "scan.nii.gz").name == "warped.nii.gz"
    assert write_like(Image(PLANE, sheared()), tmp_path / "warped", "scan.nii.gz").name == "warped.mha"
    assert write_like(Image(PLANE, turned(2)), tmp_path / "warped", "slice.dcm").name == "warped.mha"


def geotiff(path: Path, raster: int, model: int = 1, unit: int = 9001, **tags: tuple) -> Path:
    """A GeoTIFF as other programs write it."""
    keys = (1, 1, 0, 3, 1024, 0, 1, model, 1025, 0, 1, raster, 3076, 0, 1, unit)
    extra = [(34735, 3, len(keys), keys, True)]
    extra += [
        ({"scale": 33550, "tie": 33922, "matrix": 34264}[k], 12, len(v), v, True) for k, v in tags.items()
    ]
    tifffile.imwrite(path, PLANE, extratags=extra, metadata=None)
    return path


def test_map_coordinates_are_of_pixel_centres_with_rows_southward(tmp_path):
    tags = {"scale": (10.0, 20.0, 0.0), "tie": (0.0, 0, 0, 500_000.0, 5_000_000.0, 0)}
    area = read_image(geotiff(tmp_path / "area.tif", 1, **tags)).grid
    point = read_image(geotiff(tmp_path / "point.tif", 2, **tags)).grid
    assert np.allclose(point.origin, (-5_000_000, 500_000))
    assert np.allclose(area.origin, (-5_000_000 + 10, 500_000 + 5))  # half a pixel southward and eastward
    assert np.allclose(area.spacing, (20, 10))
    assert area.units == ("meter", "meter")


def test_a_matrix_places_a_map_too(tmp_path):
    matrix = (10.0, 2, 0, 500_000, 1, -20, 0, 5_000_000, 0, 0, 0, 0, 0, 0, 0, 1)
    grid = read_image(geotiff(tmp_path / "a.tif", 2, matrix=matrix)).grid
    # Row 3, column 4: easting 500000 + 10 * 4 + 2 * 3, northing 5000000 + 4 - 60.
    assert np.allclose(grid.to_world([[3, 4]]), [[-(5_000_000 + 4 - 60), 500_000 + 40 + 6]])


def test_geographic_coordinates_are_degrees(tmp_path):
    tags = {"scale": (1e-4, 1e-4, 0.0), "tie": (0.0, 0, 0, 12.5, 48.0, 0)}
    grid = read_image(geotiff(tmp_path / "a.tif", 2, model=2, **tags)).grid
    assert grid.units == ("degree", "degree")
    assert np.allclose(grid.origin, (-48.0, 12.5))


@pytest.mark.parametrize(
    ("code", "unit"), [(9001, "meter"), (9002, "foot"), (9003, "survey_foot"), (32767, "meter")]
)
def test_maps_have_units(tmp_path, code, unit):
    tags = {"scale": (10.0, 20.0, 0.0), "tie": (0.0, 0, 0, 500_000.0, 5_000_000.0, 0)}
    grid = read_image(geotiff(tmp_path / "a.tif", 2, unit=code, **tags)).grid
    assert grid.units == (unit, unit)


def test_a_map_without_keys_counts_in_metres_from_the_pixels_corner(tmp_path):
    tags = [(33550, 12, 3, (10.0, 20.0, 0.0), True), (33922, 12, 6, (0.0, 0, 0, 500.0, 9000.0, 0), True)]
    tifffile.imwrite(tmp_path / "a.tif", PLANE, extratags=tags, metadata=None)
    grid = read_image(tmp_path / "a.tif").grid
    assert grid.units == ("meter", "meter")
    assert np.allclose(grid.origin, (-9000 + 10, 500 + 5))


def test_microscopes_pixel_sizes(tmp_path):
    stack = VOLUME.astype(np.uint16)
    imagej = {"axes": "ZYX", "unit": "um", "spacing": 2.0}
    tifffile.imwrite(tmp_path / "ij.tif", stack, imagej=True, resolution=(2.0, 4.0), metadata=imagej)
    tifffile.imwrite(tmp_path / "cm.tif", stack[0], resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    tifffile.imwrite(tmp_path / "inch.tif", stack[0], resolution=(72, 72), resolutionunit="INCH")
    assert np.allclose(read_image(tmp_path / "ij.tif").grid.spacing, (2.0, 0.25, 0.5))
    assert read_image(tmp_path / "ij.tif").grid.units[0] == "micrometer"
    assert np.allclose(read_image(tmp_path / "cm.tif").grid.spacing, 0.5)
    assert read_image(tmp_path / "inch.tif").grid.same_as(Grid.from_spacing((20, 30)))


def test_channels_come_last_and_time_first(tmp_path):
    data = RNG.integers(0, 999, (4, 2, 20, 30), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "TCYX"})
    found = read_image(tmp_path / "a.tif")
    assert found.grid.shape == (4, 20, 30)
    assert found.grid.units[0] == "second"
    assert np.array_equal(found.data, np.moveaxis(data, 1, -1))


@pytest.fixture
def dicom(tmp_path) -> Path:
    """A folder with one series, its file names out of order."""
    write_dicom(tmp_path / "ct", "1.2.3", {0: "c", 1: "a", 2: "b", 3: "d"})
    return tmp_path / "ct"


def write_dicom(folder: Path, uid: str, names: dict[int, str]) -> None:
    """Slices 3 mm apart of 1.5 x 2 mm pixels, tilted about the x axis."""
    import SimpleITK as sitk

    folder.mkdir(exist_ok=True)
    for k, name in names.items():
        image = sitk.GetImageFromArray(VOLUME[k])
        image.SetSpacing((2.0, 1.5))
        position = np.array([7.0, -4.0, 3.0]) + 3.0 * k * np.array([0, -S, C])
        tags = {
            "0008|0060": "CT",
            "0008|0018": f"{uid}.{k + 1}",
            "0020|000e": uid,
            "0020|000d": "1.2",
            "0020|0013": str(k),
            "0020|0032": "\\".join(f"{x:.6f}" for x in position),
            "0020|0037": f"1\\0\\0\\0\\{C:.8f}\\{S:.8f}",
            "0028|0030": "1.5\\2.0",
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{name}.dcm"))
        writer.Execute(image)


def test_a_folder_of_slices_is_a_volume_in_order(dicom):
    volume = read_image(dicom)
    assert np.array_equal(volume.data, VOLUME[:4])
    assert np.allclose(volume.grid.spacing, (3.0, 1.5, 2.0), atol=1e-3)
    assert np.allclose(volume.grid.origin, (3.0, -4.0, 7.0), atol=1e-3)
    assert np.allclose(volume.grid.direction[:, 0], (C, -S, 0), atol=1e-3)
    assert volume.grid.units == ("millimeter",) * 3


def test_several_series_in_a_folder_are_named(dicom):
    write_dicom(dicom, "1.2.9", {0: "x", 1: "y"})
    assert sorted(image.grid.shape[0] for image in read_series(dicom)) == [2, 4]
    with pytest.raises(ValueError, match=r"holds 2 DICOM series \(ct 1, ct 2\)"):
        read_image(dicom)
