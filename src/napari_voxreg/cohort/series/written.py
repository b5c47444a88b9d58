"""The aligned images of a series as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core.progress import Progress, silent
from ...io.files import check_inputs_kept, check_outputs
from ...io.images import WRITTEN, check_format, ending_of, write_image
from ..earlier import add_files
from ..files import check_apart, folder_names
from .frames import Frames
from .result import RECORD, SeriesResult

ALIGNED, CURVES = "aligned.tif", "motion.png"


def aligned_files(frames: Frames, folder: Path) -> list[Path]:
    """The files that `write_aligned` writes: one for all frames, or one for each where each has a file."""
    if not frames.names:
        return [folder / ALIGNED]
    endings = [ending_of(Path(name)) for name in frames.names]
    return [
        folder / "aligned" / (stem + (ending if ending in WRITTEN else ".tif"))
        for stem, ending in zip(folder_names(list(frames.names)), endings, strict=True)
    ]


def check_places(frames: Frames, folder: Path, files: Sequence[Path]) -> None:
    """Refuse, before any work, a folder or files in it that cannot be written or are read.

    Parameters
    ----------
    frames : Frames
    folder : Path
        For the motion and its curves.
    files : sequence of Path
        For the aligned images.

    Raises
    ------
    ValueError
        If an output is an input, or the folder holds the frames' files.
    OSError
        If one cannot be written.
    """
    if len(frames.sources) > 1:
        check_apart(frames.sources, folder)
    outputs = [*(folder / name for name in ("series.json", "series.csv", CURVES)), *files]
    check_outputs(*outputs)
    check_inputs_kept(frames.sources, outputs)


def write_aligned(result: SeriesResult, frames: Frames, folder: Path, progress: Progress = silent) -> None:
    """Warp the frames and write them, all channels; those that cannot be read are left out.

    Parameters
    ----------
    result : SeriesResult
    frames : Frames
        Those that were aligned.
    folder : Path
        As of `SeriesResult.save`, which comes first.
    progress : Progress, optional

    Raises
    ------
    ValueError
        If a format cannot hold an image.
    OSError
        If one cannot be written.
    """
    files, written = aligned_files(frames, folder), []
    try:
        if len(files) == 1:
            progress(0.0, f"writing {files[0].name}")
            image = result.lazy(frames)
            written.append(write_image(image.with_data(np.asarray(image.data)), files[0]))
            return
        for k in result.readable:
            progress(k / len(files), f"writing {files[k].name}")
            image = result.warp(frames.read(k), k)
            if k == result.readable[0]:
                check_format(image, files[k])
            written.append(write_image(image, files[k]))
    finally:
        add_files(folder / RECORD, written)
