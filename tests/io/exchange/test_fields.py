"""Displacement fields of other programs, with SimpleITK, nibabel, NiTransforms and ANTs as judges."""

import gzip
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import Affine, Displacement, Grid, Image, load_transform, save_transform
from napari_voxreg.io.flo import write_flo
from napari_voxreg.io.images import write_image
from napari_voxreg.io.transforms import Grids, check_transform, read_transform
from napari_voxreg.io.transforms.formats.ants import files_with_prefix, in_order
from napari_voxreg.registration.pair_transform import open_transform
from napari_voxreg.transforms import chain

from .conftest import affine, field, grid, points, spline

nibabel = pytest.importorskip("nibabel")
RAS = {2: [-1.0, -1.0], 3: [-1.0, -1.0, 1.0]}


def as_itk(path, there):
    """Points through a field file, as SimpleITK reads and interpolates it."""
    image = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkVectorFloat64)
    native = sitk.DisplacementFieldTransform(image)
    return np.array([native.TransformPoint(p[::-1].tolist())[::-1] for p in there])


@pytest.mark.parametrize("name", ["f.nii.gz", "f.nii", "f.mha", "f.nrrd"])
def test_simpleitk_reads_the_fields_that_we_write(name, case, tmp_path):
    transform = field(case[0], 3)
    path = save_transform(transform, tmp_path / name, format="nifti")
    there = points(case[0])
    tolerance = 1e-3 * case[0].spacing.min()
    assert np.abs(as_itk(path, there) - transform(there)).max() < tolerance
    assert np.abs(load_transform(path)(there) - transform(there)).max() < tolerance


def nifti_of(path, where, vectors, intent, name="", parameter=0.0, second=False):
    """A field as nibabel writes it; vectors (x, y, z) with five axes."""
    d = where.ndim
    order = [*range(d)[::-1], d]
    affine = np.eye(4)
    affine[np.ix_([*range(d), 3], [*range(d), 3])] = (
        np.diag([*RAS[d], 1.0]) @ where.affine[np.ix_(order, order)]
    )
    data = np.moveaxis(vectors, range(d), range(d)[::-1])
    data = data.reshape(*where.shape[::-1], *[1] * (4 - d), d).astype("f4")
    image = (nibabel.Nifti2Image if second else nibabel.Nifti1Image)(data, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    header = image.header
    header["intent_code"], header["intent_p1"] = intent, parameter
    header["intent_name"] = name.encode()
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("second", [False, True], ids=["NIfTI-1", "NIfTI-2"])
@pytest.mark.parametrize(
    ("intent", "name", "parameter", "ras", "positions"),
    [
        (1007, "", 0.0, False, False),
        (1006, "", 0.0, True, False),
        (0, "", 0.0, False, False),
        (1007, "NREG_TRANS", 1.0, True, False),
        (1007, "NREG_TRANS", 0.0, True, True),
        (1007, "Mapping", 0.0, True, True),
    ],
    ids=["ITK", "displacements", "no intent", "NiftyReg", "NiftyReg positions", "SPM positions"],
)
def test_the_header_says_what_the_vectors_are(
    intent, name, parameter, ras, positions, second, case, tmp_path
):
    where = case[0]
    transform = field(where, 4)
    vectors = transform.field + (where.nodes().reshape(transform.field.shape) if positions else 0.0)
    vectors = vectors[..., ::-1] * (RAS[where.ndim] if ras else 1.0)
    path = nifti_of(tmp_path / "f.nii.gz", where, vectors, intent, name, parameter, second)
    there = points(where)
    found = read_transform(path)
    assert np.abs(found.transform(there) - transform(there)).max() < 1e-3
    assert any("RAS" in note for note in found.notes) == ras
    if intent == 1007 and not second and not name:
        assert np.abs(as_itk(path, there) - transform(there)).max() < 1e-3


def test_ras_can_be_stated(tmp_path):
    where = grid(3, 1)
    transform = field(where, 4)
    path = nifti_of(tmp_path / "f.nii", where, transform.field[..., ::-1] * RAS[3], 1007)
    there = points(where)
    assert np.allclose(load_transform(path, format="nifti-ras")(there), transform(there), atol=1e-5)


@pytest.mark.parametrize("intent", [1007, 1006])
def test_components_may_stand_in_the_place_of_time(intent, tmp_path):
    where = grid(3, 1)
    transform = field(where, 4)
    vectors = transform.field[..., ::-1] * (RAS[3] if intent == 1006 else 1.0)
    path = nifti_of(tmp_path / "f.nii", where, vectors, intent)
    image = nibabel.load(path)
    flat = nibabel.Nifti1Image(np.asarray(image.dataobj)[:, :, :, 0], image.affine, image.header)
    flat.header["intent_code"] = intent
    nibabel.save(flat, tmp_path / "g.nii")
    assert nibabel.load(tmp_path / "g.nii").shape == (14, 12, 9, 3)
    there = points(where)
    assert np.allclose(load_transform(tmp_path / "g.nii")(there), transform(there), atol=1e-5)


def test_nitransforms_reads_the_fields_that_we_write(tmp_path):
    nitransforms = pytest.importorskip("nitransforms")
    from nitransforms.io.itk import ITKDisplacementsField

    where = grid(3, 1)
    transform = field(where, 4)
    path = save_transform(transform, tmp_path / "f.nii.gz", format="nifti")
    theirs = nitransforms.nonlinear.DenseFieldTransform(
        ITKDisplacementsField.from_filename(path), is_deltas=True
    )
    nodes = where.nodes()
    mapped = theirs.map(nodes[:, ::-1] * RAS[3]) * RAS[3]
    assert np.abs(mapped[:, ::-1] - transform(nodes)).max() < 1e-3


@pytest.mark.parametrize("content", ["nii", "nii.gz", "mha", "nrrd"])
def test_fields_are_told_by_their_content(content, tmp_path):
    where = grid(2, 1)
    transform = field(where, 4)
    path = save_transform(transform, tmp_path / f"f.{content}", format="nifti")
    there = points(where)
    shutil.copy(path, tmp_path / "renamed.dat")
    path = tmp_path / "renamed.dat"
    assert np.allclose(load_transform(path)(there), transform(there), atol=1e-5)


def test_what_is_no_field_is_refused(tmp_path):
    where = grid(3, 1)
    volume = write_image(Image(np.zeros(where.shape, np.float32), where), tmp_path / "volume.nii.gz")
    with pytest.raises(ValueError, match=r"volume\.nii\.gz is not a transform file"):
        load_transform(volume)
    with pytest.raises(ValueError, match=r"volume\.nii\.gz is not an image of displacement vectors"):
        load_transform(volume, format="nifti")
    fnirt = nibabel.Nifti1Image(np.zeros((5, 6, 7, 3), np.float32), np.eye(4))
    fnirt.header["intent_code"] = 2006
    nibabel.save(fnirt, tmp_path / "fnirt.nii")
    with pytest.raises(ValueError, match=r"fnirt\.nii is .* FSL's own kind of warp"):
        load_transform(tmp_path / "fnirt.nii")
    vectors = np.zeros((*where.shape, 3))
    for kind in (2.0, 4.0):
        path = nifti_of(tmp_path / "cpp.nii", where, vectors, 1007, "NREG_TRANS", kind)
        with pytest.raises(ValueError, match="splines or velocities"):
            load_transform(path)
    vectors[0, 0, 0] = np.nan
    path = nifti_of(tmp_path / "nan.nii", where, vectors, 1007)
    with pytest.raises(ValueError, match="not finite"):
        load_transform(path)
    whole = (tmp_path / "nan.nii").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(whole[:-100]))
    with pytest.raises(ValueError, match=r"cut\.nii.* cannot be read"):
        load_transform(tmp_path / "cut.nii.gz")


def test_any_transform_is_written_at_the_pixels(case, tmp_path):
    fixed = case[0]
    transform = chain(affine(fixed.ndim, 1), spline(fixed, 2))
    path = save_transform(transform, tmp_path / "f.nii.gz", fixed, format="nifti")
    nodes = fixed.nodes()
    assert np.abs(as_itk(path, nodes) - transform(nodes)).max() < 1e-3
    with pytest.raises(ValueError, match="needs the grid of the fixed image; give it"):
        save_transform(transform, tmp_path / "g.nii.gz", format="nifti")
    sheared = Grid(
        fixed.shape, fixed.affine @ (np.eye(fixed.ndim + 1) + np.eye(fixed.ndim + 1, k=1)), fixed.units
    )
    with pytest.raises(ValueError, match="not at right angles"):
        save_transform(transform, tmp_path / "g.nii.gz", sheared, format="nifti")
    assert not (tmp_path / "g.nii.gz").exists()


def test_micrometres_are_written_as_millimetres(tmp_path):
    where = grid(2, 1, units="micrometer")
    transform = field(where, 3)
    path = save_transform(transform, tmp_path / "f.nii.gz", where)
    there = points(where)
    assert np.allclose(as_itk(path, there / 1000) * 1000, transform(there), atol=1e-3)
    assert np.allclose(load_transform(path, where)(there), transform(there), atol=1e-3)


# ANTs ------------------------------------------------------------------------------------------


def test_ants_files_are_chained_in_their_order(case, warped, tmp_path):
    """The warp first, then the affine map: points of the fixed image go through the list from its start."""
    fixed = case[0]
    first = save_transform(warped, tmp_path / "out_", fixed, format="ants")
    assert first.name == "out_0GenericAffine.mat"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out_0GenericAffine.mat", "out_1Warp.nii.gz"]
    there = points(fixed)
    affine_part = sitk.ReadTransform(str(first))
    judged = [
        affine_part.TransformPoint(p[::-1].tolist())[::-1]
        for p in as_itk(tmp_path / "out_1Warp.nii.gz", there)
    ]
    tolerance = 1e-3 * fixed.spacing.min()
    assert np.abs(judged - warped(there)).max() < tolerance
    assert np.abs(load_transform(tmp_path / "out_")(there) - warped(there)).max() < tolerance
    note = open_transform(tmp_path / "out_1Warp.nii.gz").notes[-1]
    assert "out_0GenericAffine.mat, which is beside out_1Warp.nii.gz, is not applied" in note
    both = [tmp_path / name for name in ("out_1Warp.nii.gz", "out_0GenericAffine.mat")]
    for given in (both, tmp_path / "out_"):
        opened = open_transform(given)
        assert not opened.notes and np.abs(opened.transform(there) - warped(there)).max() < tolerance
    assert in_order(both[::-1]) == both


def test_antspyx_applies_what_we_write(case, warped, tmp_path):
    ants = pytest.importorskip("ants", reason="antspyx is in the group bench")
    pandas = pytest.importorskip("pandas")
    fixed = case[0]
    save_transform(warped, tmp_path / "out_", fixed, format="ants")
    there = points(fixed)
    names = [*"xyz"[: fixed.ndim]]
    files = [str(tmp_path / name) for name in ("out_1Warp.nii.gz", "out_0GenericAffine.mat")]
    table = pandas.DataFrame(there[:, ::-1], columns=names)
    found = ants.apply_transforms_to_points(fixed.ndim, table, files)[names].to_numpy()[:, ::-1]
    assert np.abs(found - warped(there)).max() < 0.05 * fixed.spacing.min()


def test_antspyx_writes_what_we_read(case, tmp_path):
    ants = pytest.importorskip("ants", reason="antspyx is in the group bench")
    d, transform = case[0].ndim, affine(case[0].ndim, 6)
    theirs = ants.new_ants_transform(dimension=d, transform_type="AffineTransform")
    linear, shift = transform.matrix[:d, :d][::-1, ::-1], transform.matrix[:d, d][::-1]
    centre = np.arange(1.0, d + 1)
    theirs.set_fixed_parameters(centre)
    theirs.set_parameters(np.append(linear.ravel(), shift - centre + linear @ centre))
    ants.write_transform(theirs, str(tmp_path / "x.mat"))
    there = points(case[0])
    assert np.allclose(load_transform(tmp_path / "x.mat")(there), transform(there), atol=1e-3)


def test_all_stages_of_ants_are_found_in_their_order(tmp_path):
    names = ["x0DerivedInitialMovingTranslation.mat", "x1Rigid.mat", "x2Affine.mat", "x3Warp.nii.gz"]
    others = [
        "x3InverseWarp.nii.gz",
        "xWarped.nii.gz",
        "xInverseWarped.nii.gz",
        "xy0GenericAffine.mat",
        "x.nii.gz",
    ]
    for name in (*names, *others):
        (tmp_path / name).touch()
    assert [path.name for path in files_with_prefix(tmp_path / "x")] == names[::-1]
    assert files_with_prefix(tmp_path / "z") == files_with_prefix(tmp_path / "gone" / "x") == []


@pytest.mark.parametrize(
    "names",
    [
        ("x0GenericAffine.mat", "x0DerivedInitialMovingTranslation.mat", "x1Warp.nii.gz"),
        ("x0GenericAffine.mat", "x1Rigid.mat", "x1Warp.nii.gz"),
        ("x1Warp.nii", "x1Warp.nii.gz"),
    ],
)
def test_files_of_two_runs_of_ants_are_not_mixed(names, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"^x\w+\.[\w.]+ and x\w+\.[\w.]+ are of different runs of ANTs"):
        load_transform(tmp_path / "x")


@pytest.mark.parametrize("place", ["folder", "folder/x"])
@pytest.mark.parametrize("kind", ["numbered", "old", "composite"])
def test_what_ants_writes_is_found_by_its_beginning(kind, place, tmp_path):
    """In a folder of its own, from ANTs before version 2, and as one composite."""
    fixed = grid(2, 1)
    transform = chain(field(fixed, 0), affine(2, 3))
    folder, beginning = tmp_path / "folder", place.removeprefix("folder").removeprefix("/")
    folder.mkdir()
    if kind == "composite":
        save_transform(transform, folder / f"{beginning}Composite.h5", fixed, format="itk")
        save_transform(affine(2, 9), folder / f"{beginning}InverseComposite.h5", fixed, format="itk")
    else:
        warp, last = ("Warp", "Affine.txt") if kind == "old" else ("1Warp", "0GenericAffine.mat")
        save_transform(transform.members[0], folder / f"{beginning}{warp}.nii.gz", fixed)
        form = "itk-text" if kind == "old" else "itk-matlab"
        save_transform(transform.members[1], folder / f"{beginning}{last}", format=form)
        save_transform(field(fixed, 5), folder / f"{beginning}{warp.replace('W', 'InverseW')}.nii.gz", fixed)
    nodes = fixed.nodes()
    assert np.allclose(load_transform(tmp_path / place)(nodes), transform(nodes), atol=1e-4)
    assert np.allclose(open_transform(tmp_path / place).transform(nodes), transform(nodes), atol=1e-4)
    check_transform(tmp_path / place)


def test_a_linear_map_is_one_file_for_ants(tmp_path):
    transform = affine(3, 2)
    path = save_transform(transform, tmp_path / "a0GenericAffine.mat", format="ants")
    assert [p.name for p in tmp_path.iterdir()] == [path.name] == ["a0GenericAffine.mat"]
    assert np.allclose(load_transform(tmp_path / "a").matrix, transform.matrix)
    with pytest.raises(ValueError, match=r"no files b0GenericAffine.mat and b1Warp.nii.gz"):
        load_transform(tmp_path / "b", format="ants")
    with pytest.raises(ValueError, match="warp needs the grid of the fixed image"):
        save_transform(spline(grid(3, 1), 2), tmp_path / "c", format="ants")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_field_of_one_slice_is_read_again(axis, ending, tmp_path):
    shape = np.insert([7, 9], axis, 1)
    whole = grid(3, 4)
    where = Grid.from_spacing(shape, whole.spacing, whole.origin, whole.direction, "millimeter")
    transform = field(where, 1)
    found = load_transform(save_transform(transform, tmp_path / f"f{ending}", where, format="nifti"))
    assert found.grid.shape == where.shape
    assert np.allclose(found.grid.affine, where.affine, rtol=0, atol=1e-5)  # NIfTI places in float32
    assert np.allclose(found.field, transform.field, atol=1e-6)


def test_a_chain_for_ants_on_one_slice_is_read_again(tmp_path):
    whole = grid(3, 4)
    where = Grid.from_spacing((1, 7, 9), whole.spacing, whole.origin, whole.direction, "millimeter")
    transform = chain(field(where, 1), affine(3, 2))
    save_transform(transform, tmp_path / "a_", where, format="ants")
    assert np.allclose(load_transform(tmp_path / "a_")(where.nodes()), transform(where.nodes()), atol=1e-4)


@pytest.mark.parametrize("slices", [1, 6])
@pytest.mark.parametrize(("format", "signs"), [("nifti", (1, 1, 1)), ("nifti-ras", (1, -1, -1))])
def test_vectors_that_the_header_does_not_call_so_are_read_when_named(format, signs, slices, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(4, 5, slices, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(vectors, np.diag([-1.0, -1.0, 2.0, 1.0])), tmp_path / "f.nii")
    found = load_transform(tmp_path / "f.nii", format=format)
    assert np.array_equal(found.field, vectors.transpose(2, 1, 0, 3)[..., ::-1] * np.array(signs))
    with pytest.raises(ValueError, match=r"f\.nii"):
        load_transform(tmp_path / "f.nii")


# Middlebury ------------------------------------------------------------------------------------------


def test_flow_joins_the_pixels_of_two_images(tmp_path):
    fixed, moving = grid(2, 1), grid(2, 2, True)
    flow = np.random.default_rng(0).normal(size=(*fixed.shape, 2)).astype(np.float32)
    path = write_flo(tmp_path / "f.flo", flow)
    index = np.moveaxis(np.indices(fixed.shape), 0, -1).reshape(-1, 2)
    expected = moving.to_world(index + flow.reshape(-1, 2))
    found = load_transform(path, fixed, moving)
    assert np.allclose(found(fixed.nodes()), expected, atol=1e-5)
    assert np.allclose(load_transform(path)(index), index + flow.reshape(-1, 2), atol=1e-5)
    again = save_transform(found, tmp_path / "g.flo", fixed, moving=moving)
    assert np.allclose(np.fromfile(again, "<f4")[3:], np.fromfile(path, "<f4")[3:], atol=1e-5)
    with pytest.raises(ValueError, match=r"f\.flo has the shape"):
        load_transform(path, Grid.from_spacing((5, 5)))
    with pytest.raises(ValueError, match="a plane of displacements"):
        save_transform(Affine.identity(3), tmp_path / "h.flo", grid(3, 1))


def test_unknown_flow_is_that_of_the_nearest_known_pixel(tmp_path):
    flow = np.zeros((8, 9, 2))
    flow[:, 5:] = 2.0
    flow[2:4, 7:] = np.nan
    found = read_transform(write_flo(tmp_path / "f.flo", flow))
    assert (
        np.allclose(found.transform([[3.0, 8.0]]), [[5.0, 10.0]]) and "5.6 % of its pixels" in found.notes[0]
    )
    with pytest.raises(ValueError, match="flow of all pixels as unknown"):
        load_transform(write_flo(tmp_path / "n.flo", np.full((4, 4, 2), np.nan)))


def test_itk_files_of_every_ending_are_read_by_itk(case, warped, tmp_path):
    fixed = case[0]
    there = points(fixed)
    for name, kind in (("t.h5", "itk"), ("t.tfm", None), ("a.txt", "itk-text"), ("a.mat", "itk-matlab")):
        transform = warped if name[0] == "t" else affine(fixed.ndim, 1)
        path = save_transform(transform, tmp_path / name, fixed, format=kind)
        native = sitk.ReadTransform(str(path))
        judged = [native.TransformPoint(p[::-1].tolist())[::-1] for p in there]
        assert np.allclose(judged, transform(there), atol=1e-6)
        shutil.copy(path, tmp_path / "renamed.xyz")
        assert np.allclose(load_transform(tmp_path / "renamed.xyz")(there), transform(there), atol=1e-9)
    assert not list(tmp_path.glob("*.json"))
    assert isinstance(load_transform(tmp_path / "t.h5").members[0], Displacement)


def test_an_itk_file_does_not_replace_a_result(tmp_path):
    where = grid(2, 1)
    save_transform(field(where, 1), tmp_path / "t.h5", where)
    with pytest.raises(ValueError, match=r"t\.json belongs to another t\.h5"):
        save_transform(Affine.identity(2), tmp_path / "t.h5", where, format="itk")
    assert isinstance(load_transform(tmp_path / "t.h5"), Displacement)
    assert read_transform(tmp_path / "t.h5", Grids()).notes == ()
