"""NIfTI files lie where nibabel and FSL place them, and what their headers contradict is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_voxreg import Grid, Image, register
from napari_voxreg.io.images import read_image, write_image

nibabel = pytest.importorskip("nibabel")  # comes with the test extra's voxelmorph

SHAPE = (7, 9, 11)
INDEX = np.array([[0, 0, 0], [6, 0, 0], [0, 8, 0], [0, 0, 10], [6, 8, 10.0]])


def matrix(angles: tuple[float, float, float], sizes: tuple[float, ...], at: float = 5.0) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(sizes)
    affine[:3, 3] = at, -2 * at, 7.0
    return affine


TILTED = matrix((12, -8, 30), (0.8, 1.2, 3.0))
TURNED = matrix((0, 0, 10), (0.8, 1.2, 3.0), 9.0)
SHEARED = TILTED.copy()
SHEARED[:3, 1] += [0.0, 0.0, 0.3]
CASES = {
    "sform alone": (None, 0, TILTED, 1, ""),
    "qform alone": (TILTED, 1, None, 0, ""),
    "left-handed": (TILTED @ np.diag([-1.0, 1, 1, 1]), 1, TILTED @ np.diag([-1.0, 1, 1, 1]), 1, ""),
    "both agree": (TILTED, 1, TILTED, 2, ""),
    "a standard space beside the scanner's": (TILTED, 1, TURNED, 4, "sform and the qform of x.nii"),
    "scanner space twice": (TILTED, 1, TURNED, 1, "the sform is used"),
    "an sform without a code": (TILTED, 1, TURNED, 0, ""),
    "rounded to three decimals": (None, 0, np.round(TILTED, 3), 1, ""),
    "sheared": (None, 0, SHEARED, 1, ""),
}


def save(
    path: Path,
    qform: np.ndarray | None,
    q: int,
    sform: np.ndarray | None,
    s: int,
    zooms: tuple[float, ...] | None = None,
    data: np.ndarray | None = None,
    version: int = 1,
) -> Path:
    """A file with these matrices and their codes."""
    if data is None:
        data = np.arange(np.prod(SHAPE), dtype="i2").reshape(SHAPE)
    image = (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)(data, None)
    image.set_qform(qform, q)
    image.set_sform(sform, s)
    if zooms is not None or qform is None:
        image.header.set_zooms(zooms or np.linalg.norm(sform[:3, :3], axis=0))
    nibabel.save(image, path)
    return path


def apart(path: Path) -> float:
    """How far the corners lie from where nibabel places them, mm."""
    affine = nibabel.load(path).affine
    expected = (INDEX @ affine[:3, :3].T + affine[:3, 3]) * [-1, -1, 1]
    return float(np.abs(read_image(path).grid.to_world(INDEX[:, ::-1])[:, ::-1] - expected).max())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("case", CASES)
def test_the_sform_counts_if_its_code_is_set_else_the_qform(tmp_path, case, ending, version):
    *placement, note = CASES[case]
    path = save(tmp_path / f"x{ending}", *placement, version=version)
    assert apart(path) < 0.01
    image = read_image(path)
    assert note in " ".join(image.notes)
    assert bool(image.notes) == bool(note)
    assert np.array_equal(image.data.transpose(), np.arange(np.prod(SHAPE)).reshape(SHAPE))


def test_the_other_byte_order_is_read_alike(tmp_path):
    swapped = nibabel.Nifti1Image(np.zeros(SHAPE, "i2"), None, nibabel.Nifti1Header(endianness=">"))
    swapped.set_sform(SHEARED, 1)
    nibabel.save(swapped, tmp_path / "y.nii")
    assert apart(tmp_path / "y.nii") < 0.01


def test_a_rounded_matrix_is_squared_up_so_that_nifti_can_hold_the_result(tmp_path):
    path = save(tmp_path / "x.nii", None, 0, np.round(TILTED, 3), 1)
    image = read_image(path)
    again = read_image(write_image(image, tmp_path / "again.nii"))
    assert again.grid.same_as(image.grid) or np.allclose(again.grid.affine, image.grid.affine, atol=1e-4)
    assert again.notes == ()
    sheared = read_image(save(tmp_path / "y.nii", None, 0, SHEARED, 1))
    with pytest.raises(ValueError, match="not at right angles"):
        write_image(sheared, tmp_path / "again.nii")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u1", "i2", "f4", "f8", "c8"])
def test_nifti_2_has_the_pixels_scaling_and_time_axis_of_nifti_1(tmp_path, kind, order):
    data = np.arange(2 * np.prod(SHAPE)).reshape(*SHAPE, 2).astype(kind)
    if kind == "f4":
        data[1, 2, 3] = np.nan
    for version in (1, 2):
        header = (nibabel.Nifti1Header if version == 1 else nibabel.Nifti2Header)(endianness=order)
        image = (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)(data, TILTED, header)
        image.header.set_data_dtype(np.dtype(kind).newbyteorder(order))
        if kind == "i2":
            image.header.set_slope_inter(0.5, 3)
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a word" * 40))
        nibabel.save(image, tmp_path / f"v{version}.nii")
    first, second = (read_image(tmp_path / f"v{version}.nii") for version in (1, 2))
    assert first.data.dtype == second.data.dtype
    assert np.array_equal(first.data, second.data, equal_nan=True)
    assert np.isnan(second.data).any() == (kind == "f4")
    assert np.allclose(first.grid.affine, second.grid.affine, atol=1e-5)
    assert first.grid.units == second.grid.units


@pytest.mark.parametrize("fault", ["cut off", "an axis too long", "pixels elsewhere"])
def test_nifti_2_that_cannot_be_read_is_refused_in_one_sentence(tmp_path, fault):
    path = tmp_path / "x.nii"
    shape = (40_000, 2, 2) if fault == "an axis too long" else SHAPE
    nibabel.save(nibabel.Nifti2Image(np.zeros(shape, "u1"), np.eye(4)), path)
    content = path.read_bytes()
    if fault == "cut off":
        path.write_bytes(content[:-9])
    elif fault == "pixels elsewhere":
        path.write_bytes(content.replace(b"n+2", b"ni2", 1))
    words = "x.nii has 40000 pixels along an axis; .* Save it as .nrrd" if "axis" in fault else "damaged"
    with pytest.raises(ValueError, match=words):
        read_image(path)


def test_what_a_note_says_is_not_said_on_the_terminal_too(tmp_path):
    plain = TURNED.copy()
    plain[:3, :3] = np.eye(3)
    path = save(tmp_path / "x.nii", None, 0, plain, 1, zooms=(0.8, 1.2, 3.0))
    ours = "from napari_voxreg.io.images import read_image; assert read_image({0!r}).notes; "
    theirs = "import SimpleITK; SimpleITK.ReadImage({0!r})"  # the user's own calls keep their warnings
    # In a process of its own: ITK's stream stays broken once a test has filled the disk it writes to.
    said = [
        subprocess.run(
            [sys.executable, "-c", code.format(str(path))], capture_output=True, text=True, check=True
        )
        for code in (ours, ours + theirs)
    ]
    assert said[0].stderr == ""
    assert "unexpected scales in sform" in said[1].stderr


def test_pixel_sizes_that_disagree_are_said_in_the_result(tmp_path):
    plain = TURNED.copy()
    plain[:3, :3] = np.eye(3)
    rng = np.random.default_rng(0)
    data = rng.random((16, 17, 18)).astype("f4")
    path = save(tmp_path / "x.nii", None, 0, plain, 1, zooms=(0.8, 1.2, 3.0), data=data)
    image = read_image(path)
    assert np.allclose(image.grid.spacing, 1)
    (note,) = image.notes
    assert "x.nii" in note
    assert "1 x 1 x 1 in its sform and 0.8 x 1.2 x 3 in pixdim" in note
    result = register(image, image.with_data(np.roll(image.data, 1, 0)), method="translation")
    assert result.notes.count(note) == 1


def test_micrometres_in_the_header_become_millimetres(tmp_path):
    image = nibabel.Nifti1Image(np.zeros(SHAPE, "i2"), np.diag([2.0, 3, 4, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "x.nii")
    assert np.allclose(read_image(tmp_path / "x.nii").grid.spacing, (0.004, 0.003, 0.002))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_colours_become_channels_and_complex_pixels_their_magnitude(tmp_path, ending):
    colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["G"] = 90
    opaque = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
    opaque["B"], opaque["A"] = 7, 255
    for name, data in (("rgb", colours), ("rgba", opaque), ("wave", np.full(SHAPE, 3 + 4j, "c8"))):
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / f"{name}{ending}")
    rgb, rgba, wave = (read_image(tmp_path / f"{name}{ending}") for name in ("rgb", "rgba", "wave"))
    assert rgb.data.shape == (*SHAPE[::-1], 3)
    assert rgb.data[0, 0, 0].tolist() == [0, 90, 0]
    assert rgba.data[0, 0, 0].tolist() == [0, 0, 7, 255]
    assert np.allclose(wave.data, 5)
    assert wave.notes == (f"wave{ending} has complex pixels; their magnitude is taken.",)


@pytest.mark.parametrize("kind", ["rgb", "complex"])
def test_cut_colours_and_complex_pixels_are_refused(tmp_path, kind):
    data = np.zeros(SHAPE, "c8") if kind == "complex" else np.zeros(SHAPE, [(c, "u1") for c in "RGB"])
    path = tmp_path / "x.nii"
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="damaged or cut off"):
        read_image(path)


def test_a_placement_that_is_not_finite_is_refused_without_a_word_of_itk(tmp_path, capfd):
    path = tmp_path / "nan.nii"
    write_image(Image(np.ones((6, 7, 8), np.float32), Grid.from_spacing((6, 7, 8), units="mm")), path)
    content = bytearray(path.read_bytes())
    content[254:256], content[280:284] = (1).to_bytes(2, "little"), np.float32(np.nan).tobytes()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"nan\.nii cannot be read"):
        read_image(path)
    assert capfd.readouterr() == ("", "")
