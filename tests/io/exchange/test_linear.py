"""Matrices of other programs, with NiTransforms, SimpleITK and ANTs as judges."""

import warnings

import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import Affine, Grid, Image, load_transform, save_transform
from napari_voxreg.io.images import write_image
from napari_voxreg.io.transforms import Grids, read_transform

from .conftest import affine, grid, points

nibabel = pytest.importorskip("nibabel")
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def to_ras(matrix):
    """A matrix of ours in NIfTI's world, (x, y, z)."""
    return FLIP @ matrix[np.ix_([2, 1, 0, 3], [2, 1, 0, 3])] @ FLIP


def nifti(path, where):
    """An empty image on a grid, on disk."""
    return write_image(Image(np.zeros(where.shape, np.uint8), where), path)


@pytest.fixture(params=[(False, False), (False, True), (True, False), (True, True)])
def volumes(request, tmp_path):
    """A fixed and a moving volume, oblique, anisotropic and of either handedness, as NIfTI."""
    fixed, moving = (grid(3, seed, flip) for seed, flip in zip((1, 2), request.param, strict=True))
    return nifti(tmp_path / "fixed.nii.gz", fixed), nifti(tmp_path / "moving.nii.gz", moving)


@pytest.mark.parametrize(
    ("kind", "name"), [("fsl", "t.mat"), ("itk", "t.tfm"), ("fs", "t.lta"), ("afni", "t.aff12.1D")]
)
def test_nitransforms_writes_what_we_read(kind, name, volumes, tmp_path):
    nitransforms = pytest.importorskip("nitransforms")
    transform = affine(3, 4)
    fixed, moving = volumes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = nitransforms.linear.Affine(to_ras(transform.matrix), reference=str(fixed))
        theirs.to_filename(tmp_path / name, fmt=kind, moving=str(moving))
    found = load_transform(tmp_path / name, fixed, moving)
    there = points(grid(3, 1))
    assert np.abs(found(there) - transform(there)).max() < 1e-3 * 0.7


def test_nitransforms_reads_the_itk_files_that_we_write(tmp_path):
    nitransforms = pytest.importorskip("nitransforms")
    transform = affine(3, 5)
    path = save_transform(transform, tmp_path / "t.tfm")
    theirs = nitransforms.linear.load(path, fmt="itk")
    there = points(grid(3, 1))
    mapped = theirs.map(there[:, ::-1] * [-1, -1, 1]) * [-1, -1, 1]
    assert np.allclose(mapped[:, ::-1], transform(there), rtol=0, atol=1e-5)


def test_afni_is_in_the_world_of_itk(tmp_path):
    """3dAllineate's matrix takes the base's DICOM coordinates to the source's."""
    itk = sitk.AffineTransform(3)
    itk.SetParameters([*np.ravel(affine(3, 6).matrix[:3, :3]).tolist(), 1.0, -2.0, 3.0])
    matrix = np.column_stack([np.reshape(itk.GetMatrix(), (3, 3)), itk.GetTranslation()])
    head = "# 3dAllineate matrices (DICOM-to-DICOM, row-by-row):\n"
    (tmp_path / "t.aff12.1D").write_text(head + " ".join(f"{x:.9g}" for x in matrix.ravel()) + "\n")
    (tmp_path / "t.1D").write_text("\n".join(" ".join(f"{x:.9g}" for x in row) for row in matrix))
    for name in ("t.aff12.1D", "t.1D"):
        found = load_transform(tmp_path / name)([[3.0, 2.0, 1.0]])[0, ::-1]
        assert np.allclose(found, itk.TransformPoint((1.0, 2.0, 3.0)), atol=1e-5)
    line = (tmp_path / "t.aff12.1D").read_text().splitlines()[1]
    (tmp_path / "twice.aff12.1D").write_text(f"{head}{line}\n{line}\n")
    found = load_transform(tmp_path / "twice.aff12.1D")([[3.0, 2.0, 1.0]])[0, ::-1]
    assert np.allclose(found, itk.TransformPoint((1.0, 2.0, 3.0)), atol=1e-5)
    (tmp_path / "series.aff12.1D").write_text(f"{head}{line}\n1{line}\n")
    with pytest.raises(ValueError, match="holds 2 matrices, one for each volume"):
        load_transform(tmp_path / "series.aff12.1D")


def test_mni_leads_from_source_to_target_in_right_anterior_superior(tmp_path):
    """A moving image that lies 5, 6, 7 mm right, in front of and above the fixed one is moved back by it."""
    text = "MNI Transform File\n% by xfmconcat\n\nTransform_Type = Linear;\nLinear_Transform =\n"
    (tmp_path / "t.xfm").write_text(text + " 1 0 0 -5\n 0 1 0 -6\n 0 0 1 -7;\n")
    assert np.allclose(load_transform(tmp_path / "t.xfm")([[0.0, 0.0, 0.0]])[0], [7.0, -6.0, -5.0])
    itk = sitk.AffineTransform(3)
    itk.Translate((5.0, 6.0, 7.0))
    sitk.WriteTransform(itk, str(tmp_path / "itk.xfm"))
    assert np.allclose(load_transform(tmp_path / "itk.xfm")([[0.0, 0.0, 0.0]])[0], [7.0, 6.0, 5.0])


def test_niftyreg_is_in_the_world_of_nifti(tmp_path):
    transform = affine(3, 7)
    np.savetxt(tmp_path / "aff.txt", to_ras(transform.matrix), fmt="%.9g")
    there = points(grid(3, 1))
    found = load_transform(tmp_path / "aff.txt", format="niftyreg")
    assert np.allclose(found(there), transform(there), atol=1e-5)


LTA = """# created by a test
type      = {kind}
nxforms   = {count}
mean      = 0.0 0.0 0.0
sigma     = 1.0
1 4 4
{matrix}
src volume info
{src}
dst volume info
{dst}
"""
GONE = "valid = 0  # volume info invalid\nfilename = x"


def geometry(where):
    """A volume's place as FreeSurfer states it."""
    affine = to_ras_grid(where)
    size = np.array(where.shape[::-1])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    centre = affine[:3, :3] @ (size / 2) + affine[:3, 3]
    rows = {f"{axis}ras": column for axis, column in zip("xyz", (affine[:3, :3] / spacing).T, strict=True)}
    rows = {"volume": size, "voxelsize": spacing, **rows, "cras": centre}
    lines = [f"{name} = {' '.join(map(repr, np.asarray(row).tolist()))}" for name, row in rows.items()]
    return "\n".join(["valid = 1  # volume info valid", "filename = x", *lines])


def to_ras_grid(where):
    """From voxels to NIfTI's world."""
    return FLIP @ where.affine[np.ix_([2, 1, 0, 3], [2, 1, 0, 3])]


def lta(path, matrix, kind, src, dst, count=1):
    rows = "\n".join(" ".join(f"{x:.15e}" for x in row) for row in matrix)
    path.write_text(LTA.format(kind=kind, count=count, matrix=rows, src=src, dst=dst))
    return path


@pytest.mark.parametrize("kind", [0, 1])
def test_freesurfer_maps_the_source_onto_the_destination(kind, tmp_path):
    """So the source is the moving image; with the images at hand, the one that lies as the source does."""
    fixed, moving, transform = grid(3, 1), grid(3, 2, True), affine(3, 4)
    back = np.linalg.inv(to_ras(transform.matrix))
    if kind == 0:
        back = np.linalg.inv(to_ras_grid(fixed)) @ back @ to_ras_grid(moving)
    path = lta(tmp_path / "t.lta", back, kind, geometry(moving), geometry(fixed))
    there = points(fixed)
    found = read_transform(path)
    assert np.allclose(found.transform(there), transform(there), atol=1e-4) and "--fixed" in found.notes[0]
    for grids in (Grids(fixed), Grids(None, moving), Grids(fixed, moving)):
        found = read_transform(path, grids)
        assert np.allclose(found.transform(there), transform(there), atol=1e-4) and not found.notes
    other = read_transform(path, Grids(moving, fixed)).transform
    assert np.allclose(other(transform(there)), there, atol=1e-4)


def test_an_lta_that_says_too_little_is_refused(tmp_path):
    for kind, count, words in (
        (0, 1, "does not state where the volumes lie"),
        (1, 2, "holds 2 transforms"),
        (14, 1, r"type 14 \(register.dat\)"),
    ):
        path = lta(tmp_path / "t.lta", np.eye(4), kind, GONE, GONE, count)
        with pytest.raises(ValueError, match=words):
            load_transform(path)
    assert np.allclose(load_transform(lta(path, np.eye(4), 1, GONE, GONE)).matrix, np.eye(4))


def test_flirt_needs_both_images(tmp_path):
    np.savetxt(tmp_path / "t.mat", np.eye(4))
    with pytest.raises(ValueError, match=r"t\.mat counts positions from the corners.*--fixed and --moving"):
        load_transform(tmp_path / "t.mat", fixed=grid(3, 1))
    with pytest.raises(ValueError, match="an image is 2D; give volumes"):
        load_transform(tmp_path / "t.mat", fixed=grid(3, 1), moving=grid(2, 1))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(
    ("name", "kind"), [("t.csv", "matrix"), ("t.txt", "matrix"), ("t.txt", "matrix-xyz")]
)
def test_matrices_that_we_write_say_what_they_mean(ndim, name, kind, tmp_path):
    transform = affine(ndim, 3)
    path = save_transform(transform, tmp_path / name, format=kind)
    assert np.array_equal(load_transform(path).matrix, transform.matrix)
    numbers = np.loadtxt(path, delimiter="," if name == "t.csv" else None)
    back = slice(None, None, -1 if kind == "matrix-xyz" else 1)
    assert np.array_equal(numbers[:ndim, ndim], transform.matrix[:ndim, ndim][back])
    assert np.array_equal(numbers[:ndim, :ndim], transform.matrix[:ndim, :ndim][back, back])


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_bare_matrix_needs_its_meaning(ndim, tmp_path):
    transform = affine(ndim, 3)
    np.savetxt(tmp_path / "t.txt", transform.matrix)
    np.savetxt(tmp_path / "t.csv", transform.matrix, delimiter=",")
    with pytest.raises(ValueError, match="is a bare matrix"):
        load_transform(tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"bare matrix.*--format.*\): matrix, matrix-xyz, napari"):
        load_transform(tmp_path / "t.txt")
    there = points(grid(ndim, 1))
    expected = transform(there)
    assert np.allclose(load_transform(tmp_path / "t.txt", format="matrix")(there), expected)
    xyz = load_transform(tmp_path / "t.txt", format="matrix-xyz")(there[:, ::-1])[:, ::-1]
    assert np.allclose(xyz, expected)
    np.save(tmp_path / "layer.npy", transform.matrix)
    for name in ("t.txt", "layer.npy"):
        found = load_transform(tmp_path / name, format="napari")
        assert np.allclose(found(expected), there)
    assert np.allclose(load_transform(tmp_path / "layer.npy")(expected), there)


def test_separators_and_comments_do_not_matter(tmp_path):
    for text in (
        "1, 2, 3\n0, 1, 4\n0, 0, 1\n",
        "[[1 2 3]\n [0 1 4]\n [0 0 1]]",
        "% x\n1\t2\t3\r\n0;1;4\n\n0 0 1 # y\n",
    ):
        (tmp_path / "t.csv").write_text(text)
        assert np.allclose(
            load_transform(tmp_path / "t.csv", format="matrix").matrix, [[1, 2, 3], [0, 1, 4], [0, 0, 1]]
        )


def test_the_last_row_may_be_left_out(tmp_path):
    (tmp_path / "cv.txt").write_text("1 0 2\n0 1 4\n")
    assert np.allclose(load_transform(tmp_path / "cv.txt", format="matrix-xyz").matrix[:2, 2], [4, 2])
    (tmp_path / "t.txt").write_text("1 0 0 2\n0 1 0 3\n0 0 1 4\n")
    with pytest.raises(ValueError, match=r"bare matrix.*: matrix, matrix-xyz, afni"):
        load_transform(tmp_path / "t.txt")
    assert np.allclose(load_transform(tmp_path / "t.txt", format="matrix").matrix[:3, 3], [2, 3, 4])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 0 0\n0 1 0\n0 0.5 1", "last row is not 0 0 1"),
        ("1 0 0\n0 0 0\n0 0 1", "not finite and invertible"),
        ("1 0 0\n0 nan 0\n0 0 1", "not finite and invertible"),
        ("1 0 0 1 1\n0 1 0 1 1", "does not hold a matrix"),
        ("hello", "does not hold a matrix"),
        ("", "does not hold a matrix"),
    ],
)
def test_what_is_no_affine_matrix_is_refused(text, words, tmp_path):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"t\.txt .*({words}).*\.$"):
        load_transform(tmp_path / "t.txt", format="matrix")


def test_millimetres_become_the_units_of_the_fixed_image(tmp_path):
    """Formats that count in millimetres; a matrix counts in the image's own units."""
    np.savetxt(tmp_path / "t.txt", [[1, 0, 0, 2.0], [0, 1, 0, 3.0], [0, 0, 1, 4.0], [0, 0, 0, 1]])
    fixed = grid(3, 1, units="micrometer")
    found = load_transform(tmp_path / "t.txt", fixed, format="niftyreg")
    assert np.allclose(found.matrix[:3, 3], [4000, -3000, -2000])
    assert np.allclose(load_transform(tmp_path / "t.txt", fixed, format="matrix").matrix[:3, 3], [2, 3, 4])
    pixels = Grid.from_spacing((5, 6, 7))
    assert np.allclose(
        load_transform(tmp_path / "t.txt", pixels, format="niftyreg").matrix[:3, 3], [4, -3, -2]
    )


def test_unlike_matrices_are_not_lost(tmp_path):
    with pytest.raises(ValueError, match="not affine; write it as a field"):
        save_transform(points_field(), tmp_path / "t.txt", format="matrix")
    with pytest.raises(ValueError, match="does not say in which format"):
        save_transform(Affine.identity(2), tmp_path / "t.txt")
    with pytest.raises(ValueError, match="not written as 'fsl'"):
        save_transform(Affine.identity(2), tmp_path / "t.mat", format="fsl")


def points_field():
    from .conftest import field

    return field(grid(2, 1), 0)
