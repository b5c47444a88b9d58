"""Volumes of FreeSurfer, MINC and of two files lie where nibabel places them."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from scipy.io import netcdf_file
from scipy.spatial.transform import Rotation

from napari_voxreg.io.images import format_like, read_image, write_like

SHAPE = (7, 9, 11)
INDEX = np.array([[0, 0, 0], [6, 0, 0], [0, 8, 0], [0, 0, 10], [6, 8, 10.0]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (12, -8, 30), degrees=True).as_matrix() @ np.diag((0.8, 1.2, 3.0))
AFFINE[:3, 3] = 5, -10, 7
FREESURFER = AFFINE @ np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # left, inferior


def pixels(kind: str = "i2", frames: int = 1) -> np.ndarray:
    shape = SHAPE if frames == 1 else (*SHAPE, frames)
    return np.arange(np.prod(shape)).reshape(shape).astype(kind)


def assert_as_nibabel(path: Path, image: nibabel.spatialimages.SpatialImage | None = None) -> None:
    """The same pixels in the same places; ours are (time,) z, y, x in left, posterior, superior."""
    found, expected = read_image(path), nibabel.load(path) if image is None else image
    assert np.array_equal(np.asarray(found.data).T, np.asarray(expected.dataobj))
    places = (INDEX @ expected.affine[:3, :3].T + expected.affine[:3, 3]) * [-1, -1, 1]
    own = np.eye(4)
    own[:3] = found.grid.affine[-4:-1, -4:]
    assert np.abs(INDEX[:, ::-1] @ own[:3, :3].T + own[:3, 3] - places[:, ::-1]).max() < 1e-4
    assert found.grid.units[-3:] == ("millimeter",) * 3


@pytest.mark.parametrize("ending", [".mgz", ".mgh"])
@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4"])
def test_volumes_of_freesurfer(tmp_path, ending, kind):
    nibabel.MGHImage(pixels(kind), FREESURFER).to_filename(tmp_path / "a.mgz")
    path = tmp_path / f"b{ending}"
    stored = gzip.decompress((tmp_path / "a.mgz").read_bytes())
    path.write_bytes(stored if ending == ".mgh" else gzip.compress(stored))
    assert_as_nibabel(path, nibabel.load(tmp_path / "a.mgz"))
    assert read_image(path).data.dtype == kind and read_image(path).name == "b"


def test_frames_of_freesurfer_are_a_time_axis(tmp_path):
    image = nibabel.MGHImage(pixels("f4", 3), FREESURFER)
    image.header.set_zooms((*image.header.get_zooms()[:3], 2500.0))
    image.to_filename(tmp_path / "a.mgz")
    assert_as_nibabel(tmp_path / "a.mgz")
    grid = read_image(tmp_path / "a.mgz").grid
    assert grid.shape == (3, 11, 9, 7) and grid.units[0] == "second" and grid.spacing[0] == 2.5


AXES = ("zspace", "yspace", "xspace")
COSINES = dict(zip(AXES, np.linalg.qr(AFFINE[:3, :3])[0].T[::-1], strict=True))
STEPS, STARTS = dict(zip(AXES, (3.0, -1.2, 0.8), strict=True)), dict(zip(AXES, (4.0, 5.0, -6.0), strict=True))


def minc2(path: Path, axes: tuple[str, ...], data: np.ndarray) -> Path:
    """As libminc writes it: stored from 0 to 200, which stand for -1 to 3."""
    with h5py.File(path, "w") as file:
        for name, count in zip(axes, data.shape, strict=True):
            about = file.create_dataset(f"minc-2.0/dimensions/{name}", data=0).attrs
            about["length"], about["spacing"] = count, np.bytes_("regular__")
            about["step"], about["start"] = STEPS.get(name, 1.5), STARTS.get(name, 0.0)
            if name in COSINES:
                about["direction_cosines"] = COSINES[name]
        group = file.create_group("minc-2.0/image/0")
        stored = group.create_dataset("image", data=data).attrs
        stored["dimorder"], stored["valid_range"] = np.bytes_(",".join(axes)), [0.0, 200.0]
        for name, value in (("image-min", -1.0), ("image-max", 3.0)):
            group.create_dataset(name, data=value).attrs["dimorder"] = np.bytes_("")
    return path


def minc1(path: Path, axes: tuple[str, ...], data: np.ndarray) -> Path:
    with netcdf_file(path, "w") as file:
        for name, count in zip(axes, data.shape, strict=True):
            file.createDimension(name, count)
            about = file.createVariable(name, "i4", ())
            about.spacing, about.step, about.start = b"regular__", STEPS.get(name, 1.5), STARTS.get(name, 0.0)
            if name in COSINES:
                about.direction_cosines = COSINES[name]
        stored = file.createVariable("image", "i2", axes)
        stored[:] = data
        stored.signtype, stored.valid_range = b"signed__", np.array([0.0, 200.0])
        for name, value in (("image-min", -1.0), ("image-max", 3.0)):
            file.createVariable(name, "f8", ()).data[()] = value
    return path


@pytest.mark.parametrize("write", [minc1, minc2])
@pytest.mark.parametrize(
    "axes", [AXES, ("xspace", "zspace", "yspace"), ("time", *AXES), ("zspace", "time", "yspace", "xspace")]
)
def test_volumes_of_minc(tmp_path, write, axes):
    sizes = {"time": 2, "zspace": 5, "yspace": 6, "xspace": 7}
    data = np.random.default_rng(0).integers(0, 200, [sizes[name] for name in axes]).astype("i2")
    found = read_image(write(tmp_path / "a.mnc", axes, data))
    space = [name for name in axes if name != "time"]
    values = 4.0 * data / 200 - 1
    if "time" in axes:
        values = np.moveaxis(values, axes.index("time"), 0)
        assert found.grid.units[0] == "second" and found.grid.spacing[0] == 1.5
    assert np.allclose(found.data, values, atol=1e-9)
    index = np.random.default_rng(1).uniform(0, 5, (4, 3))
    along = np.array([COSINES[name] for name in space])
    places = (index * [STEPS[n] for n in space] + [STARTS[n] for n in space]) @ along
    grid = found.grid.without((0,)) if "time" in axes else found.grid
    assert np.allclose(grid.to_world(index)[:, ::-1], places * [-1, -1, 1], atol=1e-6)


def test_labels_of_minc_are_whole_numbers(tmp_path):
    path = minc2(tmp_path / "a.mnc", AXES, np.arange(60).reshape(3, 4, 5).astype("u1"))
    with h5py.File(path, "r+") as file:
        for name, value in (("image-min", 0.0), ("image-max", 200.0)):
            file[f"minc-2.0/image/0/{name}"][()] = value
    found = read_image(path).data
    assert found.dtype == np.uint8 and np.array_equal(found.ravel(), np.arange(60))


def test_minc_with_other_axes_names_what_converts_it(tmp_path):
    path = minc2(tmp_path / "a.mnc", (*AXES, "vector_dimension"), np.zeros((4, 5, 6, 3), "i2"))
    with pytest.raises(ValueError, match=r"a\.mnc has the axes zspace, .*; convert it to NIfTI with mnc2nii"):
        read_image(path)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.nifti2.Nifti2Pair])
@pytest.mark.parametrize("frames", [1, 2])
def test_nifti_in_two_files(tmp_path, kind, order, frames):
    image = kind(pixels("f4", frames), AFFINE, kind.header_class(endianness=order))
    image.header.set_data_dtype(np.dtype("f4").newbyteorder(order))
    image.set_sform(AFFINE, 1)
    image.to_filename(tmp_path / "a.img")
    for name in ("a.hdr", "a.img"):
        assert_as_nibabel(tmp_path / name)
        assert read_image(tmp_path / name).notes == ()


def test_two_packed_files_with_capitals(tmp_path):
    nibabel.Nifti1Pair(pixels(), AFFINE).to_filename(tmp_path / "a.img")
    expected = read_image(tmp_path / "a.img")
    for name in ("a.hdr", "a.img"):
        (tmp_path / f"[b]{name.upper()}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    found = read_image(tmp_path / "[b]A.HDR.gz")
    assert np.array_equal(found.data, expected.data) and found.grid.same_as(expected.grid)


@pytest.mark.parametrize("order", "<>")
def test_analyze_has_its_pixels_and_a_note_on_left_and_right(tmp_path, order):
    image = nibabel.AnalyzeImage(pixels(), np.diag([-2.0, 3, 4, 1]), nibabel.AnalyzeHeader(endianness=order))
    image.header.set_data_dtype(np.dtype("i2").newbyteorder(order))
    image.to_filename(tmp_path / "a.img")
    stored = bytearray((tmp_path / "a.hdr").read_bytes())
    stored[252:258] = b"\1\1\1\1\1\1"  # orientation and origin of Analyze, where NIfTI has other things
    (tmp_path / "a.hdr").write_bytes(stored)
    found = read_image(tmp_path / "a.hdr")
    assert np.array_equal(found.data.T, pixels()) and np.allclose(found.grid.spacing, (4, 3, 2))
    assert found.notes == ("a.hdr is Analyze, which does not say which side is left; compare another image.",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.hdr", b"ENVI\nsamples = 3\n", "is a header of ENVI; write it as GeoTIFF"),
        ("a.hdr", b"#?RADIANCE\n", "is a picture of Radiance; save it as TIFF"),
        ("a.img", b"EHFA_HEADER_TAG\0", "is an image of ERDAS; write it as GeoTIFF"),
        ("a.hdr", bytes(400), r"needs a\.img, its pixels, beside it; put it there"),
        ("a.img", bytes(400), r"needs a\.hdr, its header, beside it; put it there"),
        ("a.mgz", b"nothing", "may be damaged"),
        ("a.mgh", bytes(300), "may be damaged"),
        ("a.mnc", b"CDF\1", "may be damaged"),
        ("a.mnc", b"\x89HDF\r\n\x1a\n", "may be damaged"),
    ],
)
def test_what_they_are_not_is_said_in_one_sentence(tmp_path, name, content, words, sentence):
    (tmp_path / name).write_bytes(content)
    assert words.replace("\\", "") in sentence(read_image, tmp_path / name)
    if name == "a.hdr" and not any(content):
        (tmp_path / "a.img").write_bytes(bytes(9))
        assert "is no header of NIfTI or Analyze" in sentence(read_image, tmp_path / name)


def test_cut_files_are_refused(tmp_path, sentence):
    nibabel.MGHImage(pixels(), FREESURFER).to_filename(tmp_path / "a.mgz")
    nibabel.MGHImage(pixels(), FREESURFER).to_filename(tmp_path / "a.mgh")
    nibabel.Nifti1Pair(pixels(), AFFINE).to_filename(tmp_path / "b.img")
    minc2(tmp_path / "a.mnc", AXES, pixels())
    minc1(tmp_path / "c.mnc", AXES, pixels())
    for name in ("a.mgz", "a.mgh", "b.img", "a.mnc", "c.mnc"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        assert "may be damaged" in sentence(read_image, path)


def test_a_header_that_claims_too_much_is_refused(tmp_path, sentence):
    nibabel.MGHImage(pixels(), FREESURFER).to_filename(tmp_path / "a.mgh")
    stored = bytearray((tmp_path / "a.mgh").read_bytes())
    stored[4:20] = np.array([30_000, 30_000, 300, 1], ">i4").tobytes()
    (tmp_path / "a.mgh").write_bytes(stored)
    assert "a.mgh" in sentence(read_image, tmp_path / "a.mgh")


def test_results_are_written_as_mha(tmp_path):
    nibabel.MGHImage(pixels("f4"), FREESURFER).to_filename(tmp_path / "a.mgz")
    image = read_image(tmp_path / "a.mgz")
    assert format_like(image, tmp_path / "a.mgz") == ".mha"
    again = read_image(write_like(image, tmp_path / "warped", tmp_path / "a.mgz"))
    assert again.grid.same_as(image.grid) and np.array_equal(again.data, image.data)
