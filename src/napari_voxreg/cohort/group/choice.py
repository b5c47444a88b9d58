"""Which image resembles the others most: the best template among the images themselves."""

from __future__ import annotations

import numpy as np

from ...core.geometry import Array, Grid, Image
from ...core.progress import Progress, subprogress
from ...images.preprocess import block_mean, unit_range
from ...transforms import warp
from ..running import cores
from ..series.aligning import in_threads
from ..series.frames import Frames
from ..series.motion import Template

SIDES = {2: 96, 3: 40}  # pixels of the longest side of the copies that are compared


def thumbnails(frames: Frames, channel: int | str | None, progress: Progress) -> list[Image]:
    """Small copies of all images on one grid, in [0, 1].

    Each is placed with its centre on that of the first: where files lie in the world says little about what
    they show.
    """
    side = SIDES[frames.grid.ndim]
    steps = [max(1, -(-n // side)) for n in frames.grid.shape]
    first = block_mean(Image(np.zeros(frames.grid.shape, np.float32), frames.grid), steps).grid

    def small(number: int) -> Image:
        image = frames.image(number, channel)
        own = [max(1, -(-n // side)) for n in image.grid.shape]
        image = block_mean(image, own)
        move = np.eye(first.ndim + 1)
        move[:-1, -1] = first.centre - image.grid.centre
        image = image.with_grid(image.grid.moved(move))
        return Image(unit_range(warp(image, None, first, fill=None).data), first, frames.name(number))

    return in_threads(small, range(frames.count), cores(), progress, "making small copies")


def dissimilarities(images: list[Image], progress: Progress) -> Array:
    """How little each image resembles each other one once it is aligned by a rigid motion.

    Parameters
    ----------
    images : list of Image
        On one grid.

    Returns
    -------
    ndarray, shape (n, n)
        Row i, column j: 1 - correlation of image j with image i, 0 to 2; 0 on the diagonal.
    """
    grid: Grid = images[0].grid

    def row(number: int) -> Array:
        template = Template(np.ascontiguousarray(images[number].data), grid, "rigid")
        found = [template.align(np.ascontiguousarray(other.data)).correlation for other in images]
        return 1 - np.array(found)

    rows = in_threads(row, range(len(images)), cores(), progress, "comparing all images")
    matrix = np.array(rows)
    np.fill_diagonal(matrix, 0.0)
    return matrix


def ranked(matrix: Array) -> list[int]:
    """The images, the one that resembles the others most first.

    By the median of a row: an image that resembles a majority closely is not blamed for a few that show
    something else.
    """
    count = len(matrix)
    others = matrix[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    return [int(k) for k in np.argsort(np.median(others, axis=1) + 1e-3 * others.mean(axis=1), kind="stable")]


def compared(frames: Frames, channel: int | str | None, progress: Progress) -> Array:
    """`dissimilarities` of the images of a cohort."""
    images = thumbnails(frames, channel, subprogress(progress, 0.0, 0.3))
    return dissimilarities(images, subprogress(progress, 0.3, 1.0))
