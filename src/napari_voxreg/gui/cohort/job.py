"""The work of the Cohort panel, off the interface thread; no widget is touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ... import figures
from ...cohort.group import MADE, CohortOptions, CohortResult, Member, register_cohort
from ...cohort.series import (
    CURVES,
    Frames,
    SeriesOptions,
    SeriesResult,
    aligned_files,
    check_places,
    register_series,
    write_aligned,
)
from ...core.geometry import Image
from ...core.params import Params
from ...core.progress import Progress, subprogress
from ...images.preprocess import driving_channel
from ...io.files import check_outputs
from ...io.images import read_image
from ...transforms import warp
from ..layers.placement import LayerData
from ..layers.readers import image_layers
from .sources import Source

FOUND = 0.9  # of the time until all is registered
ROLE = "voxreg cohort"  # of a layer's metadata: what it shows


@dataclass(frozen=True)
class SeriesDone:
    """A series that was aligned.

    Parameters
    ----------
    result : SeriesResult
    frames : Frames
    layers : list of LayerData
        The aligned frames.
    """

    result: SeriesResult
    frames: Frames
    layers: list[LayerData]


@dataclass(frozen=True)
class SeriesJob:
    """Aligns the frames of a series.

    Parameters
    ----------
    source : Source
    options : SeriesOptions
    method : tuple of str, Params and str, or None
        What runs on each frame: its name, its parameters and the device.
    channel : int, str or None
    folder : Path or None
        For the motion and the aligned images.
    """

    source: Source
    options: SeriesOptions
    method: tuple[str, Params, str] | None
    channel: int | str | None
    folder: Path | None

    def __call__(self, progress: Progress) -> SeriesDone:
        """Run the job; see `register_series` for the errors."""
        progress(None, "reading the frames")
        frames = self.source.frames()
        if self.folder is not None:
            files = aligned_files(frames, self.folder)
            check_places(frames, self.folder, files)
        more: dict[str, Any] = {}
        if self.method is not None:
            more = dict(zip(("method", "params", "device"), self.method, strict=True))
        result = register_series(
            frames,
            options=self.options,
            channel=self.channel,
            progress=subprogress(progress, 0.0, FOUND),
            **more,
        )
        if self.folder is not None:
            save_series(result, frames, self.folder, subprogress(progress, FOUND, 1.0))
        return SeriesDone(result, frames, self.source.layers(result, frames))


def save_series(result: SeriesResult, frames: Frames, folder: Path, progress: Progress) -> Path:
    """Write the motion, its curves and the aligned images into a folder."""
    progress(0.0, "writing the motion")
    result.save(folder)
    figures.save(figures.motion(result), folder / CURVES)
    write_aligned(result, frames, folder, progress)
    return folder


@dataclass(frozen=True)
class CohortDone:
    """A cohort that was registered.

    Parameters
    ----------
    result : CohortResult
    frames : Frames
    channel : int, str or None
    folder : Path
        With the record and the report.
    layers : list of LayerData
        Template and mean, and all channels of all images where they were asked for.
    """

    result: CohortResult
    frames: Frames
    channel: int | str | None
    folder: Path
    layers: list[LayerData]


@dataclass(frozen=True)
class CohortJob:
    """Brings the images of a cohort onto one template and passes rows on as they become known.

    Parameters
    ----------
    source : Source
    options : CohortOptions
    onto : Path or None
        A template of the user's own.
    channel : int, str or None
    where : str
        As `register_cohort` takes `scheduler`.
    device : str
    folder : Path
        For transforms, table and report.
    images : bool
        Whether the aligned images are written there, too.
    merge : bool
        Whether the channels of all images are merged into one.
    arrived : callable
        Called with the number and the row of an image: once they are known, and as in `register_cohort`.
    """

    source: Source
    options: CohortOptions
    onto: Path | None
    channel: int | str | None
    where: str
    device: str
    folder: Path
    images: bool
    merge: bool
    arrived: Callable[[tuple[int, Member]], None]

    def __call__(self, progress: Progress) -> CohortDone:
        """Run the job; see `register_cohort` for the errors."""
        progress(None, "reading the images")
        frames = self.source.frames()
        check_outputs(self.folder / "cohort.json", self.folder / "cohort.csv")
        for number in range(frames.count):
            self.arrived((number, Member(frames.name(number))))
        result = register_cohort(
            frames,
            options=self.options,
            template=None if self.onto is None else read_image(self.onto),
            channel=self.channel,
            folder=self.folder,
            scheduler=self.where,
            device=self.device,
            progress=subprogress(progress, 0.0, FOUND),
            arrived=lambda number, member: self.arrived((number, member)),
        )
        result.save(self.folder)
        if self.images:
            result.save_images(frames, self.folder, subprogress(progress, FOUND, 1.0))
        layers = template_layers(result)
        if self.merge:
            if self.images:
                result.save_merged(frames, self.folder)
            layers = [*merged_layers(result, frames), *layers]
        return CohortDone(result, frames, self.channel, self.folder, layers)


def template_layers(result: CohortResult) -> list[LayerData]:
    """The template, and the mean of the aligned images below it where that is another image."""
    images = [("template", result.template)]
    if result.options["onto"] is not None or result.options["template"] not in MADE:
        images.insert(0, ("mean", result.mean))
    return [
        layer
        for name, image in images
        for layer in image_layers(
            replace(image, name=f"cohort {name}"), metadata={ROLE: name}, visible=name == "template"
        )
    ]


def merged_layers(result: CohortResult, frames: Frames) -> list[LayerData]:
    """All channels of all images, hidden, each named by its image."""
    image = result.merged(frames)
    return [
        layer
        for number, name, channel in result.channels(frames)[1:]
        for layer in image_layers(
            Image(image.data[..., int(number)], image.grid, f"{name} channel {channel}"),
            metadata={ROLE: "channel"},
            visible=False,
        )
    ]


def aligned_layer(done: CohortDone, number: int) -> list[LayerData]:
    """An image of the cohort as it lies on the template, or where it lies if it is not aligned."""
    member = done.result.members[number]
    image: Image = done.frames.read(number)
    if image.channels not in (3, 4):
        image = driving_channel(image, done.channel)
    if member.transform is not None:
        image = warp(image, member.transform, done.result.template.grid)
    how = "aligned" if member.transform is not None else "not aligned"
    return image_layers(replace(image, name=f"{member.name} {how}"), metadata={ROLE: "image"})[:1]
