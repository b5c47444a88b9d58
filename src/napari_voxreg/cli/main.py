"""The command line: what the panel does, from a terminal.

Exit codes: 0 done, 1 failed, 2 refused (a wrong option, or input that cannot be registered), 130 cancelled.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_parameters, add_run_options, parameters, run_options

if TYPE_CHECKING:
    from ..core.geometry import Array
    from ..core.progress import Progress
    from ..registration.result import Result
    from ..transforms import Transform

# Loaded inside the functions: everything else of the package, so that --help answers at once.

PROGRAM = "napari-voxreg"
STARTS = "centres, moments, corners, landmarks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of this process if left out.

    Returns
    -------
    int
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser(words).parse_args(words)
    except SystemExit as leaving:  # argparse's own way to say 0 (help) or 2 (usage)
        return int(leaving.code or 0)
    from ..core.process import MethodUnavailable
    from ..core.progress import Cancelled

    try:
        options.command(options)
    except (Cancelled, KeyboardInterrupt) as stopped:
        return _complain(str(stopped) or "cancelled; nothing was written", 130)
    except ValueError as error:
        return _complain(str(error), 2)
    except (MethodUnavailable, OSError) as error:
        return _complain(str(error), 1)
    return 0


def _complain(sentence: str, code: int) -> int:
    print(f"{PROGRAM}: {sentence}", file=sys.stderr)
    return code


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The whole command line; `words` tells which method's parameters `register` has."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Register 2D and 3D images.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version(PROGRAM)}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(command=function)
        return added

    demo = command("demo", _demo, "Register the simulated fundus pair in napari.")
    demo.add_argument(
        "--picture",
        type=Path,
        metavar="FILE.png",
        help="save a picture of the window and quit (without a display: demo.png)",
    )

    samples = command("samples", _samples, "List the simulated pairs, or write them as files.")
    samples.add_argument("name", nargs="?", help="only this pair")
    samples.add_argument("-o", "--output", type=Path, metavar="DIR", help="write the pair's files here")

    methods = command("methods", _methods, "List the methods, or one method's parameters.")
    methods.add_argument("name", nargs="?", help="show this method's presets and parameters")
    methods.add_argument("--markdown", action="store_true", help="the page docs/methods.md")

    register = command("register", _register, "Register the moving image to the fixed image.")
    _add_pair_options(register)
    register.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="for transform and warped image"
    )
    register.add_argument("--method", help=f"one of `{PROGRAM} methods` (default: that of the panel)")
    register.add_argument("--preset", help=f"one of `{PROGRAM} methods METHOD` (default: its first)")
    if words[:1] == ["register"]:
        add_parameters(register, _methods_in(words))

    compare = command("compare", _compare, "Run several methods on one pair and print a table.")
    _add_pair_options(compare)
    compare.add_argument("--methods", metavar="A,B,C", help="these (default: one of each kind that fits)")
    compare.add_argument("-o", "--output", type=Path, metavar="DIR", help="for the table and the transforms")

    pairs = command("pairs", _pairs, "List the pairs to train on in folders, lists and tables, or pack them.")
    if words[:1] == ["pairs"]:
        from .pairs import add_pairs

        add_pairs(pairs)

    evaluate = command(
        "evaluate", _evaluate, "Run methods on many pairs; write a table, a summary and figures."
    )
    if words[:1] == ["evaluate"]:
        from .evaluate import add_evaluate

        add_evaluate(evaluate)
        add_parameters(evaluate, _methods_in(words))

    train = command("train", _train, "Train a network on your own pairs, or go on with a run.")
    if words[:1] == ["train"]:
        from .train import add_train

        add_train(train)

    clusters = command("clusters", _clusters, "Find kinds of images among pairs; train a model for each.")
    if words[:1] == ["clusters"]:
        from .clusters import add_clusters

        add_clusters(clusters)

    apply = command("apply", _apply, "Warp another image with a saved transform.")
    apply.add_argument("transform", type=Path, help="a folder that register wrote, or its transform.h5")
    apply.add_argument("image", type=Path, help="lies where the moving image lay")
    apply.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the warped image")
    apply.add_argument("--labels", action="store_true", help="take the nearest pixel, never a mixture")
    return parser


def _add_pair_options(parser: argparse.ArgumentParser) -> None:
    """The pair, and the options that all methods share."""
    add = parser.add_argument
    add("fixed", type=Path, metavar="FIXED", help="the image that stays")
    add("moving", type=Path, metavar="MOVING", help="the image that is warped onto it")
    add("--start", metavar="WHERE", help=f"{STARTS}, or a saved transform (default: present position)")
    for which in ("fixed", "moving"):
        add(f"--{which}-mask", type=Path, metavar="FILE", help="only its pixels that are not zero count")
    for which in ("fixed", "moving"):
        text = "corresponding points, one a line, world units in array order"
        add(f"--{which}-points", type=Path, metavar="CSV", help=text)
    add_run_options(parser)


def _methods_in(words: Sequence[str]) -> list[str]:
    """The methods that the words name, the default one if none."""
    from ..registration.register import DEFAULT_METHOD

    scout = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    scout.add_argument("-m", "--method", nargs="*")
    return scout.parse_known_args(words)[0].method or [DEFAULT_METHOD]


def _demo(options: argparse.Namespace) -> None:
    """Show the fundus sample registered in napari, on a virtual display where there is no other."""
    import os

    picture = options.picture
    bare = sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if not bare:
        from ..gui.demo import demo

        demo(picture, print)
        return
    import shutil
    import subprocess

    runner = shutil.which("xvfb-run")
    if runner is None:
        raise OSError("there is no display; install a virtual one: sudo apt-get install -y xvfb xauth")
    target = str(picture or Path("demo.png"))
    screen = ["-a", "-s", "-screen 0 1920x1200x24"]
    again = [sys.executable, "-m", "napari_voxreg", "demo", "--picture", target]
    code = subprocess.run([runner, *screen, *again], check=False).returncode
    if code:
        raise OSError(f"the demo ended with exit code {code} on the virtual display")


def _methods(options: argparse.Namespace) -> None:
    """List the methods or describe one."""
    from ..methods import METHODS, describe

    if options.markdown:
        print(describe.markdown(), end="")
    elif options.name is None:
        print(describe.method_list())
    elif options.name in METHODS:
        print(describe.method_details(METHODS[options.name]))
    else:
        raise ValueError(f"There is no method {options.name!r}; choose from: {', '.join(METHODS)}.")


def _samples(options: argparse.Namespace) -> None:
    """List the simulated pairs, or write them."""
    from ..samples import SAMPLES

    names = list(SAMPLES) if options.name is None else [options.name]
    for name in names:
        if name not in SAMPLES:
            raise ValueError(f"There is no sample {name!r}; choose from: {', '.join(SAMPLES)}.")
        if options.output is None:
            info = SAMPLES[name]
            print(f"{name:12}{info.title}\n{'':12}{info.description}")
        else:
            from ..samples.files import write_sample

            for file in write_sample(SAMPLES[name].make(), options.output):
                print(file)


def _register(options: argparse.Namespace) -> None:
    """Register a pair of files and write transform and warped image."""
    from ..io.images import read_image, write_like
    from ..io.series import is_series, time_point, warp_series
    from ..io.transforms import load_transform
    from ..registration.register import DEFAULT_METHOD, register

    inputs = _inputs(options)
    fixed, moving = read_image(options.fixed), read_image(options.moving)
    still, first = time_point(fixed), time_point(moving)
    with _terminal() as progress:
        result = register(
            still,
            first,
            method=options.method or DEFAULT_METHOD,
            preset=options.preset,
            params=parameters(options),
            progress=progress,
            **inputs,
        )
    saved = result.save(options.output)
    # A slice keeps its thickness where both have one.
    grid = still.grid if still.ndim == first.ndim else result.fixed
    warped = warp_series(moving, load_transform(saved), grid)
    picture = write_like(warped, options.output / "warped", options.moving)
    print(_report(result))
    if is_series(fixed) or is_series(moving):
        print("Of a series in time, the first time point was registered; all were warped.")
    print(f"\nWrote {saved}, {saved.with_suffix('.json').name} and {picture.name}.")


def _compare(options: argparse.Namespace) -> None:
    """Run several methods on a pair of files; what is done when the user cancels is kept."""
    from ..core.progress import Cancelled
    from ..io.files import replace_file
    from ..io.images import read_image
    from ..io.series import time_point
    from ..registration.compare import BEFORE, Row, comma_separated, compare, markdown, table

    names = None if options.methods is None else [name.strip() for name in options.methods.split(",")]
    inputs = _inputs(options)
    fixed, moving = time_point(read_image(options.fixed)), time_point(read_image(options.moving))
    rows: list[Row] = []
    cancelled = False
    try:
        with _terminal() as progress:
            compare(fixed, moving, methods=names, progress=progress, arrived=rows.append, **inputs)
    except Cancelled:
        cancelled = True
    done = [row for row in rows if row.method != BEFORE]
    if done:
        print(table(rows))
    if done and options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        for row in done:
            if row.result is not None:
                row.result.save(options.output / row.method)
        for name, text in (("table.csv", comma_separated(rows)), ("table.md", markdown(rows))):
            replace_file(options.output / name, partial(Path.write_text, data=text, encoding="utf-8"))
        print(f"\nWrote table.csv, table.md and a folder for each transform to {options.output}.")
    if cancelled:
        raise Cancelled(f"cancelled; {len(done)} of the methods were finished" if done else "")


def _apply(options: argparse.Namespace) -> None:
    """Warp one more image onto the fixed grid of a saved transform."""
    from ..io.images import read_image, write_image
    from ..io.series import warp_series
    from ..io.transforms import fixed_grid, load_record, load_transform

    transform, record = load_transform(options.transform), load_record(options.transform)
    if record is None:
        raise ValueError(
            f"{options.transform.name} has no record of the fixed image's grid beside it; "
            f"give a transform that {PROGRAM} has written, with its .json."
        )
    image = read_image(options.image)
    warped = warp_series(image, transform, fixed_grid(record), order=0 if options.labels else 1)
    print(f"Wrote {write_image(warped, options.output)}.")


def _pairs(options: argparse.Namespace) -> None:
    """List or pack pairs."""
    with _terminal() as progress:
        text = options.pairs(options, progress)
    print(text)


def _evaluate(options: argparse.Namespace) -> None:
    """Evaluate methods on pairs; what is done when the user cancels is kept."""
    from .evaluate import evaluate_pairs

    with _terminal() as progress:
        report = evaluate_pairs(options, progress)
    print(report.text)
    if report.stopped is not None:
        raise report.stopped


def _train(options: argparse.Namespace) -> None:
    """Train; what is learnt when the user cancels is kept."""
    from .train import train_from

    with _terminal() as progress:
        text = train_from(options, progress)
    if text:
        print(text)


def _clusters(options: argparse.Namespace) -> None:
    """Find clusters, train their models; what is done when the user cancels is kept."""
    from .clusters import clusters_from

    with _terminal() as progress:
        text = clusters_from(options, progress)
    print(text)


def _inputs(options: argparse.Namespace) -> dict[str, Any]:
    """What `register` and `compare` take besides the pair."""
    from ..io.images import read_image

    return {
        "landmarks": _points(options.fixed_points, options.moving_points),
        "initial": _start(options.start),
        **{
            f"{which}_mask": None if path is None else read_image(path)
            for which, path in (("fixed", options.fixed_mask), ("moving", options.moving_mask))
        },
        **run_options(options),
    }


def _start(where: str | None) -> str | Transform | None:
    """A start's name, or a transform from disk."""
    from ..io.transforms import load_transform
    from ..registration.initial import INITIAL_TRANSFORMS

    if where is None or where in INITIAL_TRANSFORMS:
        return where
    if not Path(where).exists():
        raise ValueError(
            f"There is no start {where!r}; choose from: {', '.join(INITIAL_TRANSFORMS)}, "
            "or give a saved transform."
        )
    return load_transform(where)


def _points(fixed: Path | None, moving: Path | None) -> tuple[Array, Array] | None:
    """Landmarks from two tables."""
    from ..io.points import read_points

    if fixed is None and moving is None:
        return None
    if fixed is None or moving is None:
        raise ValueError("Landmarks come in pairs; give both --fixed-points and --moving-points.")
    return read_points(fixed), read_points(moving)


def _report(result: Result) -> str:
    """Verdict, notes and scores for the terminal."""
    before, after = result.before, result.after
    lines = [result.verdict.sentence, *result.notes, "", f"{'':6}{'whole grid':>20}{'overlap only':>20}"]
    lines.append(f"{'':6}" + f"{'before':>10}{'after':>10}" * 2)
    for name in before.whole:
        values = (before.whole, after.whole, before.overlap, after.overlap)
        lines.append(f"{name.upper():6}" + "".join(f"{scores[name]:>10.4f}" for scores in values))
    lines.append(
        f"overlap {100 * before.overlap_fraction:.0f} % -> {100 * after.overlap_fraction:.0f} %, "
        f"folded {after.folded:.2g} %, {result.seconds:.1f} s"
    )
    return "\n".join(lines)


@contextmanager
def _terminal() -> Iterator[Progress]:
    """Progress as a bar if there is a terminal; the first Ctrl-C asks the work to stop, a second ends it."""
    from tqdm import tqdm

    from ..core.progress import Cancelled

    stop = False

    def interrupted(number: int, frame: object) -> None:
        nonlocal stop
        stop = True
        signal.signal(signal.SIGINT, usual)

    usual = signal.signal(signal.SIGINT, interrupted)
    try:
        shape = "{percentage:3.0f} %|{bar:30}| {elapsed}{postfix}"
        # Without miniters tqdm waits for as much progress as it saw last, which may never come.
        with tqdm(total=100, bar_format=shape, miniters=0, disable=None, leave=False, file=sys.stderr) as bar:

            def report(fraction: float | None, message: str, metric: float | None = None) -> None:
                if stop:
                    raise Cancelled
                bar.set_postfix_str(message if metric is None else f"{message}, metric {metric:.5g}", False)
                bar.update(0 if fraction is None else 100 * fraction - bar.n)

            yield report
    finally:
        signal.signal(signal.SIGINT, usual)
