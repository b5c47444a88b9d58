"""Transforms as ITK's files hold them, checked here: ITK's own readers end the process on damaged ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry import Array, Grid
from ...transforms import Affine, BSpline, Displacement, Transform
from ...transforms.itk_parameters import bspline_from_parameters, displacement_from_parameters
from .. import itk_files
from ..files import replace_file
from ..guards import check_regular, reading
from .base import Grids

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
ENDINGS = (".h5", ".hdf5", ".tfm", ".txt", ".mat")  # of files that ITK writes
FOREIGN = "it is not a transform file that ITK can read, or it is damaged"


@dataclass(frozen=True)
class Entry:
    """One transform of a file, not checked yet; `kind` is such as AffineTransform_double_2_2."""

    kind: str
    parameters: Array
    fixed: Array


def members_of(path: Path, parse: Callable[[Path], Iterable[Entry]]) -> list[Transform]:
    """The transforms in a file.

    Parameters
    ----------
    path : Path
    parse : callable
        Gives the entries of the file in their order.

    Returns
    -------
    list of Transform
        The one applied first comes first; grids count as millimetres.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or holds a kind of transform that is not known, or several that do
        not follow each other.
    """
    check_regular(path)
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


def _transform(entry: Entry) -> Transform:
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


def _linear(name: str, d: int, entry: Entry) -> Affine:
    import SimpleITK as sitk

    from ...transforms.itk import affine_from_itk

    kind: Callable[..., Any] = getattr(sitk, name)
    native = kind(d) if name in BOTH_DIMENSIONS else kind()
    if len(entry.fixed):
        native.SetFixedParameters(entry.fixed.tolist())
    native.SetParameters(entry.parameters.tolist())
    return Affine(affine_from_itk(native))


def write_itk(transform: Transform, path: Path, grids: Grids) -> tuple[str, ...]:
    """Write a transform in the format of its name's ending.

    Raises
    ------
    ValueError
        If ITK writes no such file, or has not the transform and the fixed image's grid is not known.
    """

    if path.suffix.lower() not in ENDINGS:
        raise ValueError(
            f"{path.name} cannot hold a transform of ITK's; give a name that ends in {', '.join(ENDINGS)}."
        )
    if grids.fixed is None and not transform.exact_in_itk:
        raise ValueError(
            f"ITK has not this kind of transform, and its field needs the grid of the fixed image; give it "
            f"(--fixed) to write {path.name}."
        )
    if path.suffix.lower() == ".mat" and not transform.linear:
        raise ValueError(f"{path.name} cannot hold this transform, which is not affine; write .h5 instead.")
    # What ITK has needs no grid.
    native = transform.to_itk(grids.fixed or Grid.from_spacing((1,) * transform.ndim))
    replace_file(path, lambda target: itk_files.write_transform(native, target))
    return (
        ()
        if transform.exact_in_itk
        else (f"{path.name} is exact at the pixels of the fixed image, a field there.",)
    )
