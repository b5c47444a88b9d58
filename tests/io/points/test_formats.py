"""Points in the formats of elastix, Slicer and BigWarp, as these programs write and read them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import Grid
from napari_voxreg.io.points import (
    BIGWARP,
    ENDINGS,
    PairFile,
    PointFile,
    holds_points,
    read_point_file,
    read_point_pairs,
    read_points,
    write_point_pairs,
    write_points,
)

# One point in all of them, left, posterior, superior: x = -10.5, y = 20.25, z = 30; here it is (z, y, x).
POINT = [30.0, 20.25, -10.5]
SLICER = (
    "# Markups fiducial file version = {version}\n# CoordinateSystem = {system}\n"
    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    'vtkMRMLMarkupsFiducialNode_0,{x},{y},30,0,0,0,1,1,1,0,"nasion, left",,{rest}\n'
)
OUTPUT = (
    "Point\t0\t; InputIndex = [ 6 9 4 ]\t; InputPoint = [ 3.158294 6.095693 8.0 ]\t"
    "; OutputIndexFixed = [ -21 29 15 ]\t; OutputPoint = [ -10.500000 20.250000 30.000000 ]\t"
    "; Deformation = [ 3.625399 -2.301655 1.0 ]\t; OutputIndexMoving = [ 14 5 2 ]\n"
)


def markups(system: object = "LPS", sign: float = 1.0, **more: object) -> dict:
    """A file of one control point as Slicer writes it."""
    control = {"id": "1", "label": "nasion", "position": [-10.5 * sign, 20.25 * sign, 30.0], **more}
    one = {"type": "Fiducial", "coordinateSystem": system, "controlPoints": [control]}
    return {"@schema": "markups-schema-v1.0.0.json#", "markups": [one]}


def fcsv(system: str, version: str = "4.11", rest: str = "") -> str:
    sign = -1 if system in ("0", "RAS") else 1
    return SLICER.format(version=version, system=system, x=-10.5 * sign, y=20.25 * sign, rest=rest)


FILES = {
    "new.fcsv": fcsv("LPS"),
    "new_ras.fcsv": fcsv("RAS"),
    "numbered.fcsv": fcsv("1", "4.10"),
    "old.fcsv": fcsv("0", "4.3", "vtkMRMLScalarVolumeNode1"),
    "slicer5.fcsv": fcsv("LPS", "5.6", ",2,0"),
    "slicer3.fcsv": (
        "# Fiducial List file /here\n# version = 2\n# numPoints = 1\n# columns = label,x,y,z,sel,vis\n"
        "nasion,10.5,-20.25,30,1,1\n"
    ),
    "lps_slicer.csv": (
        "label,l,p,s,defined,selected,visible,locked,description\nnasion,-10.5,20.25,30,1,1,1,0,\n"
    ),
    "ras_slicer.tsv": "label\tr\ta\ts\nnasion\t10.5\t-20.25\t30\n",
    "lps.mrk.json": json.dumps(markups()),
    "ras.mrk.json": json.dumps(markups("RAS", -1.0, positionStatus="defined")),
    "units.json": json.dumps(markups(associatedNodeID="")),
    "point.txt": "point\n1\n-10.5 20.25 30\n",
    "outputpoints.txt": OUTPUT,
    "ants.csv": "x,y,z,t,label\n-10.5,20.25,30,0,1\n",
    "napari.csv": "index,axis-0,axis-1,axis-2\n0.0,30.0,20.25,-10.5\n",
}


@pytest.mark.parametrize("name", FILES)
def test_one_point_is_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    found = read_point_file(tmp_path / name)
    assert found.points.tolist() == [POINT]
    assert found.notes == () and holds_points(tmp_path / name)
    assert found.unit == ("millimeter" if any(word in name for word in ("fcsv", "json", "slicer")) else None)
    # Told apart by what they hold, whatever they are called.
    (tmp_path / "other.csv").write_text(FILES[name], encoding="utf-8")
    assert read_points(tmp_path / "other.csv").tolist() == [POINT]


def test_labels_are_read_with_what_stands_between_quotes(tmp_path):
    for name, label in (("new.fcsv", "nasion, left"), ("slicer3.fcsv", "nasion"), ("lps.mrk.json", "nasion")):
        (tmp_path / name).write_text(FILES[name])
        assert read_point_file(tmp_path / name).labels == (label,)


def test_slicers_millimetres_become_the_units_of_the_image(tmp_path):
    grid = Grid.from_spacing((4, 4, 4), units="micrometer")
    (tmp_path / "a.fcsv").write_text(FILES["new.fcsv"])
    assert np.allclose(read_points(tmp_path / "a.fcsv", grid), 1000 * np.array([POINT]))
    in_pixels = Grid.from_spacing((4, 4, 4))
    assert read_points(tmp_path / "a.fcsv", in_pixels).tolist() == [POINT]
    stated = markups()
    stated["markups"][0]["coordinateUnits"] = ["um", "UCUM", "micrometer"]
    (tmp_path / "a.mrk.json").write_text(json.dumps(stated))
    assert np.allclose(read_points(tmp_path / "a.mrk.json", grid), [POINT])


def test_points_of_a_plane_are_those_of_slicers_slice_at_zero(tmp_path):
    flat = Grid.from_spacing((9, 9), units="millimeter")
    for ending in (".fcsv", ".mrk.json"):
        path = write_points(PointFile(np.array([[3.0, 4.0]])), tmp_path / f"a{ending}")
        assert read_points(path).tolist() == [[0, 3, 4]]
        assert read_points(path, flat).tolist() == [[3, 4]]


def test_indices_of_elastix_need_their_image(tmp_path):
    grid = Grid.from_spacing((9, 9), (2.0, 0.5), (10.0, 20.0), units="millimeter")
    for text in ("index\n2\n4 1\n0 0\n", "2\n4 1\n0 0\n"):  # transformix takes the second for indices, too
        (tmp_path / "a.txt").write_text(text)
        assert read_points(tmp_path / "a.txt", grid).tolist() == [[12, 22], [10, 20]]
        with pytest.raises(ValueError, match=r"a\.txt holds indices of an image that is not known"):
            read_points(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("index\n1\n4 1 2\n")
    with pytest.raises(ValueError, match="3D indices and its image is 2D"):
        read_points(tmp_path / "a.txt", grid)


def test_what_slicer_has_not_placed_is_left_out_and_said(tmp_path):
    held = markups()
    controls = held["markups"][0]["controlPoints"]
    controls += [{"label": "b", "positionStatus": "undefined"}, {**controls[0], "positionStatus": "preview"}]
    (tmp_path / "a.mrk.json").write_text(json.dumps(held))
    found = read_point_file(tmp_path / "a.mrk.json")
    assert found.points.tolist() == [POINT] and found.labels == ("nasion",)
    assert found.notes == ("2 points of a.mrk.json are left out: not placed in Slicer.",)
    line = "2,1,2,3,0,0,0,1,1,1,0,b,,,{status},0\n"
    text = fcsv("LPS", rest=",2,0") + line.format(status=0) + line.format(status=2)
    (tmp_path / "a.fcsv").write_text(text)
    (tmp_path / "a.csv").write_text("label,l,p,s,defined\nnasion,-10.5,20.25,30,1\nb,0,0,0,0\n")
    found = read_point_file(tmp_path / "a.csv")
    assert found.points.tolist() == [POINT] and found.labels == ("nasion",)
    assert found.notes == ("1 point of a.csv is left out: not placed in Slicer.",)
    found = read_point_file(tmp_path / "a.fcsv")
    assert found.points.tolist() == [POINT, [3, 2, 1]] and found.labels == ("nasion, left", "b")
    assert found.notes == ("1 point of a.fcsv is left out: not placed in Slicer.",)


LANDMARKS = {
    2: '"Pt-0","true","1.5","2","3","4.5"\n',
    3: '"Pt-0","true","1.5","2","-7","3","4.5","-8"\n',
}


@pytest.mark.parametrize("d", [2, 3])
def test_bigwarp_has_moving_first_and_x_first(tmp_path, d):
    path = tmp_path / "landmarks.csv"
    inactive = LANDMARKS[d].replace("true", "false").replace("Pt-0", "Pt-1")
    numbers = ",".join(['"Infinity"'] * d + ['"1.0"'] * d)
    path.write_text(LANDMARKS[d] + inactive + f'"Pt-2","true",{numbers}\n')
    found = read_point_pairs(path)
    assert found.moving.tolist() == [[2, 1.5] if d == 2 else [-7, 2, 1.5]]
    assert found.fixed.tolist() == [[4.5, 3] if d == 2 else [-8, 4.5, 3]]
    assert found.labels == ("Pt-0",)
    assert found.notes == (
        "1 point of landmarks.csv is left out: inactive in BigWarp.",
        "1 point of landmarks.csv is left out: not placed in both images.",
    )
    path.write_text(LANDMARKS[d])
    again = write_point_pairs(read_point_pairs(path), tmp_path / "again.csv", BIGWARP)
    # The same but for the zeros after whole numbers.
    assert again.read_text().replace('.0"', '"') == LANDMARKS[d]
    with pytest.raises(ValueError, match=r"landmarks\.csv holds pairs of points; give it for both images"):
        read_points(path)


def test_the_json_of_bigwarp_holds_pairs_too(tmp_path):
    path = tmp_path / "landmarks.json"
    record = {
        "type": "BigWarpLandmarks",
        "numDimensions": 2,
        "movingPoints": [[1.5, 2.0], [None, None], [5.0, 6.0]],
        "fixedPoints": [[3.0, 4.5], [1.0, 2.0], [7.0, 8.0]],
        "active": [True, True, False],
        "names": ["a", "b", "c"],
    }
    path.write_text(json.dumps(record))
    found = read_point_pairs(path)
    assert holds_points(path) and found.labels == ("a",) and len(found.notes) == 2
    assert found.moving.tolist() == [[2, 1.5]] and found.fixed.tolist() == [[4.5, 3]]
    for changed in (
        {"names": ["a"]},
        {"active": 3},
        {"movingPoints": [[1, 2]]},
        {"fixedPoints": [["a", 1]] * 3},
    ):
        path.write_text(json.dumps(record | changed))
        with pytest.raises(ValueError, match=r"landmarks\.json starts like landmarks of BigWarp, but"):
            read_point_pairs(path)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".pts", ".fcsv", ".mrk.json", ".json"])
def test_points_come_back_to_the_last_digits(tmp_path, ending):
    assert ending in ENDINGS
    points = np.random.default_rng(0).uniform(-1e4, 1e4, (7, 3))
    held = PointFile(points, tuple("abcdefg"), "millimeter")
    found = read_point_file(write_points(held, tmp_path / "new" / f"points{ending}"))
    assert np.array_equal(found.points, points)
    if ending not in (".txt", ".pts"):
        assert found.labels == held.labels
    metres = PointFile(points / 1000, unit="meter")
    slicer = ending in (".fcsv", ".mrk.json", ".json")
    found = read_points(write_points(metres, tmp_path / f"metres{ending}"))
    assert np.allclose(found, points if slicer else points / 1000, rtol=1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "old.fcsv",
        "slicer3.fcsv",
        "slicer5.fcsv",
        "ras.mrk.json",
        "ants.csv",
        "lps_slicer.csv",
        "ras_slicer.tsv",
    ],
)
def test_other_coordinates_leave_all_else_of_a_file_as_it_is(tmp_path, name):
    source, target = tmp_path / name, tmp_path / f"moved_{name}"
    source.write_text(FILES[name])
    found = read_point_file(source)
    moved = PointFile(found.points + 1, found.labels, found.unit)
    write_points(moved, target, source)
    assert read_points(target).tolist() == (found.points + 1).tolist()
    assert read_point_file(target).labels == found.labels
    kept = (
        "label,l,p,s,def",
        ",1,1,1,0,",
        "# version = 2",
        "vtkMRMLMarkupsFiducialNode_0",
        "@schema",
        "t,label",
        '"nasion, left"',
        ",2,0",
    )
    for words in kept:
        assert (words in target.read_text()) == (words in FILES[name])


BROKEN = {
    "scene.xml": ('<?xml version="1.0"?>\n<a/>\n', "holds no points of a known format; give CSV"),
    "cut.mrk.json": (json.dumps(markups())[:-20], "damaged"),
    "none.json": ('{"a": 1}', "without markups and control points"),
    "list.json": ('{"markups": {"controlPoints": 3}}', "without markups"),
    "text.mrk.json": (json.dumps(markups(position=["a", 2, 3])), "position of three numbers"),
    "two.mrk.json": (json.dumps(markups(position=[1, 2])), "position of three numbers"),
    "nothing.mrk.json": (json.dumps(markups(position=None)), "position of three numbers"),
    "word.mrk.json": (json.dumps(markups()).replace('[{"id"', '["a", {"id"'), "position of three numbers"),
    "ijk.mrk.json": (json.dumps(markups("IJK")), "coordinate system IJK; save it in LPS or RAS"),
    "volt.mrk.json": (json.dumps(markups()).replace('"type"', '"coordinateUnits": "volt", "type"'), "volt"),
    "cut.fcsv": (fcsv("LPS")[:-60], "line without x, y and z"),
    "word.fcsv": (fcsv("LPS").replace("20.25", "here"), "line without x, y and z"),
    "xyz.fcsv": (fcsv("XYZ"), "coordinate system XYZ; save it in LPS or RAS"),
    "columns.fcsv": (fcsv("LPS").replace("id,x,y", "id,a,b"), "line without x, y and z"),
    "slicer.csv": ("label,r,a,s\na,1,2\n", "line without r, a, s; complete or delete it"),
    "cut.txt": ("point\n3\n1 2\n3 4\n", "as many points as its header states"),
    "more.txt": ("point\n1\n1 2\n3 4\n", "as many points as its header states"),
    "third.txt": ("point\n3\n1 2 3\n4 5 6\n", "as many points as its header states"),
    "fewer.txt": ("2\n1 2 3\n4 5\n", "as many points as its header states"),
    "word.txt": ("point\nmany\n1 2\n", "as many points as its header states"),
    "alone.txt": ("point\n", "as many points as its header states"),
    "outputpoints.txt": (OUTPUT + OUTPUT[:90], "line without an OutputPoint"),
    "bigwarp.csv": (LANDMARKS[2] + '"Pt-1","true","1.5"\n', "pairs of points"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damaged_and_unknown_files_are_refused_in_one_sentence(tmp_path, name):
    text, words = BROKEN[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        read_points(tmp_path / name)
    said = str(caught.value)
    assert said.startswith(name) and said.endswith(".") and "\n" not in said


@pytest.mark.parametrize(
    ("system", "unit"), [("RAS", "mm"), ("LPS", "mm"), ("RAS", ["um", "UCUM", "micrometer"])]
)
def test_markups_keep_the_system_and_the_unit_that_their_orientations_are_in(tmp_path, system, unit):
    held = markups(system, -1.0 if system == "RAS" else 1.0, orientation=[-1, 0, 0, 0, -1, 0, 0, 0, 1])
    held["markups"][0]["coordinateUnits"] = unit
    (tmp_path / "a.mrk.json").write_text(json.dumps(held))
    found = read_point_file(tmp_path / "a.mrk.json")
    write_points(
        PointFile(found.points + 1, unit="millimeter"), tmp_path / "b.mrk.json", tmp_path / "a.mrk.json"
    )
    control = held["markups"][0]["controlPoints"][0]
    shift = np.array([-1, -1, 1] if system == "RAS" else [1, 1, 1]) * (1 if unit == "mm" else 1000)
    again = json.loads((tmp_path / "b.mrk.json").read_text())
    moved = again["markups"][0]["controlPoints"][0].pop("position")
    assert np.allclose(moved, control.pop("position") + shift)
    assert again == held


NOWHERE = {
    "a.csv": "x,y\n1,2\n3,nan\n",
    "b.csv": "1,2\n-inf,3\n",
    "a.txt": "point\n2\n1 2\nnan 3\n",
    "b.txt": OUTPUT + OUTPUT.replace("30.000000", "nan"),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_points_that_lie_nowhere_are_refused_with_their_number(tmp_path, name):
    (tmp_path / name).write_text(NOWHERE[name])
    with pytest.raises(ValueError) as caught:
        read_points(tmp_path / name)
    assert str(caught.value) == (
        f"Point 2 of {name} has a coordinate that is not finite; complete or delete it."
    )


def test_pairs_and_files_to_be_written_hold_no_points_that_lie_nowhere(tmp_path):
    (tmp_path / "p.csv").write_text("fixed x,fixed y,moving x,moving y\n1,2,3,4\n1,2,3,nan\n")
    with pytest.raises(ValueError, match=r"^Point 2 of p\.csv has a coordinate that is not finite"):
        read_point_pairs(tmp_path / "p.csv")
    points = np.array([[1.0, 2, 3], [4, np.nan, 6]])
    for ending in ENDINGS:
        with pytest.raises(ValueError, match=rf"^Point 2 of the points for new\{ending} has a coordinate"):
            write_points(PointFile(points), tmp_path / f"new{ending}")
    with pytest.raises(ValueError, match=r"^Point 2 of the pairs for new\.csv has a coordinate"):
        write_point_pairs(PairFile(points, points), tmp_path / "new.csv")
    assert not list(tmp_path.glob("new*"))


@pytest.mark.parametrize("line", ['"Pt-1","true","1.5"', '"Pt-1","maybe","1","2","3","4"', '"a","true",,,,'])
def test_damaged_landmarks_of_bigwarp_are_refused(tmp_path, line):
    (tmp_path / "a.csv").write_text(f"{LANDMARKS[2]}{line}\n")
    with pytest.raises(ValueError, match=r"a\.csv starts like landmarks of BigWarp, but not all of them"):
        read_point_pairs(tmp_path / "a.csv")


def test_files_of_points_are_known_among_other_text_files(tmp_path):
    for name, text in (
        ("notes.txt", "point at the door\n3\n"),
        ("TransformParameters.0.txt", '(Transform "EulerTransform")\n'),
        ("transform.json", '{"method": "affine"}'),
        ("picture.png", "x"),
    ):
        (tmp_path / name).write_text(text)
        assert not holds_points(tmp_path / name)
    (tmp_path / "index.txt").write_text("index\n1\n2 3\n")
    assert holds_points(tmp_path / "index.txt")
    with pytest.raises(ValueError, match=r"a\.png cannot hold points; give a name that ends in"):
        write_points(PointFile(np.zeros((1, 2))), tmp_path / "a.png")


TRANSFORMIX = """
import sys, itk, numpy as np
fixed = itk.image_from_array(np.zeros((8, 9, 10), np.float32))
values = itk.ParameterObject.New().GetDefaultParameterMap("translation")
values = {**values, "Transform": ["AffineTransform"], "NumberOfParameters": ["12"],
          "TransformParameters": "1.1 .1 0 .05 .9 0 0 .02 1.2 3 -2 1".split(),
          "CenterOfRotationPoint": ["1", "2", "3"], "Size": ["10", "9", "8"], "Index": ["0"] * 3,
          "Spacing": ["1"] * 3, "Origin": ["0"] * 3, "Direction": "1 0 0 0 1 0 0 0 1".split(),
          "FixedImageDimension": ["3"], "MovingImageDimension": ["3"], "UseDirectionCosines": ["true"],
          "InitialTransformParametersFileName": ["NoInitialTransform"], "HowToCombineTransforms": ["Compose"]}
chosen = itk.ParameterObject.New()
chosen.AddParameterMap(values)
run = itk.TransformixFilter.New(fixed)
run.SetTransformParameterObject(chosen)
run.SetFixedPointSetFileName(sys.argv[1])
run.SetOutputDirectory(sys.argv[2])
run.Update()
"""


@pytest.mark.slow
def test_transformix_moves_the_points_that_are_written(tmp_path):
    pytest.importorskip("itk")
    points = np.random.default_rng(0).uniform(1, 7, (5, 3))
    path = write_points(PointFile(points), tmp_path / "points.txt")
    subprocess.run([sys.executable, "-c", TRANSFORMIX, path, tmp_path], check=True, capture_output=True)
    matrix, centre, shift = np.array([[1.1, 0.1, 0], [0.05, 0.9, 0], [0, 0.02, 1.2]]), [1, 2, 3], [3, -2, 1]
    expected = (points[:, ::-1] - centre) @ matrix.T + centre + shift
    found = read_points(tmp_path / "outputpoints.txt")
    assert np.abs(found[:, ::-1] - expected).max() < 2e-6
