"""elastix's files, with transformix as the judge."""

import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import Affine, BSpline, Displacement, load_transform, save_transform
from napari_voxreg.io.transforms import read_transform
from napari_voxreg.transforms import Composite, chain, displacement_on

from .conftest import affine, field, grid, points, spline


def write(path, where, **values):
    """A file as elastix writes it: matrices by columns."""
    d = where.ndim
    known = {
        "FixedImageDimension": d,
        "MovingImageDimension": d,
        "FixedInternalImagePixelType": '"float"',
        "MovingInternalImagePixelType": '"float"',
        "Size": where.shape[::-1],
        "Index": [0] * d,
        "Spacing": where.spacing[::-1],
        "Origin": where.origin[::-1],
        "Direction": where.direction[::-1, ::-1].T.ravel(),
        "UseDirectionCosines": '"true"',
        "InitialTransformParameterFileName": '"NoInitialTransform"',
        "HowToCombineTransforms": '"Compose"',
        "ResampleInterpolator": '"FinalLinearInterpolator"',
        "Resampler": '"DefaultResampler"',
        "DefaultPixelValue": 0,
        "ResultImageFormat": '"mha"',
        "ResultImagePixelType": '"float"',
        **values,
    }
    lines = []
    for name, value in known.items():
        text = value if isinstance(value, str) else " ".join(map(repr, np.ravel(value).tolist()))
        lines.append(f"({name} {text})")
    path.write_text("// written for a test\n\n" + "\n".join(lines) + "\n")
    return path


def stage(kind, where, rng):
    """The values of a transform of any kind, on an oblique grid."""
    d = where.ndim
    centre = {"CenterOfRotationPoint": where.centre[::-1] + 1.0}
    small = 0.2 * rng.normal(size=3)
    shift = 2 * rng.normal(size=d)
    if kind == "TranslationTransform":
        values, parameters = {}, shift
    elif kind == "EulerTransform":
        values, parameters = centre, np.append(small[: 1 if d == 2 else 3], shift)
    elif kind == "EulerTransform ZYX":
        values, parameters = {**centre, "ComputeZYX": '"true"'}, np.append(small[: 1 if d == 2 else 3], shift)
    elif kind == "SimilarityTransform":
        values = centre
        parameters = [1.2, 0.3, *shift] if d == 2 else [*small, *shift, 1.2]
    elif kind in ("AffineTransform", "AffineLogTransform"):
        linear = (kind == "AffineTransform") * np.eye(d) + 0.2 * rng.normal(size=(d, d))
        values, parameters = centre, np.append(linear, shift)
    else:
        one = spline(where, 7)
        control = one.grid
        values = {
            "GridSize": control.shape[::-1],
            "GridIndex": [0] * d,
            "GridSpacing": control.spacing[::-1],
            "GridOrigin": control.origin[::-1],
            "GridDirection": control.direction[::-1, ::-1].T.ravel(),
            "BSplineTransformSplineOrder": 3,
            "UseCyclicTransform": '"false"',
        }
        parameters = one.coefficients.ravel()
    return {
        "Transform": f'"{kind.split()[0]}"',
        "NumberOfParameters": len(parameters),
        "TransformParameters": parameters,
        **values,
    }


def transformix(files, where, folder):
    """The displacements at the pixels of a grid, by elastix's own program."""
    itk = pytest.importorskip("itk")
    if not hasattr(itk, "ElastixRegistrationMethod"):
        pytest.skip("needs itk-elastix")
    from napari_voxreg.methods.elastix.child import _placed

    d = where.ndim
    image = _placed(itk.GetImageFromArray(np.zeros(where.shape, np.float32)), where)
    parameters = itk.ParameterObject.New()
    for file in files:
        parameters.AddParameterFile(str(file))
    job = itk.TransformixFilter[itk.Image[itk.F, d]].New()
    job.SetMovingImage(image)
    job.SetTransformParameterObject(parameters)
    job.ComputeDeformationFieldOn()
    job.SetOutputDirectory(str(folder))
    job.UpdateLargestPossibleRegion()
    return itk.GetArrayFromImage(job.GetOutputDeformationField())[..., ::-1].astype(float)


KINDS = (
    *("TranslationTransform", "EulerTransform", "EulerTransform ZYX", "SimilarityTransform"),
    *("AffineTransform", "AffineLogTransform", "BSplineTransform", "RecursiveBSplineTransform"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_transformix_maps_as_we_read(kind, case, tmp_path):
    fixed = case[0]
    path = write(tmp_path / "t.0.txt", fixed, **stage(kind, fixed, np.random.default_rng(1)))
    expected = transformix([path], fixed, tmp_path)
    assert np.abs(expected).max() > 0.5
    tolerance = 1e-3 * fixed.spacing.min()
    assert np.abs(displacement_on(load_transform(path), fixed) - expected).max() < tolerance


CHAINS = [
    ("EulerTransform", "BSplineTransform"),
    ("BSplineTransform", "AffineTransform"),
    ("AffineTransform", "EulerTransform"),
]


@pytest.mark.parametrize("how", ["Compose", "Add"])
@pytest.mark.parametrize(
    "kinds",
    [
        ("EulerTransform", "BSplineTransform"),
        ("BSplineTransform", "AffineTransform"),
        ("AffineTransform", "EulerTransform"),
    ],
)
def test_chains_are_followed_as_transformix_does(how, kinds, case, tmp_path):
    fixed, rng = case[0], np.random.default_rng(2)
    files, initial = [], "NoInitialTransform"
    for n, kind in enumerate(kinds):
        values = stage(kind, fixed, rng) | {"HowToCombineTransforms": f'"{how}"'}
        files.append(
            write(
                tmp_path / f"TransformParameters.{n}.txt",
                fixed,
                **values,
                InitialTransformParameterFileName=f'"{initial}"',
            )
        )
        initial = f"/gone/{files[-1].name}"
    tolerance = 1e-3 * fixed.spacing.min()
    expected = transformix(files, fixed, tmp_path)
    assert np.abs(displacement_on(load_transform(files[-1]), fixed) - expected).max() < tolerance


@pytest.mark.parametrize("parts", ["affine", "spline", "chain"])
def test_transformix_reads_what_we_write(parts, case, tmp_path):
    fixed = case[0]
    one, other = affine(fixed.ndim, 8), spline(fixed, 9)
    transform = {"affine": one, "spline": other, "chain": chain(one, other, affine(fixed.ndim, 3))}[parts]
    path = save_transform(transform, tmp_path / "TransformParameters.txt", fixed, format="elastix")
    files = [*sorted(tmp_path.glob("*.initial?.txt")), path]
    assert len(files) == (3 if parts == "chain" else 1)
    expected = transformix(files, fixed, tmp_path)
    assert np.abs(displacement_on(transform, fixed) - expected).max() < 1e-3 * fixed.spacing.min()
    there = points(fixed)
    assert np.allclose(load_transform(path)(there), transform(there), rtol=0, atol=1e-9)


def test_two_deformations_are_added_at_the_pixels(tmp_path):
    fixed, rng = grid(2, 1), np.random.default_rng(2)
    first = write(tmp_path / "a.txt", fixed, **stage("BSplineTransform", fixed, rng))
    values = stage("BSplineTransform", fixed, rng) | {"HowToCombineTransforms": '"Add"'}
    second = write(tmp_path / "b.txt", fixed, **values, InitialTransformParameterFileName='"a.txt"')
    found = load_transform(second)
    assert isinstance(found, Displacement)
    expected = 2 * displacement_on(load_transform(first), fixed)
    assert np.allclose(found.field, expected, atol=1e-9)


def test_external_transforms_and_fields_are_followed(tmp_path):
    euler = sitk.Euler2DTransform((3.0, 4.0), 0.3, (1.0, -2.0))
    for name in ("a.tfm", "a.h5"):
        sitk.WriteTransform(euler, str(tmp_path / name))
        (tmp_path / "link.txt").write_text(f'(Transform "File")\n(TransformFileName "{name}")\n')
        expected = euler.TransformPoint((7.0, 8.0))[::-1]
        assert np.allclose(load_transform(tmp_path / "link.txt")([[8.0, 7.0]])[0], expected)
    where = grid(3, 4)
    save_transform(field(where, 1), tmp_path / "deformationField.mha", format="nifti")
    (tmp_path / "f.txt").write_text(
        '(Transform "DeformationFieldTransform")\n(DeformationFieldFileName "/gone/deformationField.mha")\n'
    )
    there = points(where)
    assert np.allclose(load_transform(tmp_path / "f.txt")(there), field(where, 1)(there), atol=1e-6)


def test_a_centre_of_rotation_of_old_files_is_an_index(tmp_path):
    where = grid(2, 3)
    values = {"Transform": '"EulerTransform"', "TransformParameters": [0.3, 0, 0]}
    new = write(
        tmp_path / "new.txt", where, **values, CenterOfRotationPoint=where.to_world([[2.0, 5.0]])[0, ::-1]
    )
    old = write(tmp_path / "old.txt", where, **values, CenterOfRotation=[5.0, 2.0])
    assert np.allclose(load_transform(old).matrix, load_transform(new).matrix)


def test_toml_and_binary_parameters_are_read(tmp_path):
    where = grid(2, 3)
    parameters = stage("BSplineTransform", where, np.random.default_rng(0))
    path = write(tmp_path / "t.txt", where, **parameters)
    np.asarray(parameters["TransformParameters"], "<f8").tofile(tmp_path / "t.dat")
    binary = write(
        tmp_path / "b.txt",
        where,
        **parameters
        | {"TransformParameters": '"t.dat"', "UseBinaryFormatForTransformationParameters": '"true"'},
    )
    lines = []
    for line in path.read_text().splitlines()[2:]:
        name, _, rest = line.strip("()").partition(" ")
        words = rest.split()
        lines.append(f"{name} = {words[0] if len(words) == 1 else '[' + ', '.join(words) + ']'}")
    (tmp_path / "t.toml").write_text("\n".join(lines))
    there = points(where)
    expected = load_transform(path)(there)
    assert isinstance(load_transform(path), BSpline)
    for other in (binary, tmp_path / "t.toml"):
        assert np.array_equal(load_transform(other)(there), expected)


INITIAL = "InitialTransformParameterFileName"
NAME = "TransformParameters.0.txt"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({INITIAL: '"first.txt"'}, "initial transform 'first.txt', which is missing"),
        ({INITIAL: '"t.txt"'}, "its own initial transform"),
        ({"Transform": '"SplineKernelTransform"'}, "which is not read; run transformix"),
        ({"NumberOfParameters": 7}, "states 7 parameters and holds 6"),
        ({"TransformParameters": [1, 0, 0, float("nan"), 0, 0]}, "holds 6"),
        ({"CenterOfRotationPoint": [1]}, "damaged"),
        ({"HowToCombineTransforms": '"Multiply"', INITIAL: '"ok.txt"'}, "'Multiply'"),
        ({"Transform": '"File"', "TransformFileName": '"gone.tfm"'}, "'gone.tfm', which is missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_sentence(change, words, tmp_path):
    where = grid(2, 3)
    good = stage("AffineTransform", where, np.random.default_rng(0))
    write(tmp_path / "ok.txt", where, **good)
    path = write(tmp_path / "t.txt", where, **good | change)
    with pytest.raises(ValueError, match=r"^[^\n]*t\.txt[^\n]*\.$") as raised:
        load_transform(path)
    assert words in str(raised.value)


def test_settings_are_no_transform(tmp_path):
    (tmp_path / "p.txt").write_text(
        '(Transform "BSplineTransform")\n(Metric "AdvancedMattesMutualInformation")\n'
    )
    with pytest.raises(ValueError, match="settings for elastix and no result"):
        load_transform(tmp_path / "p.txt")


def test_what_elastix_has_not_is_not_written(tmp_path):
    where = grid(2, 3)
    with pytest.raises(ValueError, match="affine maps and B-splines only"):
        save_transform(field(where, 0), tmp_path / "t.txt", where, format="elastix")
    with pytest.raises(ValueError, match="grid of the fixed image; give it"):
        save_transform(Affine.identity(2), tmp_path / "t.txt", format="elastix")
    assert list(tmp_path.iterdir()) == []


def test_directions_that_were_not_used_are_noted(tmp_path):
    values = stage("TranslationTransform", grid(2, 3), np.random.default_rng(0))
    path = write(tmp_path / "t.txt", grid(2, 3), **values | {"UseDirectionCosines": '"false"'})
    assert "UseDirectionCosines" in read_transform(path).notes[0]
    assert not isinstance(read_transform(path).transform, Composite)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in which elastix was run with -t0 affine/TransformParameters.0.txt and -out out."""
    where, rng = grid(2, 3), np.random.default_rng(4)
    for folder, more in (("affine", {}), ("out", {INITIAL: '"affine/TransformParameters.0.txt"'})):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / NAME, where, **stage("AffineTransform", where, rng) | more)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own_matrix(path):
    """The matrix of a file alone."""
    alone = path.with_name("alone.txt")
    alone.write_text(path.read_text().replace("affine/TransformParameters.0.txt", "NoInitialTransform"))
    return load_transform(alone).matrix


@pytest.mark.parametrize("folder", [".", "out", "/"])
def test_a_relative_initial_transform_of_the_same_name_is_found(folder, project, monkeypatch):
    expected = own_matrix(project / "out" / NAME) @ own_matrix(project / "affine" / NAME)
    monkeypatch.chdir(folder)
    assert np.allclose(load_transform(project / "out" / NAME).matrix, expected)


def test_a_missing_initial_transform_is_named_with_its_path(project):
    (project / "affine" / NAME).unlink()
    with pytest.raises(ValueError, match=r"'affine/TransformParameters\.0\.txt', which is missing"):
        load_transform(project / "out" / NAME)


def test_two_different_initial_transforms_of_one_name_are_refused(project):
    where = grid(2, 3)
    (project / "out" / "affine").mkdir()
    other = stage("AffineTransform", where, np.random.default_rng(9))
    write(project / "out" / "affine" / NAME, where, **other)
    with pytest.raises(ValueError, match="are different; write the whole path"):
        load_transform(project / "out" / NAME)


def test_an_empty_name_is_no_initial_transform(tmp_path):
    where, values = grid(2, 3), stage("AffineTransform", grid(2, 3), np.random.default_rng(4))
    plain = load_transform(write(tmp_path / "a.txt", where, **values)).matrix
    empty = write(tmp_path / "b.txt", where, **values | {INITIAL: '""'})
    assert np.array_equal(load_transform(empty).matrix, plain)


@pytest.mark.parametrize("order", ["1", "2", "3"])
def test_the_orders_that_become_a_field_are_noted(order, tmp_path):
    where = grid(2, 3)
    path = save_transform(spline(where, 1), tmp_path / "t.txt", where, format="elastix")
    path.write_text(path.read_text().replace("SplineOrder 3", f"SplineOrder {order}"))
    found = read_transform(path)
    assert isinstance(found.transform, BSpline if order == "3" else Displacement)
    said = ("t.txt is a B-spline of another order than 3",) if order != "3" else ()
    assert tuple(note.partition(";")[0] for note in found.notes) == said
