"""`napari-voxreg register`: a pair of files to a transform and a warped image."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ...io.files import check_inputs_kept, check_outputs
from ...io.images import ending_of, format_like, read_image, write_like
from ...io.series import is_series, planned_series, time_point, warp_series
from ...io.transforms import load_transform
from ...registration.register import DEFAULT_METHOD, register
from ...registration.result import Result, check_folder
from ..options import (
    add_method,
    add_pair_options,
    add_parameters,
    add_verbose,
    pair_files,
    pair_inputs,
    parameters,
)
from ..terminal import progress_bar, text_table

EXAMPLES = """\
examples:
  napari-voxreg register fixed.nii.gz moving.nii.gz -o result
  napari-voxreg register fixed.png moving.png -o result -m affine --levels 5
  napari-voxreg register fixed.tif moving.tif -o result -m bspline --initial earlier
  napari-voxreg register fixed.mha moving.mha -o result --fixed-mask mask.mha --device cuda
  napari-voxreg register -m affine --help      # the parameters of a method"""


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options, with the parameters of the method that `words` name."""
    parser.usage = "%(prog)s FIXED MOVING -o DIR [-m METHOD] [options]"
    parser.epilog = EXAMPLES
    add_pair_options(parser)
    text = "folder for the transform (transform.h5, transform.json) and the warped image"
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help=text)
    add_method(parser, f"one of those that `napari-voxreg methods` lists (default {DEFAULT_METHOD})")
    parser.add_argument("--preset", help="one of the method's presets (default: its first)")
    add_verbose(parser)
    add_parameters(parser, words)


def run(options: argparse.Namespace) -> None:
    """Register the pair, write transform and warped image, print the verdict and the scores."""
    outputs = [options.output / name for name in ("transform.h5", "transform.json")]
    warped = [options.output / f"warped{end}" for end in (ending_of(options.moving), ".mha")]
    check_outputs(*outputs, *warped)
    check_inputs_kept(pair_files(options), [*outputs, *warped])
    check_folder(options.output, *(path.name for path in warped))
    fixed, moving = read_image(options.fixed), read_image(options.moving)
    still, first = time_point(fixed), time_point(moving)
    inputs = pair_inputs(options, still, first)
    # A slice keeps its thickness where both have one.
    grid = still.grid if still.ndim == first.ndim else still.grid.without(still.grid.thin_axes())
    format_like(planned_series(moving, grid), options.moving)
    with progress_bar() as progress:
        result = register(
            method=options.method or DEFAULT_METHOD,
            preset=options.preset,
            params=parameters(options),
            progress=progress,
            **inputs,
        )
    saved = result.save(options.output)
    image = write_like(
        warp_series(moving, load_transform(saved), grid), options.output / "warped", options.moving
    )
    print(_report(result))
    if is_series(fixed) or is_series(moving):
        print("Of a series in time, the first time point was registered; all were warped.")
    print(f"\nWrote {saved}, {saved.with_suffix('.json').name} and {image.name}.")


def _report(result: Result) -> str:
    """Verdict, notes and scores."""
    before, after = result.before, result.after
    columns = (before.whole, after.whole, before.overlap, after.overlap)
    rows: list[tuple[str, ...]] = [("", "whole grid", "", "overlap only", "")]
    rows.append(("", *("before", "after") * 2))
    rows += [(name.upper(), *(f"{scores[name]:.4f}" for scores in columns)) for name in before.whole]
    rest = (
        f"overlap {100 * before.overlap_fraction:.0f} % -> {100 * after.overlap_fraction:.0f} %, "
        f"folded {after.folded:.2g} %, {result.seconds:.1f} s"
    )
    return "\n".join([result.verdict.sentence, *result.notes, "", text_table(rows, numbers=1), rest])
