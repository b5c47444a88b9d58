"""Kinds of images in a set of pairs: k-means on thumbnails of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, silent, subprogress
from ..images.nodata import without_nodata
from ..images.preprocess import block_mean, driving_channel, unit_range
from ..io.pairs import Pair, PairSet
from ..io.pairs.reading import read_flat
from ..io.pairs.values import identity, plural
from ..transforms import warp
from .kmeans import Components, elbow, inertia, k_means, squared_distances

Images = Literal["fixed", "both"]
IMAGES: tuple[str, ...] = get_args(Images)
MOST = 10  # clusters that are tried
SIDES = {2: 32, 3: 16}  # pixels along each axis by which images are compared
READ = 0.9  # of the time, for reading
SHOWN = 96  # pixels along each axis of the thumbnails that are shown


@dataclass(frozen=True, eq=False)
class Member:
    """A pair in a cluster.

    Parameters
    ----------
    pair : Pair
    training : bool
        Whether it is one to train on.
    distance : float
        Of what is compared to the cluster's centre: the root of the summed squared differences.
    thumbnail : ndarray, shape (96, 96), uint8
        Of its fixed image, of a volume the middle plane.
    """

    pair: Pair
    training: bool
    distance: float
    thumbnail: Array


@dataclass(frozen=True, eq=False)
class Cluster:
    """One of the kinds.

    Parameters
    ----------
    number : int
        From 1; the one with most pairs to train on first.
    members : tuple of Member
        The nearest to the centre first.
    pairs : PairSet
        The same, for training and for validation, in the set's order.
    """

    number: int
    members: tuple[Member, ...]
    pairs: PairSet


@dataclass(frozen=True, eq=False)
class Survey:
    """A set of pairs as clustering compares it.

    Parameters
    ----------
    pairs : PairSet
        Those that could be read, with notes on the others.
    points : ndarray, shape (N, F)
        What of each of ``pairs.all`` is compared.
    thumbnails : tuple of ndarray, shape (96, 96), uint8
        Of their fixed images.
    centres : tuple of ndarray, shape (k, F)
        For k = 1, 2, ...: found on the pairs to train on alone.
    """

    pairs: PairSet
    points: Array
    thumbnails: tuple[Array, ...]
    centres: tuple[Array, ...]

    @property
    def inertias(self) -> tuple[float, ...]:
        """Summed squared distances of the pairs to train on to their centres, for k = 1, 2, ..."""
        training = self.points[: len(self.pairs.training)]
        return tuple(inertia(training, centres) for centres in self.centres)

    @property
    def suggested(self) -> int:
        """The number of clusters at the elbow."""
        return elbow(self.inertias)

    def clusters(self, k: int | None = None) -> tuple[Cluster, ...]:
        """The pairs by the centre that is nearest to them.

        Parameters
        ----------
        k : int, optional
            How many; by default those at the elbow.

        Raises
        ------
        ValueError
            If there are too few pairs for so many.
        """
        k = self.suggested if k is None else k
        if not 1 <= k <= len(self.centres):
            raise ValueError(
                f"{k} clusters cannot be made of this set; choose from 1 to {len(self.centres)} "
                f"({plural(len(self.pairs.training), 'training pair')})."
            )
        squares = squared_distances(self.points, self.centres[k - 1])
        nearest = squares.argmin(axis=1)
        trained = nearest[: len(self.pairs.training)]
        largest_first = np.argsort(-np.bincount(trained, minlength=k), kind="stable")
        return tuple(
            self._cluster(number, np.flatnonzero(nearest == c), np.sqrt(squares[:, c]))
            for number, c in enumerate(largest_first, 1)
        )

    def _cluster(self, number: int, places: Array, distances: Array) -> Cluster:
        every, count = self.pairs.all, len(self.pairs.training)
        order = places[np.argsort(distances[places], kind="stable")]
        members = tuple(Member(every[i], i < count, float(distances[i]), self.thumbnails[i]) for i in order)
        chosen = {id(every[i]) for i in places}
        training, validation = (
            tuple(pair for pair in side if id(pair) in chosen)
            for side in (self.pairs.training, self.pairs.validation)
        )
        return Cluster(number, members, PairSet(training, validation))


def survey(
    pairs: PairSet,
    *,
    images: Images = "fixed",
    most: int = MOST,
    seed: int = 0,
    progress: Progress = silent,
) -> Survey:
    """Find the kinds of images in a set of pairs.

    Each image is scaled to [0, 1] by its percentiles and sampled on a few pixels along each axis of the fixed
    image; the moving one keeps its place in the world. These are reduced to their principal components.
    Components and centres come from the pairs to train on alone, and each validation pair belongs to the
    nearest centre.

    Parameters
    ----------
    pairs : PairSet
        From `io.pairs.open_pairs`.
    images : {"fixed", "both"}
        What of a pair is compared.
    most : int
        The largest number of clusters that is tried; fewer where there are not so many different images.
    seed : int
        Same seed, same clusters.
    progress : Progress
        May raise `Cancelled`.

    Returns
    -------
    Survey
        Pairs that cannot be read are skipped, and its pairs' notes name them.

    Raises
    ------
    ValueError
        If no pair to train on can be read, or all show the same.
    """
    if not pairs.training:
        raise ValueError("There are no pairs to train on; choose a smaller part for validation.")
    described, notes = _described(pairs, images, progress)
    training, validation = (
        tuple(pair for pair in side if id(pair) in described) for side in (pairs.training, pairs.validation)
    )
    kept = PairSet(training, validation, (*pairs.notes, *notes), pairs.names)
    if not kept.training:
        raise ValueError(
            f"None of the {plural(len(pairs.training), 'pair')} to train on can be read: {notes[0]}"
        )
    progress(READ, "comparing")
    thumbs = np.stack([described[id(pair)][0] for pair in kept.all])
    count = len(kept.training)
    different = len(np.unique(thumbs[:count], axis=0))
    if count > 1 and different == 1:
        other = "; compare both images of the pairs" if images == "fixed" else "; choose other pairs"
        raise ValueError(f"All {count} pairs to train on show the same{other}.")
    points = Components.of(thumbs[:count])(thumbs)
    centres = k_means(points[:count], min(most, different), seed, subprogress(progress, READ, 1.0))
    return Survey(kept, points, tuple(described[id(pair)][1] for pair in kept.all), centres)


def csv_text(clusters: Sequence[Cluster]) -> str:
    """Clusters as CSV: a line a pair, with its cluster, its set, its name and its distance to the centre."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("cluster", "set", "pair", "distance"))
    for cluster in clusters:
        for member in cluster.members:
            which = "train" if member.training else "val"
            writer.writerow((cluster.number, which, member.pair.name, f"{member.distance:.6g}"))
    return table.getvalue()


def _described(
    pairs: PairSet, images: Images, progress: Progress
) -> tuple[dict[int, tuple[Array, Array]], list[str]]:
    """What of each pair is compared and shown, by its id, and a sentence on each that cannot be read."""
    every = pairs.all
    known: dict[Hashable, tuple[Array, Array]] = {}
    described: dict[int, tuple[Array, Array]] = {}
    notes: list[str] = []
    ndim = 0
    for k, pair in enumerate(every):
        progress(READ * k / len(every), f"{k + 1} of {len(every)}, {pair.name}: reading")
        # Of all pairs of one image with others it is read once.
        key = identity(pair.fixed) if images == "fixed" else id(pair)
        try:
            if key not in known:
                fixed = _read(pair, "fixed")
                ndim = ndim or fixed.ndim
                if fixed.ndim != ndim:
                    raise ValueError(f"{fixed.name} is {fixed.ndim}D and the others are {ndim}D.")
                known[key] = _thumbs(fixed, _read(pair, "moving") if images == "both" else None)
        except (ValueError, OSError, MemoryError) as error:
            why = str(error) or type(error).__name__
            notes.append(f"The pair {pair.name} is skipped: {why}")
            continue
        described[id(pair)] = known[key]
    return described, notes


def _read(pair: Pair, side: str) -> Image:
    """One image of a pair, one channel, in [0, 1]."""
    image, _ = without_nodata(driving_channel(read_flat(getattr(pair, side))))
    return image.with_data(unit_range(image.data))


def _thumbs(fixed: Image, moving: Image | None) -> tuple[Array, Array]:
    """What is compared, (P,), and what is shown, (96, 96) uint8."""
    extent = fixed.grid.spacing * fixed.grid.shape
    # Stretched to the same shape, or an image's format would count more than its content.
    grid = _around(fixed.grid, SIDES[fixed.ndim], extent)
    both = [fixed] if moving is None else [fixed, moving]
    compared = np.concatenate([_laid(image, grid).ravel() for image in both])
    square = _around(fixed.grid, SHOWN, np.full(fixed.ndim, extent.max()))
    shown = _laid(fixed, _middle(square)).reshape(SHOWN, SHOWN)
    return compared, np.rint(255 * shown).astype(np.uint8)


def _around(fixed: Grid, side: int, extent: Array) -> Grid:
    """A grid of so many pixels along each axis, with the middle and the axes of an image's."""
    affine = fixed.affine.copy()
    affine[:-1, :-1] = fixed.direction * (extent / side)
    affine[:-1, -1] = fixed.centre - affine[:-1, :-1].sum(axis=1) * (side - 1) / 2
    return Grid((side,) * fixed.ndim, affine, fixed.units)


def _middle(grid: Grid) -> Grid:
    """The middle plane of a volume's grid; a plane's own."""
    if grid.ndim == 2:
        return grid
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world([((grid.shape[0] - 1) / 2, 0, 0)])[0]
    return Grid((1, *grid.shape[1:]), affine, grid.units)


def _laid(image: Image, grid: Grid) -> Array:
    """An image on a coarser grid without aliasing, black outside."""
    own = image.grid.in_units(grid.units)
    wide = np.abs(own.direction.T @ (grid.direction * grid.spacing)).max(axis=1)
    steps = np.clip(np.rint(wide / own.spacing), 1, own.shape).astype(int)
    return np.clip(warp(block_mean(image, steps.tolist()), None, grid).data, 0, 1)
