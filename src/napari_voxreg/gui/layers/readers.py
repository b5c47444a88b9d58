"""Files as napari layers with their full geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from napari import current_viewer
from napari.utils.notifications import show_warning

from ...core.geometry import Array, Grid, Image
from ...core.pixels import with_nan
from ...images.preprocess import some_pixels
from ...io.dicom import is_dicom
from ...io.images import MEDICAL, TIFF, ending_of, read_image, read_series
from ...io.points import holds_points
from ...io.tiff import TIME
from ...io.two_files import PIXELS
from ...registration.result import load_result
from .placement import RESULT
from .point_files import points_layers, world_of
from .snapshots import AXES, FILE_AXES, NOTES, about, grid_kwargs
from .writers import side_folder

LayerData = tuple[Any, dict[str, Any], str]
SMALLEST = 32  # pixels along a side: smaller images are too few neighbourhoods to tell speckle from a ramp
SPECKLE = 0.15  # relative standard deviation among neighbours; optical images and terrain stay well below
FLOOR = 1e-6  # amplitude, relative to the brightest pixel's, that counts as zero: -120 dB


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """The reader for napari; None for files that other readers open better."""
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    if not all(_is_ours(one) for one in paths):
        return None

    def read(given: Any) -> list[LayerData]:
        found = [Path(given)] if isinstance(given, str) else [Path(p) for p in given]
        layers = read_layers(found, world_of(current_viewer()))
        for note in notes_of(layers):
            show_warning(note)
        return layers

    return read


def _is_ours(path: Path) -> bool:
    """Whether a file or folder is of a kind that we read."""
    if path.is_dir() or ending_of(path) in MEDICAL + PIXELS + TIFF:
        return True
    return holds_points(path) or is_dicom(path)


def notes_of(layers: Sequence[LayerData]) -> list[str]:
    """What the layers' files say that a user should know, each sentence once."""
    return list(dict.fromkeys(note for _, kwargs, _ in layers for note in kwargs["metadata"].get(NOTES, ())))


def read_layers(paths: Sequence[Path | str], world: Grid | None = None) -> list[LayerData]:
    """Read files and DICOM folders as image and Points layers, in order; may run in a worker.

    Parameters
    ----------
    paths : sequence of path
        Anything that `napari_voxreg.io.images.read_image` reads; of a folder every DICOM series is one layer.
        Or files of points, see `points_layers`.
    world : Grid, optional
        Of the viewer, see `world_of`.

    Returns
    -------
    list of tuple
        Layer data as napari takes it: pixels, keyword arguments, layer type.

    Raises
    ------
    ValueError
        If a file cannot be read.
    """
    layers: list[LayerData] = []
    for path in map(Path, paths):
        if not path.is_dir() and holds_points(path):
            layers.extend(points_layers(path, world))
            continue
        for image in read_series(path) if path.is_dir() else [read_image(path)]:
            layers.extend(image_layers(image, metadata=_saved_result(path)))
    return layers


def _saved_result(path: Path) -> dict[str, Any]:
    """What the metadata of a warped image hold of its result, if that was saved with it."""
    folder = side_folder(path)
    if not folder.is_dir():
        return {}
    result = load_result(folder)
    return {"voxreg": {**result.to_dict(), "layer": "warped", "kind": "warped"}, RESULT: result}


def image_layers(image: Image, **keywords: Any) -> list[LayerData]:
    """An image as layers: one, or one per channel where the channels are not red, green and blue.

    Parameters
    ----------
    image : Image
        Complex pixels, and maps with speckle, are converted to decibel; the stored values are kept in the
        layer's ``metadata["linear"]``. Masked pixels become NaN, or transparent where there are colours.
    **keywords
        More keyword arguments for the layers.
    """
    image, given = _upright(image), image.grid
    kwargs = {**_placement(image), "name": image.name, **keywords}
    kwargs["metadata"] = {**about(image), **_file_axes(given, image.grid), **kwargs.get("metadata", {})}
    if image.channels in (3, 4) and image.data.dtype in (np.uint8, np.uint16):
        return [(_colours(image.data), {**kwargs, "rgb": True}, "image")]
    image = image.with_data(with_nan(image.data))
    if _is_radar(image):
        decibel = _decibel(image.data)
        limits = tuple(float(x) for x in np.nanpercentile(some_pixels(decibel), (1.0, 99.7)))
        kwargs["metadata"] |= {"linear": image.data, "unit": "dB"}
        kwargs["contrast_limits"] = limits if limits[0] < limits[1] else (limits[0] - 1, limits[0] + 1)
        kwargs["name"] = f"{image.name} (dB)"
        return [(decibel, kwargs, "image")]
    if image.channels is None:
        return [(image.data, {**kwargs, "rgb": False}, "image")]
    return [
        (image.data[..., c], {**kwargs, "name": f"{image.name} {c + 1}", "rgb": False}, "image")
        for c in range(image.channels)
    ]


def _colours(data: Array) -> Array:
    """Red, green and blue, with an opacity where pixels are masked."""
    if not np.ma.is_masked(data) or data.shape[-1] == 4:
        return np.ma.filled(data, 0)
    opacity = np.where(np.ma.getmaskarray(data).all(axis=-1, keepdims=True), 0, np.iinfo(data.dtype).max)
    return np.concatenate([np.ma.filled(data, 0), opacity.astype(data.dtype)], axis=-1)


def labels_layers(labels: Image, **keywords: Any) -> list[LayerData]:
    """Integer labels as a Labels layer."""
    labels = _upright(labels)
    return [(np.ma.filled(labels.data, 0), {**_placement(labels), "name": labels.name, **keywords}, "labels")]


def _upright(image: Image) -> Image:
    """The same volume with its array axes in the order and direction of the world axes, as far as possible.

    napari slices volumes along array axes and would draw a sagittal stack, say, out of place.
    """
    d = image.ndim
    if d < 3:
        return image
    towards = np.abs(image.grid.direction)
    order = [-1] * d
    for _ in range(d):  # the closest match first
        world, axis = divmod(int(towards.argmax()), d)
        order[world] = axis
        towards[world, :] = towards[:, axis] = -1
    affine = image.grid.affine[:, [*order, d]].copy()
    data = image.data.transpose([*order, *range(d, image.data.ndim)])
    for axis in range(d):
        if affine[axis, axis] < 0:
            affine[:, d] += affine[:, axis] * (data.shape[axis] - 1)
            affine[:, axis] *= -1
            data = np.flip(data, axis)
    return replace(image, data=data, grid=replace(image.grid, shape=data.shape[:d], affine=affine))


def _file_axes(given: Grid, upright: Grid) -> dict[str, Any]:
    """From an index of a volume's file to that of its layer, as the layer's metadata keep it."""
    if given.ndim < 3:
        return {}
    turned = np.rint(np.linalg.inv(upright.affine) @ given.affine)
    return {FILE_AXES: turned[-4:, -4:]}  # without time


def _placement(image: Image) -> dict[str, Any]:
    """Keyword arguments that place a layer on its grid, with a time axis labelled as such."""
    kwargs = grid_kwargs(image.grid)
    if image.grid.units[0] == TIME:
        kwargs["axis_labels"] = ("t", *AXES[-image.ndim + 1 :])
    return kwargs


def _is_radar(image: Image) -> bool:
    """Whether pixels are complex, or those of a map, nonnegative and with speckle."""
    if np.iscomplexobj(image.data):
        return True
    if (
        image.ndim != 2
        or image.channels is not None
        or min(image.grid.shape) < SMALLEST
        or image.grid.units[0] in ("pixel", "micrometer", "millimeter")
    ):
        return False
    return _speckle(image.data) > SPECKLE


def _speckle(data: Array) -> float:
    """Relative standard deviation among 5 x 5 neighbours, the median over the middle of an image."""
    from scipy.ndimage import uniform_filter

    middle = tuple(slice(max(0, n // 2 - 256), n // 2 + 256) for n in data.shape)
    pixels = data[middle].astype(np.float64)
    known = np.isfinite(pixels)
    pixels[~known] = 0
    if pixels.min() < 0:
        return 0.0
    mean = uniform_filter(pixels, 5)
    variance = np.clip(uniform_filter(pixels**2, 5) - mean**2, 0, None)
    lit = (mean > 0) & (uniform_filter(known.astype(np.float64), 5) > 0.99)
    return float(np.median(np.sqrt(variance[lit]) / mean[lit])) if lit.any() else 0.0


def _decibel(data: Array) -> Array:
    """20 log10 of the amplitude, float32; zero becomes 120 dB below the brightest pixel."""
    amplitude = np.abs(data).astype(np.float32)
    least = FLOOR * float(np.nanmax(amplitude, initial=0.0)) or 1.0
    return 20 * np.log10(np.maximum(amplitude, np.float32(least)))
