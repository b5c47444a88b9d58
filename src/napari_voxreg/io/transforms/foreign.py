"""Transform files of ITK, parsed and checked here: ITK's own readers end the process on damaged ones."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry import Array
from ...transforms import Affine, BSpline, Displacement, Transform
from ...transforms.itk_parameters import bspline_from_parameters, displacement_from_parameters
from ..guards import check_regular, read_text, reading
from ..hdf5_files import array_in, item_at, opened, texts_in

# Linear kinds, whose names in SimpleITK may be others: numbers of parameters in 2D and 3D (0: not in that
# dimension), and of fixed parameters.
LINEAR: Mapping[str, tuple[int, int, tuple[int, ...]]] = {
    "AffineTransform": (6, 12, (2, 3)),
    "ComposeScaleSkewVersor3DTransform": (0, 12, (3,)),
    "Euler2DTransform": (3, 0, (2,)),
    "Euler3DTransform": (0, 6, (3, 4)),
    "ScaleSkewVersor3DTransform": (0, 15, (3,)),
    "ScaleTransform": (2, 3, (2, 3)),
    "ScaleVersor3DTransform": (0, 9, (3,)),
    "Similarity2DTransform": (4, 0, (2,)),
    "Similarity3DTransform": (0, 7, (3,)),
    "TranslationTransform": (2, 3, (0,)),
    "VersorRigid3DTransform": (0, 6, (3,)),
    "VersorTransform": (0, 3, (3,)),
}
ALIASES = {"MatrixOffsetTransformBase": "AffineTransform", "Rigid2DTransform": "Euler2DTransform"}
BOTH_DIMENSIONS = ("AffineTransform", "ScaleTransform", "TranslationTransform")
FLOATS = np.dtype("<f8")
MATLAB = {
    0: "f8",
    10: "f4",
    100: "f8",
    110: "f4",
}  # by the first integer of a matrix; 1000 more if big-endian
FOREIGN = "it is not a transform file that ITK can read, or it is damaged"


@dataclass(frozen=True)
class _Entry:
    """One transform of a file, not checked yet; `kind` is such as AffineTransform_double_2_2."""

    kind: str
    parameters: Array
    fixed: Array


def read_foreign(path: Path) -> list[Transform]:
    """Read a transform file of any program that uses ITK.

    Parameters
    ----------
    path : Path
        HDF5 (.h5, .hdf5, .hdf), text (.tfm, .txt), MATLAB (.mat, as ANTs writes it) or MNI (.xfm, linear).

    Returns
    -------
    list of Transform
        The one applied first comes first; grids count as millimetres.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or holds a kind of transform that is not known.
    """
    check_regular(path)
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise ValueError(f"{path.name} is not a transform file; its name must end in {', '.join(_PARSERS)}.")
    with reading(path, FOREIGN):
        entries = list(parse(path))
    if not entries:
        raise ValueError(f"{path.name} is not a transform file that ITK can read; choose another.")
    composite = entries[0].kind.startswith("CompositeTransform")
    if len(entries) > 1 and not composite:
        raise ValueError(
            f"{path.name} holds {len(entries)} transforms that do not follow each other; save them as one "
            "composite transform, or each in a file of its own."
        )
    # ITK applies the last one of a composite first.
    entries = entries[:0:-1] if composite else entries
    members = []
    for entry in entries:
        try:
            members.append(_transform(entry))
        except (ValueError, RuntimeError) as error:
            why = str(error).strip().splitlines()[-1].rstrip(".")
            raise ValueError(f"{path.name} cannot be read: {why}; save the transform again.") from error
    if not members:
        raise ValueError(f"{path.name} holds no transform; save it again.")
    return members


def _transform(entry: _Entry) -> Transform:
    """One transform of ours, once its numbers of parameters are those of its kind."""
    found = re.fullmatch(r"(\w+?)_(?:double|float)_([23])_([23])(_\d)?", entry.kind)
    if found is None or found[2] != found[3]:
        raise ValueError(f"its kind is {entry.kind[:60]!r}, which is not known")
    name, d = ALIASES.get(found[1], found[1]), int(found[2])
    if not (np.isfinite(entry.parameters).all() and np.isfinite(entry.fixed).all()):
        raise ValueError("its parameters are not all finite")
    if name == "IdentityTransform":
        return Affine.identity(d)
    if name == "BSplineTransform" and found[4] in (None, "_3"):
        return BSpline(*bspline_from_parameters(entry.parameters, entry.fixed))
    if name == "DisplacementFieldTransform":
        return Displacement(*displacement_from_parameters(entry.parameters, entry.fixed))
    if name not in LINEAR:
        raise ValueError(f"ITK's {name[:60]}{found[4] or ''} is not known; save it as a displacement field")
    wanted, fixed = LINEAR[name][d - 2], LINEAR[name][2]
    if not wanted or len(entry.parameters) != wanted:
        raise ValueError(f"a {d}D {name} has {wanted} parameters, not {len(entry.parameters)}")
    if len(entry.fixed) not in (fixed if name not in BOTH_DIMENSIONS or fixed == (0,) else (d,)):
        raise ValueError(f"a {d}D {name} cannot have {len(entry.fixed)} fixed parameters")
    return _linear(name, d, entry)


def _linear(name: str, d: int, entry: _Entry) -> Affine:
    import SimpleITK as sitk

    from ...transforms.itk import affine_from_itk

    kind: Callable[..., Any] = getattr(sitk, name)
    native = kind(d) if name in BOTH_DIMENSIONS else kind()
    if len(entry.fixed):
        native.SetFixedParameters(entry.fixed.tolist())
    native.SetParameters(entry.parameters.tolist())
    return Affine(affine_from_itk(native))


def _from_hdf5(path: Path) -> Iterator[_Entry]:
    """ITK's groups 0, 1, ..., whose names were misspelt until ITK 5."""
    with opened(path, "transform file", FOREIGN) as file:
        groups = item_at(file, "TransformGroup")
        for k in range(0 if groups is None else len(groups)):
            kind = texts_in(item_at(groups, f"{k}/TransformType"))[0]
            yield _Entry(kind, *(_values(groups, k, what) for what in ("Parameters", "FixedParameters")))


def _values(groups: Any, k: int, what: str) -> Array:
    for word in ("Transform", "Tranform"):
        if (dataset := item_at(groups, f"{k}/{word}{what}")) is not None:
            return array_in(dataset).astype(FLOATS, copy=False).ravel()
    return np.empty(0)


def _from_text(path: Path) -> Iterator[_Entry]:
    """Lines of a name, a colon and values; three lines a transform."""
    kind, values = "", {"Parameters": np.empty(0), "FixedParameters": np.empty(0)}
    for line in read_text(path).splitlines():
        name, _, value = line.strip().partition(":")
        if not name or name.startswith("#"):
            continue
        if name == "Transform":
            if kind:
                yield _Entry(kind, *values.values())
            kind, values = value.strip(), dict.fromkeys(values, np.empty(0))
        elif name in values and kind:
            values[name] = np.array(value.split(), dtype=FLOATS)
        else:
            raise ValueError("an unknown line")
    if kind:
        yield _Entry(kind, *values.values())


def _from_matlab(path: Path) -> Iterator[_Entry]:
    """Matrices of MATLAB 4, two a transform: its parameters under its kind, then ``fixed``."""
    matrices = list(_matrices(path.read_bytes()))
    for (kind, parameters), (name, fixed) in zip(matrices[::2], matrices[1::2], strict=True):
        if name != "fixed":
            raise ValueError("no fixed parameters")
        yield _Entry(kind, parameters, fixed)


def _matrices(content: bytes) -> Iterator[tuple[str, Array]]:
    """Name and numbers of each matrix of a MATLAB 4 file: five integers, the name, the numbers."""
    place = 0
    while place < len(content):
        order = "<" if struct.unpack_from("<i", content, place)[0] in MATLAB else ">"
        kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", content, place)
        numbers = np.dtype(order + MATLAB[kind - 1000 * (order == ">")])
        start = place + 20 + length
        place = start + numbers.itemsize * rows * columns
        if imaginary or min(rows, columns, length) < 0 or place > len(content):
            raise ValueError("not a matrix of real numbers")
        name = content[start - length : start].rstrip(b"\x00").decode("ascii")
        yield name, np.frombuffer(content, numbers, rows * columns, start).astype(FLOATS)


def _from_mni(path: Path) -> Iterator[_Entry]:
    """The 3 x 4 matrix of a linear MNI transform; grids, which lie in other files, are refused."""
    text = "".join(line for line in read_text(path).splitlines(True) if not line.lstrip().startswith("%"))
    found = re.fullmatch(
        r"\s*MNI Transform File\s+Transform_Type\s*=\s*Linear\s*;\s*Linear_Transform\s*=([^;]*);\s*", text
    )
    if found is None:
        raise ValueError("more than one linear transform")
    matrix = np.array(found[1].split(), dtype=FLOATS).reshape(3, 4)
    yield _Entry("AffineTransform_double_3_3", np.append(matrix[:, :3], matrix[:, 3]), np.zeros(3))


_PARSERS: Mapping[str, Callable[[Path], Iterator[_Entry]]] = {
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), _from_hdf5),
    **dict.fromkeys((".tfm", ".txt"), _from_text),
    ".mat": _from_matlab,
    ".xfm": _from_mni,
}
