"""What a result does to each pixel, as files for other programs: fields, a flow picture, matches."""

from __future__ import annotations

import csv
import io
import math
from functools import partial
from pathlib import Path

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..io.files import replace_file
from ..io.flo import write_flo
from ..io.images import write_image
from .measure import places
from .rows import Row, open_row

FIELDS = "fields"  # folder of an evaluation, with one inside for each row
MATCHES = {2: 32, 3: 12}  # along the longest side, of the lattice whose nodes are listed
AXES = {2: ("row", "column"), 3: ("plane", "row", "column")}
FULL = 99.0  # percentile of the lengths that has the full colour


def write_fields(row: Row, folder: Path | str) -> tuple[Path, ...]:
    """Write the displacement of a row's result, its picture, and a list of matches.

    Parameters
    ----------
    row : Row
        With a result.
    folder : path
        Made if need be. Gets ``displacement.npy``, shape (d, \\*shape), in pixels of the moving image:
        x + u(x) is the place there of the fixed image's pixel x. In 2D also ``displacement.flo`` (u along
        columns). ``flow.png``: the hue is the direction, the strength of the colour the length; of volumes
        the middle plane. ``matches.csv``: world points of the fixed and of the moving image, on a lattice,
        where the moving image has pixels.

    Returns
    -------
    tuple of Path
        Of the files.

    Raises
    ------
    ValueError
        If there is no result, or a file has gone.
    """
    folder = Path(folder)
    _, result = open_row(row)
    fixed, moving = result.fixed, result.moving
    assert moving is not None  # the images are at hand
    field = (places(result.transform, fixed, moving) - np.indices(fixed.shape)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "displacement.npy", folder / "flow.png", folder / "matches.csv"]
    replace_file(files[0], lambda target: target.write_bytes(_npy(field)))
    plane = field if fixed.ndim == 2 else field[1:, fixed.shape[0] // 2]
    picture = flow_picture(plane)
    write_image(Image(picture, Grid.from_spacing(picture.shape[:2])), files[1])
    table = _matches(field, fixed, moving)
    replace_file(files[2], partial(Path.write_text, data=table, encoding="utf-8", newline=""))
    if fixed.ndim == 2:
        files.append(write_flo(folder / "displacement.flo", np.moveaxis(field, 0, -1)))
    return tuple(files)


def flow_picture(field: Array) -> Array:
    """A displacement (2, rows, columns) in colours, (rows, columns, 3) uint8.

    The hue is the direction: red to the right, then by way of yellow, green and blue around as the clock
    goes. White is no displacement, full colour the 99th percentile of the lengths.
    """
    from skimage.color import hsv2rgb

    known = np.isfinite(field).all(axis=0)
    rows, columns = np.where(known, field, 0.0)
    length = np.hypot(rows, columns)
    full = float(np.percentile(length[known], FULL)) if known.any() else 0.0
    strength = np.clip(length / full, 0, 1) if full > 0 else np.zeros_like(length)
    hue = np.arctan2(rows, columns) / (2 * math.pi) % 1.0
    colours: Array = hsv2rgb(np.stack([hue, strength, known.astype(float)], axis=-1))
    return np.rint(255 * colours).astype(np.uint8)


def _npy(values: Array) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def _matches(field: Array, fixed: Grid, moving: Grid) -> str:
    """World points of both images that belong together, as CSV, on a lattice of the fixed image's pixels."""
    step = max(1, -(-max(fixed.shape) // MATCHES[fixed.ndim]))
    lattice = tuple(slice(min(step, n) // 2, None, step) for n in fixed.shape)
    index = np.indices(fixed.shape)[(slice(None), *lattice)].reshape(fixed.ndim, -1).T
    there = moving.to_world(index + field[(slice(None), *lattice)].reshape(fixed.ndim, -1).T)
    inside = moving.contains(there)
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([f"{side}_{axis}" for side in ("fixed", "moving") for axis in AXES[fixed.ndim]])
    writer.writerows(np.hstack([fixed.to_world(index), there])[inside].tolist())
    return table.getvalue()
