"""elastix's transform parameter files, chains of them included."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from filecmp import cmp
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ....core.geometry import Array, Grid
from ....transforms import Affine, BSpline, Composite, Displacement, Transform, chain, displacement_on
from ....transforms.itk_parameters import bspline_from_parameters
from ...files import replace_file
from ...guards import check_regular, read_text, reading
from ..base import Found, Grids, head_of
from . import itk_hdf5, itk_matlab, itk_text, vector_image

Values = Mapping[str, Sequence[str]]

NONE = "NoInitialTransform"
NO_FILE = (NONE, "")  # instead of the name of an initial transform
INITIAL = ("InitialTransformParameterFileName", "InitialTransformParametersFileName")
LONGEST_CHAIN = 30  # files
QUOTED = re.compile(r'\(\s*(\w+)((?:\s*"[^"\n]*")+)\s*\)')
BARE = re.compile(r"\(\s*(\w+)\s+([^()\"\n]*)\)")
# Numbers of parameters in 2D and 3D, the name in SimpleITK with the dimension left open.
MATRIX_KINDS: Mapping[str, tuple[int, int, str]] = {
    "EulerTransform": (3, 6, "Euler{}DTransform"),
    "SimilarityTransform": (4, 7, "Similarity{}DTransform"),
    "AffineTransform": (6, 12, "AffineTransform"),
    "AffineLogTransform": (6, 12, "AffineTransform"),
}
SPLINES = ("BSplineTransform", "RecursiveBSplineTransform")
REMEDY = "run transformix with -def all, and read the field that it writes"
ITK_FILES = (itk_hdf5, itk_text, itk_matlab)


def recognises(head: bytes) -> bool:
    """Whether its first line is a value in parentheses, or in TOML that of a transform."""
    text = head.decode("utf-8", "replace")
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith(("//", "#"))), "")
    toml = re.search(r'^Transform\s*=\s*"', text, re.MULTILINE) is not None
    return re.match(r"\(\s*[A-Z]\w*\s", first) is not None or (toml and "TransformParameters" in text)


def read(path: Path, grids: Grids) -> Found:
    """The transform with all initial transforms that it names.

    Raises
    ------
    ValueError
        If one of these is missing, or a kind of transform is not known.
    """
    notes: list[str] = []
    return Found(_read(path, notes, ()), tuple(notes))


def _read(path: Path, notes: list[str], before: tuple[Path, ...]) -> Transform:
    """A file's transform, after its initial one."""
    if path.resolve() in before or len(before) == LONGEST_CHAIN:
        raise ValueError(f"{path.name} is its own initial transform; correct {INITIAL[0]} in it.")
    values = _parsed(path)
    with reading(path, "it is not a transform that elastix has written, or it is damaged"):
        own = _stage(values, path)
    if values.get("UseDirectionCosines") == ["false"]:
        notes.append(
            f"{path.name} was made without the images' directions (UseDirectionCosines); it fits images "
            "without rotation."
        )
    if values["Transform"][0] in SPLINES and isinstance(own, Displacement):
        notes.append(
            f"{path.name} is a B-spline of another order than 3; it is exact at the fixed image's pixels and "
            "linear between them."
        )
    name = next((values[key][0] for key in INITIAL if values.get(key)), NONE)
    if name in NO_FILE:
        return own
    there = _beside(path, name, "initial transform")
    try:
        initial = _read(there, notes, (*before, path.resolve()))
    except ValueError as error:
        raise error if path.name in str(error) else ValueError(f"Of {path.name}, {error}") from error
    if initial.ndim != own.ndim:
        raise ValueError(
            f"{path.name} is {own.ndim}D and its initial transform {initial.ndim}D; correct its {INITIAL[0]}."
        )
    how = (values.get("HowToCombineTransforms") or ["Compose"])[0]
    if how == "Compose":
        return chain(initial, own)
    if how != "Add":
        raise ValueError(f"{path.name} combines transforms by {how[:40]!r}, which is not known; {REMEDY}.")
    return _added(initial, own, values, path, notes)


def _parsed(path: Path) -> Values:
    """The values of a file by their names."""
    text = read_text(path)
    if re.search(r'^\w+\s*=\s*["\[\w-]', text, re.MULTILINE):
        with reading(path, "it is not valid TOML"):
            table = tomllib.loads(text)
            return {k: [str(x) for x in (v if isinstance(v, list) else [v])] for k, v in table.items()}
    values: dict[str, Sequence[str]] = {}
    for line in text.splitlines():
        if found := QUOTED.match(line.strip()):
            values[found[1]] = re.findall(r'"([^"]*)"', found[2])
        elif found := BARE.match(line.strip()):
            values[found[1]] = found[2].split()
    if not values.get("Transform"):
        raise ValueError(f"{path.name} names no Transform; give a file such as TransformParameters.0.txt.")
    if "Metric" in values and "TransformParameters" not in values:
        raise ValueError(
            f"{path.name} holds settings for elastix and no result; give a file such as "
            "TransformParameters.0.txt."
        )
    return values


def _beside(path: Path, name: str, what: str) -> Path:
    """A file that another one names.

    It is looked for from the current folder, as elastix does, then from the file's folder and the one above.
    Last comes its bare name beside the file, with which it may have been moved. It is never the file itself.

    Raises
    ------
    ValueError
        If it is in none of these places, or differs between them.
    """
    last = re.split(r"[/\\]", name)[-1]
    here = path.resolve()
    folders = (Path(), here.parent, here.parent.parent)
    there = [place for folder in folders if _is_other(place := folder / name, path)]
    if not there and _is_other(place := here.parent / last, path):
        there = [place]
    if not there:
        if _is_same(here.parent / name, path):
            raise ValueError(f"{path.name} is its own {what}; correct the name in it.")
        raise ValueError(
            f"{path.name} names the {what} {name[-100:]!r}, which is missing; put it into the same folder."
        )
    for place in there[1:]:
        if not place.samefile(there[0]) and not cmp(place, there[0], shallow=False):
            raise ValueError(
                f"{path.name} names the {what} {name[-100:]!r}, and {there[0].resolve()} and "
                f"{place.resolve()} are different; write the whole path into it."
            )
    return there[0]


def _is_other(place: Path, path: Path) -> bool:
    try:
        return place.is_file() and not place.samefile(path)
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_same(place: Path, path: Path) -> bool:
    try:
        return place.samefile(path)
    except (OSError, ValueError):
        return False


def _stage(values: Values, path: Path) -> Transform:
    """A file's own transform, without its initial one."""
    kind = values["Transform"][0]
    if kind == "File":
        return _itk_file(_beside(path, values["TransformFileName"][0], "transform file"))
    if kind == "DeformationFieldTransform":
        field = _beside(path, values["DeformationFieldFileName"][0], "deformation field")
        return vector_image.read(field, Grids()).transform
    if kind not in (*MATRIX_KINDS, *SPLINES, "TranslationTransform"):
        raise ValueError(f"{path.name} is elastix's {kind[:60]!r}, which is not read; {REMEDY}.")
    parameters = _parameters(values, path)
    if kind in SPLINES:
        return _spline(values, parameters, path)
    if kind == "TranslationTransform":
        if len(parameters) not in (2, 3):
            raise ValueError("a translation has 2 or 3 parameters")
        return Affine.translation(parameters[::-1])
    return Affine(_matrix(kind, values, parameters))


def _itk_file(path: Path) -> Transform:
    """A transform that ITK has written."""
    for kind in ITK_FILES:
        if kind.recognises(head_of(path)):
            return kind.read(path, Grids()).transform
    raise ValueError(f"{path.name} is not a transform file that ITK can read; choose another.")


def _parameters(values: Values, path: Path) -> Array:
    """The parameters, which may be in a binary file beside."""
    given = values["TransformParameters"]
    if values.get("UseBinaryFormatForTransformationParameters") == ["true"]:
        binary = _beside(path, given[0], "file of parameters")
        check_regular(binary)
        numbers = np.frombuffer(binary.read_bytes(), "<f8")
    else:
        numbers = np.array(given, dtype=float)
    count = int(values["NumberOfParameters"][0]) if "NumberOfParameters" in values else len(numbers)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{path.name} states {count} parameters and holds {len(numbers)}; copy it again.")
    return numbers


def _matrix(kind: str, values: Values, parameters: Array) -> Array:
    """The homogeneous matrix of a rotation, a similarity or an affine map about its centre."""
    import SimpleITK as sitk
    from scipy.linalg import expm

    from ....transforms.itk import affine_from_itk

    counts = MATRIX_KINDS[kind][:2]
    d = 2 + counts.index(len(parameters))
    if kind == "AffineLogTransform":
        linear = expm(parameters[: d * d].reshape(d, d))
        parameters = np.append(linear, parameters[d * d :])
    name = MATRIX_KINDS[kind][2].format(d)
    make: Callable[..., Any] = getattr(sitk, name)
    native = make(d) if name == "AffineTransform" else make()
    native.SetCenter(_centre(values, d))
    if kind == "EulerTransform" and d == 3 and values.get("ComputeZYX") == ["true"]:
        native.SetComputeZYX(True)
    native.SetParameters(parameters.tolist())
    return affine_from_itk(native)


def _centre(values: Values, d: int) -> list[float]:
    """The centre of rotation, (x, y, z); old files state its index in the fixed image."""
    if "CenterOfRotationPoint" in values:
        return _numbers(values, "CenterOfRotationPoint", d).tolist()
    grid = _fixed_grid(values, d)
    index = _numbers(values, "CenterOfRotation", d)
    return grid.to_world(index[None, ::-1])[0, ::-1].tolist()


def _numbers(values: Values, name: str, count: int) -> Array:
    numbers = np.array(values[name], dtype=float)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} is not {count} numbers")
    return numbers


def _spline(values: Values, parameters: Array, path: Path) -> Transform:
    """A B-spline; of another order than 3, its displacements at the pixels of the fixed image."""
    order = (values.get("BSplineTransformSplineOrder") or ["3"])[0]
    if values.get("UseCyclicTransform") == ["true"] or order not in ("1", "2", "3"):
        raise ValueError(f"{path.name} is a cyclic B-spline or of an order that is not known; {REMEDY}.")
    d = len(values["GridSize"])
    direction = values.get("GridDirection") or [str(x) for x in np.eye(d).ravel()]
    # elastix writes matrices by columns, ITK reads them by rows.
    columns = np.array(direction, dtype=float).reshape(d, d).T.ravel()
    fixed = np.concatenate(
        [*(_numbers(values, f"Grid{what}", d) for what in ("Size", "Origin", "Spacing")), columns]
    )
    first = _numbers(values, "GridIndex", d) if "GridIndex" in values else np.zeros(d)
    fixed[d : 2 * d] += columns.reshape(d, d) @ (first * fixed[2 * d : 3 * d])
    if order == "3":
        return BSpline(*bspline_from_parameters(parameters, fixed))
    import SimpleITK as sitk

    from ....transforms.itk import sample_displacement

    bspline_from_parameters(parameters, fixed)  # its numbers are checked before ITK sees them
    native = sitk.BSplineTransform(d, int(order))
    native.SetFixedParameters(fixed.tolist())
    native.SetParameters(parameters.tolist())
    grid = _fixed_grid(values, d)
    return Displacement(sample_displacement(native, grid), grid)


def _fixed_grid(values: Values, d: int) -> Grid:
    """The grid of the fixed image."""
    size, spacing, origin = (_numbers(values, name, d) for name in ("Size", "Spacing", "Origin"))
    direction = _numbers(values, "Direction", d * d) if "Direction" in values else np.eye(d)
    shape = [int(n) for n in size[::-1]]
    if not 1 <= np.prod(shape, dtype=float) <= 2**28:
        raise ValueError("the size of the fixed image is not possible")
    axes = np.reshape(direction, (d, d)).T[::-1, ::-1]
    return Grid.from_spacing(shape, spacing[::-1], origin[::-1], axes, "millimeter")


def _added(initial: Transform, own: Transform, values: Values, path: Path, notes: list[str]) -> Transform:
    """T(x) = initial(x) + own(x) - x; exact where one of them is affine."""
    first, second = (initial, own) if initial.matrix is not None else (own, initial)
    matrix = first.matrix
    if matrix is not None and second.matrix is not None:
        return Affine(matrix + second.matrix - np.eye(len(matrix)))
    if matrix is not None and isinstance(second, BSpline | Displacement):
        # A x + b + u(x) is x + A^-1 u(x), and then A x + b.
        back = np.linalg.inv(matrix[:-1, :-1])
        if isinstance(second, BSpline):
            return chain(
                BSpline(np.tensordot(back, second.coefficients, axes=1), second.grid), Affine(matrix)
            )
        return chain(Displacement(second.field @ back.T, second.grid), Affine(matrix))
    with reading(path):
        grid = _fixed_grid(values, own.ndim)
    notes.append(f"{path.name} adds two deformations; their sum is exact at the fixed image's pixels.")
    return Displacement(displacement_on(initial, grid) + displacement_on(own, grid), grid)


def write(transform: Transform, path: Path, grids: Grids) -> tuple[str, ...]:
    """Write affine maps and B-splines, a file for each, the first ones as NAME.initial0.txt and so on.

    Raises
    ------
    ValueError
        If the transform is made of anything else, or the fixed image's grid is not known.
    """
    members = transform.members if isinstance(transform, Composite) else (transform,)
    if not all(isinstance(member, Affine | BSpline) for member in members):
        raise ValueError(
            f"{path.name} cannot hold this transform: elastix has affine maps and B-splines only; write it "
            "with the format itk or nifti."
        )
    if grids.fixed is None:
        raise ValueError(
            f"elastix's files state the grid of the fixed image; give it (--fixed) to write {path.name}."
        )
    targets = written(transform, path)
    _check_own(targets[1:], path)
    initial = NONE
    for member, target in zip(members, (*targets[1:], path), strict=True):
        text = _written(member, grids.fixed, initial)
        replace_file(target, partial(Path.write_text, data=text, encoding="utf-8", newline=""))
        initial = target.name
    if len(targets) == 1:
        return ()
    names = ", ".join(target.name for target in targets[1:])
    return (f"{path.name} needs {names} beside it; run transformix in their folder.",)


def written(transform: Transform, path: Path) -> tuple[Path, ...]:
    """The files that `write` writes: the one to give to transformix, then its initial ones."""
    members = transform.members if isinstance(transform, Composite) else (transform,)
    initial = range(len(members) - 1)
    return path, *(path.with_name(f"{path.stem}.initial{number}{path.suffix}") for number in initial)


def _check_own(companions: Sequence[Path], path: Path) -> None:
    """Refuse to replace files that `path` does not name already, as those of an earlier `write` are.

    Raises
    ------
    ValueError
        In one sentence that names the file.
    """
    there = [one for one in companions if one.exists()]
    own = {one.resolve() for one in files_of(path)} if there else set()
    for one in there:
        if one.resolve() not in own:
            raise ValueError(
                f"{one.name} is there already and would be replaced, as {path.name} needs a file of this "
                "name; choose another name."
            )


def files_of(path: Path) -> list[Path]:
    """A file and those that it names, as far as they can be found."""
    found: list[Path] = []
    waiting = [path]
    while waiting and len(found) < LONGEST_CHAIN:
        here = waiting.pop()
        if here in found:
            continue
        found.append(here)
        with suppress(ValueError, OSError):
            values = _parsed(here) if recognises(head_of(here)) else {}
            for key in (*INITIAL, "TransformFileName", "DeformationFieldFileName"):
                with suppress(ValueError):
                    if values.get(key) and values[key][0] not in NO_FILE:
                        waiting.append(_beside(here, values[key][0], "file"))
    return found


def _written(member: Transform, grid: Grid, initial: str) -> str:
    d = member.ndim
    values: dict[str, Any]
    if isinstance(member, BSpline):
        control = member.grid
        values = {
            "Transform": "BSplineTransform",
            "TransformParameters": member.coefficients[::-1].ravel(),
            "GridSize": control.shape[::-1],
            "GridIndex": [0] * d,
            "GridSpacing": control.spacing[::-1],
            "GridOrigin": control.origin[::-1],
            "GridDirection": control.direction[::-1, ::-1].T.ravel(),
            "BSplineTransformSplineOrder": [3],
            "UseCyclicTransform": "false",
        }
    else:
        assert member.matrix is not None  # of an affine map
        linear, offset = member.matrix[:d, :d][::-1, ::-1], member.matrix[:d, d][::-1]
        values = {
            "Transform": "AffineTransform",
            "TransformParameters": np.append(linear.ravel(), offset),
            "CenterOfRotationPoint": [0.0] * d,
        }
    values |= {
        "NumberOfParameters": [len(values["TransformParameters"])],
        "InitialTransformParameterFileName": initial,
        "InitialTransformParametersFileName": initial,
        "HowToCombineTransforms": "Compose",
        "FixedImageDimension": [d],
        "MovingImageDimension": [d],
        "FixedInternalImagePixelType": "float",
        "MovingInternalImagePixelType": "float",
        "Size": grid.shape[::-1],
        "Index": [0] * d,
        "Spacing": grid.spacing[::-1],
        "Origin": grid.origin[::-1],
        "Direction": grid.direction[::-1, ::-1].T.ravel(),
        "UseDirectionCosines": "true",
        "ResampleInterpolator": "FinalBSplineInterpolator",
        "FinalBSplineInterpolationOrder": [1],
        "Resampler": "DefaultResampler",
        "DefaultPixelValue": [0],
        "ResultImageFormat": "nii.gz",
        "ResultImagePixelType": "float",
        "CompressResultImage": "false",
    }
    lines = []
    for name, value in values.items():
        words = (
            f'"{value}"' if isinstance(value, str) else " ".join(repr(x) for x in np.asarray(value).tolist())
        )
        lines.append(f"({name} {words})")
    return "\n".join(lines) + "\n"
