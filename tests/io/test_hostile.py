"""Files that are damaged or made to do harm: nothing dies, hangs, fills the memory or reads other files."""

import json
import os
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import Affine, BSpline, Displacement, Grid, Image, load_transform, save_transform
from napari_voxreg.core.geometry import unit_factor
from napari_voxreg.io.guards import DENSEST, FREE, check_claim, read_json, user_path
from napari_voxreg.io.images import read_image
from napari_voxreg.io.pairs import Pair, open_pairs, pack, read_pair
from napari_voxreg.io.pairs.reading import read_displacement
from napari_voxreg.io.transforms import load_record
from napari_voxreg.transforms import ThinPlate, chain
from napari_voxreg.transforms.velocity import StationaryVelocity

PLANE = Grid.from_spacing((8, 9), (0.5, 0.7), (3.0, -2.0), units="millimeter")


def text_transform(path, kind, parameters, fixed):
    lines = ["#Insight Transform File V1.0", "#Transform 0", f"Transform: {kind}"]
    path.write_text("\n".join([*lines, f"Parameters: {parameters}", f"FixedParameters: {fixed}", ""]))
    return path


# Transforms


@pytest.mark.parametrize(
    ("kind", "parameters", "fixed", "says"),
    [
        ("Euler2DTransform_double_2_2", "", "0 0", "has 3 parameters, not 0"),
        ("Euler2DTransform_double_2_2", "0 0 0 0", "0 0", "has 3 parameters, not 4"),
        ("Euler2DTransform_double_2_2", "0 0 0", "0", "cannot have 1 fixed parameters"),
        ("AffineTransform_double_3_3", "1 0 0 1 0 0", "0 0 0", "has 12 parameters, not 6"),
        ("AffineTransform_double_2_2", "nan 0 0 1 0 0", "0 0", "not all finite"),
        ("Euler3DTransform_double_2_2", "0 0 0", "0 0", "has 0 parameters"),
        ("BSplineTransform_double_2_2", "0 0 0", "1e9 1e9 0 0 1 1 1 0 0 1", "parameters are needed, not 3"),
        ("BSplineTransform_double_2_2", "0 0 0", "4 4 0 0 1 1", "10 or 18 fixed parameters, not 6"),
        ("DisplacementFieldTransform_double_2_2", "0 0", "-1 1 0 0 1 1 1 0 0 1", "not made of whole numbers"),
        (
            "DisplacementFieldTransform_double_2_2",
            "0 0",
            "1.5 1 0 0 1 1 1 0 0 1",
            "not made of whole numbers",
        ),
        ("WormholeTransform_double_2_2", "0", "0", "WormholeTransform is not known"),
        ("AffineTransform_double_4_4", "0", "0", "which is not known"),
    ],
)
def test_transforms_whose_numbers_do_not_fit_are_refused(tmp_path, kind, parameters, fixed, says, sentence):
    """ITK's own reader ends the process on some of them."""
    assert says in sentence(load_transform, text_transform(tmp_path / "t.tfm", kind, parameters, fixed))
    with h5py.File(tmp_path / "t.h5", "w") as file:
        group = file.create_group("TransformGroup/0")
        group["TransformType"] = [kind]
        group["TransformParameters"] = np.array(parameters.split(), dtype=float)
        group["TransformFixedParameters"] = np.array(fixed.split(), dtype=float)
    assert says in sentence(load_transform, tmp_path / "t.h5")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Transform: AffineTransform_double_2_2\nComponentTransformFile: other.tfm\n",
        b"Parameters: 1 0 0 1 0 0\n",
        b"Transform: AffineTransform_double_2_2\nParameters: one two\n",
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        struct.pack("<5i", 0, 10**9, 10**9, 0, 5) + b"fixed",
        struct.pack("<5i", 0, 3, -1, 0, -7) + b"fixed",
        b"MNI Transform File\nTransform_Type = Grid_Transform;\nDisplacement_Volume = /etc/passwd;\n",
        b"MNI Transform File\nTransform_Type = Linear;\nLinear_Transform =\n 1 0 0;\n",
    ],
)
@pytest.mark.parametrize("ending", ["tfm", "txt", "h5", "mat", "xfm", "nii"])
def test_what_is_no_transform_is_refused(tmp_path, content, ending, sentence):
    path = tmp_path / f"t.{ending}"
    path.write_bytes(content)
    said = sentence(load_transform, path)
    assert "transform" in said or "no text" in said


def test_all_linear_transforms_of_itk_are_read_as_it_reads_them(tmp_path):
    rng = np.random.default_rng(0)
    affine = sitk.AffineTransform(3)
    affine.SetMatrix((np.eye(3) + 0.1 * rng.normal(size=(3, 3))).ravel().tolist())
    affine.SetCenter((4.0, 5.0, 6.0))
    others = [sitk.Similarity3DTransform(), sitk.VersorRigid3DTransform(), sitk.ScaleVersor3DTransform()]
    others += [sitk.ScaleSkewVersor3DTransform(), sitk.ComposeScaleSkewVersor3DTransform()]
    for one in others:
        one.SetTranslation((1.0, -2.0, 3.0))
        one.SetCenter((1.0, 1.0, 2.0))
    euler = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (3.0, 2.0, 1.0))
    scale = sitk.ScaleTransform(3, (1.5, 2.0, 0.5))
    shift = sitk.TranslationTransform(3, (1.0, 2.0, 3.0))
    for one in (affine, *others, euler, scale, shift):
        for ending in ("tfm", "h5", "mat"):
            path = tmp_path / f"t.{ending}"
            sitk.WriteTransform(one, str(path))
            theirs = one.TransformPoint((7.0, 8.0, 9.0))[::-1]
            assert np.allclose(load_transform(path)([[9.0, 8.0, 7.0]])[0], theirs), (one.GetName(), ending)
    affine.SetCenter((0.0, 0.0, 0.0))
    sitk.WriteTransform(affine, str(tmp_path / "t.xfm"))
    theirs = affine.TransformPoint((7.0, 8.0, 9.0))[::-1]
    assert np.allclose(load_transform(tmp_path / "t.xfm")([[9.0, 8.0, 7.0]])[0], theirs, atol=1e-5)


def test_single_precision_and_either_order_of_bytes_are_read_from_matlab_files(tmp_path):
    numbers = [1.5, 0.0, 0.0, 0.5, 3.0, 4.0]
    for order, kind, size in (("<", 10, "f4"), (">", 1000, "f8"), (">", 1010, "f4"), ("<", 100, "f8")):
        content = b""
        for name, values in ((b"AffineTransform_double_2_2", numbers), (b"fixed", [0.0, 0.0])):
            content += struct.pack(f"{order}5i", kind, len(values), 1, 0, len(name) + 1) + name + b"\0"
            content += np.array(values, order + size).tobytes()
        (tmp_path / "t.mat").write_bytes(content)
        assert np.allclose(load_transform(tmp_path / "t.mat")([[1.0, 1.0]])[0], [4.5, 4.5])


def test_chains_fields_and_splines_of_itk_are_read_as_it_reads_them(tmp_path):
    rng = np.random.default_rng(1)
    ours = chain(
        Affine(np.array([[1.1, 0.1, 2.0], [0.0, 0.9, -1.0], [0.0, 0.0, 1.0]])),
        Displacement(rng.normal(size=(8, 9, 2)), PLANE),
        BSpline(rng.normal(size=(2, 8, 9)), PLANE),
    )
    theirs = ours.to_itk(PLANE)
    points = PLANE.nodes()[::5] + 0.01
    expected = [theirs.TransformPoint(point[::-1].tolist())[::-1] for point in points]
    for ending in ("tfm", "h5"):
        sitk.WriteTransform(theirs, str(tmp_path / f"t.{ending}"))
        assert np.allclose(load_transform(tmp_path / f"t.{ending}")(points), expected, atol=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("members"),
        lambda record: record.pop("fixed grid"),
        lambda record: record.pop("h5"),
        lambda record: record.update(members=[]),
        lambda record: record.update(members=[1]),
        lambda record: record["h5"].update(sha256=None),
        lambda record: record["fixed grid"].update(shape=[2_000_000, 2_000_000]),
        lambda record: record["fixed grid"].update(shape=[{}, 2]),
        lambda record: record["fixed grid"].update(affine=[[10**400] * 3] * 3),
        lambda record: record["fixed grid"].update(units=["9**9**9**9", "mm"]),
        lambda record: record["members"][0].update(steps=10**7),
        lambda record: record["members"][0].update(steps="seven"),
        lambda record: record["members"][0].pop("velocity"),
        lambda record: record["members"][0]["velocity"].update(shape=[10**12]),
    ],
)
def test_records_with_absurd_values_are_refused(tmp_path, change, sentence):
    path = save_transform(StationaryVelocity(np.zeros((8, 9, 2)), PLANE), tmp_path / "t.h5", PLANE)
    side = path.with_suffix(".json")
    record = json.loads(side.read_text())
    change(record)
    side.write_text(json.dumps(record))
    sentence(load_transform, side)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, "9" * 10_000, '"\\ud800', "", "\0"])
def test_json_that_is_none_is_refused(tmp_path, text, sentence):
    path = tmp_path / "t.json"
    save_transform(Affine.identity(2), tmp_path / "t.h5", PLANE)
    path.write_text(text)
    assert "not valid JSON" in sentence(read_json, path)
    for read in (load_record, load_transform):
        sentence(read, path)


def test_splines_through_too_many_or_absurd_points_are_refused():
    with pytest.raises(ValueError, match="up to 5000 points, not 6000"):
        ThinPlate(np.zeros((6000, 2)), np.zeros((6000, 2)))
    for points in (np.full((4, 2), np.nan), np.full((4, 2), np.inf)):
        with pytest.raises(ValueError, match="finite numbers"):
            ThinPlate(points, points)


# HDF5 files


def stacks(path, fixed):
    with h5py.File(path, "w") as file:
        fixed(file)
        file["moving"] = np.ones((4, 8, 8), np.uint8)
    return path


def _external(file):
    file.create_dataset("fixed", (4, 8, 8), np.uint8, external=[(str(SECRET), 0, 256)])


def _virtual(file):
    layout = h5py.VirtualLayout((4, 8, 8), np.uint8)
    layout[:] = h5py.VirtualSource(str(SECRET), "fixed", (4, 8, 8))
    file.create_virtual_dataset("fixed", layout)


SECRET = Path(os.devnull).with_name("secret")


@pytest.mark.parametrize("fixed", [_external, _virtual])
def test_other_files_are_not_read_through_an_hdf5_file(tmp_path, fixed, sentence):
    path = stacks(tmp_path / "s.h5", fixed)
    said = sentence(lambda _: read_pair(open_pairs(path).all[0]), path)
    assert "keeps data in another file" in said


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "fixed"), h5py.SoftLink("/moving")])
def test_links_in_a_pair_file_are_not_followed(tmp_path, link, sentence):
    stacks(tmp_path / "other.h5", lambda file: file.create_dataset("fixed", data=np.ones((4, 8, 8))))
    one = Image(np.ones((8, 8), np.uint8), Grid.from_spacing((8, 8)), "one")
    two = Image(np.zeros((8, 8), np.uint8), Grid.from_spacing((8, 8)), "two")
    path = pack(open_pairs([Pair("a", one, two)]), tmp_path / "s.h5")
    with h5py.File(path, "r+") as file:
        del file["images/000000"]
        file["images/000000"] = link
    assert "another file" in sentence(lambda _: read_pair(open_pairs(path).all[0]), path)


@pytest.mark.parametrize(
    "options",
    [{}, {"chunks": (1, 1024, 1024)}, {"chunks": (1, 1024, 1024), "compression": "gzip"}],
    ids=["contiguous", "chunked", "compressed"],
)
def test_shapes_that_an_hdf5_file_cannot_hold_are_refused(tmp_path, options, sentence):
    path = stacks(
        tmp_path / "s.h5", lambda file: file.create_dataset("fixed", (4, 10**6, 10**6), "u1", **options)
    )
    with h5py.File(path, "r+") as file:
        del file["moving"]
        file.create_dataset("moving", (4, 10**6, 10**6), "u1", **options)
    assert "claims" in sentence(lambda _: read_pair(open_pairs(path).all[0]), path)


# Everything else


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path, sentence):
    from napari_voxreg.evaluation.table import Table
    from napari_voxreg.methods.elastix.parameter_maps import read_map
    from napari_voxreg.nets.checkpoints.checkpoint import open_checkpoint

    image = Image(np.zeros((8, 9)), Grid.from_spacing((8, 9)), "plane")
    readers = {
        "png": read_image,
        "tif": read_image,
        "dcm": read_image,
        "tfm": load_transform,
        "h5": load_transform,
        "csv": open_pairs,
        "hdf5": open_pairs,
        "pt": open_checkpoint,
        "safetensors": open_checkpoint,
        "txt": lambda path: read_map(path, 2),
        "npy": lambda path: read_displacement(path, image, image),
        "flo": lambda path: read_displacement(path, image, image),
    }
    for ending, read in readers.items():
        path = tmp_path / f"a.{ending}"
        os.mkfifo(path)
        sentence(read, path)
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(ValueError, match=r"table\.csv is not a regular file"):
        Table(tmp_path)


@pytest.mark.parametrize(
    "unit", ["9**9**9**9", "m m(", "mm*mm", "1 mm", "(mm)", "m" * 40, "lambda", "", "µm\0"]
)
def test_units_are_names_and_never_computed(unit):
    for pair in ((unit, "meter"), ("meter", unit)):
        with pytest.raises(ValueError, match="is not the name of a unit"):
            unit_factor(*pair)


def test_units_that_are_names_convert_as_before():
    for source, target, factor in (("mm", "µm", 1e3), ("inch", "millimeter", 25.4), ("Å", "nanometer", 0.1)):
        assert unit_factor(source, target) == pytest.approx(factor)
    for source in ("nan", "degC", "dB", "pixel", "None_", "second"):
        with pytest.raises(ValueError, match="cannot be converted"):
            unit_factor(source, "meter")


def test_a_table_of_pairs_with_absurd_paths_is_refused(tmp_path, sentence):
    for text in ("~nobody-here/a.png", "a" * 5000, "b\0c", "missing.png"):
        (tmp_path / "pairs.csv").write_text(f"fixed,moving\n{text},{text}\n")
        assert "row 2" in sentence(open_pairs, tmp_path / "pairs.csv")
    with pytest.raises(ValueError, match=r"~nobody-here/a\.csv names a user without a home folder"):
        user_path("~nobody-here/a.csv")


def test_an_array_that_claims_more_than_its_file_is_refused(tmp_path, sentence):
    image = Image(np.zeros((8, 9)), Grid.from_spacing((8, 9)), "plane")
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 9)))
    content = (tmp_path / "a.npy").read_bytes()
    for new in (b"(2, 8, 99999999999)", b"(2, 8, 9"):
        (tmp_path / "a.npy").write_bytes(content.replace(b"(2, 8, 9)", new, 1))
        sentence(lambda path: read_displacement(path, image, image), tmp_path / "a.npy")


def test_claims_are_bounded_by_what_is_stored():
    check_claim("a", FREE, 1)
    check_claim("a", FREE + 1, FREE // DENSEST + 1)
    with pytest.raises(ValueError, match=r"a claims 1\.0 GB of contents in 1\.0 MB"):
        check_claim("a", 2**30, 2**20)


def test_transforms_that_do_not_follow_each_other_are_refused(tmp_path):
    one = "Transform: TranslationTransform_double_2_2\nParameters: {} 0\nFixedParameters:\n"
    path = tmp_path / "two.tfm"
    path.write_text("#Insight Transform File V1.0\n" + one.format(1) + one.format(2))
    with pytest.raises(ValueError, match="holds 2 transforms"):
        load_transform(path)
