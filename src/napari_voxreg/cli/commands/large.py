"""`napari-voxreg large`: images larger than memory, registered and warped block by block."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.progress import Cancelled, Progress, subprogress
from ...io.files import check_outputs
from ...large import LargeImage, apply_large, check_writable, open_large, register_large, warp_lazily
from ...registration.initial import INITIAL_TRANSFORMS
from ...registration.pair_transform import Applicable
from ...registration.register import DEFAULT_METHOD
from ...registration.result import check_folder
from ...transforms import INTERPOLATIONS
from ..options import (
    add_background,
    add_method,
    add_parameters,
    add_run_options,
    add_verbose,
    background,
    parameters,
    run_options,
)
from ..terminal import progress_bar

EXAMPLES = """\
examples:
  napari-voxreg large fixed.ome.zarr moving.ome.tif -o warped.ome.zarr
  napari-voxreg large fixed.svs moving.svs -o out.ome.tif --refine 1
  napari-voxreg large fixed.svs cells.tif -o new.ome.tif --transform out.ome.tif-transform --labels"""
REGISTERED = 0.5  # of the time, until the transform is known


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options, with the parameters of the method that `words` name."""
    parser.usage = "%(prog)s FIXED MOVING -o OUTPUT [-m METHOD] [options]"
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("fixed", metavar="FIXED", help="the fixed image: OME-Zarr, TIFF (OME, SVS, tiled, plain), or another")
    add("moving", metavar="MOVING", help="the moving image, which is warped onto the fixed one")
    text = "the warped image, with all levels: a name that ends in .ome.zarr, or in .ome.tif"
    add("-o", "--output", type=Path, required=True, metavar="OUTPUT", help=text)
    text = "apply saved transforms, as `apply` takes them, and register nothing"
    add("--transform", type=Path, nargs="+", metavar="TRANSFORM", help=text)
    text = "level of the fixed image that is registered, 0 for the finest (default: by size and memory)"
    add("--level", type=int, metavar="N", help=text)
    add("--refine", type=int, metavar="N", help="refine block by block down to this level (default: none)")
    add("--memory", type=float, default=1.0, metavar="GB", help="memory that the work may take (default 1)")
    text = f"initial transform: {', '.join(INITIAL_TRANSFORMS)}, or a transform file"
    add("--initial", metavar="TRANSFORM", help=text)
    add("--interpolation", choices=INTERPOLATIONS, metavar="KIND", help=", ".join(INTERPOLATIONS))
    add("--labels", action="store_true", help="nearest-neighbour interpolation, for label images")
    add_background(parser)
    add("--ome-zarr", choices=("0.4", "0.5"), default="0.4", help="version that is written (default 0.4)")
    add("--show", action="store_true", help="show the warped image in napari; close it to write")
    add_run_options(parser)
    add_method(parser, f"one of those that `napari-voxreg methods` lists (default {DEFAULT_METHOD})")
    add("--preset", help="one of the method's presets (default: its first)")
    add_verbose(parser)
    add_parameters(parser, words)


def run(options: argparse.Namespace) -> None:
    """Register, save the transform beside the output, and warp.

    Raises
    ------
    ValueError
        With one plain sentence, before any work where that can be known.
    Cancelled
        If the user stopped it.
    """
    if options.labels and options.interpolation is not None:
        raise ValueError(
            "--labels is nearest-neighbour interpolation; leave out --interpolation, or --labels."
        )
    if not options.memory > 0:
        raise ValueError(f"The memory cannot be {options.memory:g} GB; give a positive number.")
    folder = transform_folder(options.output)
    check_outputs(folder / "transform.h5", options.output.with_name(f".{options.output.name}"))
    given: Applicable | None = options.transform
    fixed, moving = open_large(options.fixed), open_large(options.moving, options.labels)
    check_writable(moving, fixed.grid, options.output, options.ome_zarr)
    warped: dict[str, Any] = {
        "fixed": fixed,
        "interpolation": "nearest" if options.labels else options.interpolation or "linear",
        "background": background(options.background),
    }
    if options.show and given is not None:
        _show(fixed, warp_lazily(given, moving, **warped), options.output)
    with progress_bar() as progress:
        if given is None:
            given = _registered(options, fixed, moving, folder, subprogress(progress, 0.0, REGISTERED))
            if options.show:
                _show(fixed, warp_lazily(given, moving, **warped), options.output)
        try:
            written = apply_large(
                given,
                moving,
                options.output,
                version=options.ome_zarr,
                memory=1e9 * options.memory,
                progress=subprogress(progress, 0.0 if options.transform else REGISTERED, 1.0),
                **warped,
            )
        except (Cancelled, KeyboardInterrupt) as stopped:
            if options.transform:
                raise
            raise Cancelled(f"cancelled; the transform is kept, go on with --transform {folder}") from stopped
    for note in written.notes:
        print(note)
    print(f"Wrote {options.output}, {len(written.levels)} levels.")


def transform_folder(output: Path) -> Path:
    """Where the transform is saved: beside the warped image, with its whole name, as no two outputs share."""
    return output.with_name(f"{output.name}-transform")


def _registered(
    options: argparse.Namespace, fixed: LargeImage, moving: LargeImage, folder: Path, progress: Progress
) -> Path:
    """Register, print what was found and save it."""
    check_folder(folder)
    result = register_large(
        fixed,
        moving,
        method=options.method or DEFAULT_METHOD,
        preset=options.preset,
        params=parameters(options),
        initial=options.initial if options.initial in (None, *INITIAL_TRANSFORMS) else Path(options.initial),
        level=options.level,
        refine=options.refine,
        memory=1e9 * options.memory,
        progress=progress,
        **run_options(options),
    )
    saved = result.save(folder)
    print("\n".join([result.verdict.sentence, *result.notes, f"Wrote {saved}."]))
    return folder


def _show(fixed: LargeImage, warped: LargeImage, output: Path) -> None:
    """Open napari, and wait until its window is closed."""
    from ...gui.large_layers import show_large  # loads napari, which needs a display

    print(f"Close the window of napari to write {output}.", flush=True)
    show_large({fixed.name: fixed, f"warped {warped.name}": warped})
