"""`napari-voxreg demo`: the fundus sample registered in napari."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ...io.files import check_outputs
from ..options import add_verbose


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options."""
    parser.usage = "%(prog)s [-o FILE.png] [options]"
    text = "save a screenshot of the window and quit (without a display: demo.png)"
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.png", help=text)
    add_verbose(parser)


def run(options: argparse.Namespace) -> None:
    """Show the demo, on a virtual display where there is no other.

    Raises
    ------
    ValueError
        If the screenshot cannot be written there.
    OSError
        If there is no display of either kind, or the demo failed on the virtual one.
    """
    if options.output is not None:
        if options.output.suffix.lower() != ".png":
            raise ValueError(f"{options.output} cannot be written: the screenshot's name must end in .png.")
        check_outputs(options.output)
    # Qt's loop lets Python handle no signals; let them end it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if display or not sys.platform.startswith("linux"):
        from ...gui.demo import demo  # loads napari, which needs a display

        demo(options.output, print)
        return
    runner = shutil.which("xvfb-run")
    if runner is None:
        raise OSError("There is no display; install a virtual one: sudo apt-get install -y xvfb xauth.")
    screen = ["-a", "-s", "-screen 0 1920x1200x24"]
    again = [sys.executable, "-m", "napari_voxreg", "demo", "-o", str(options.output or "demo.png")]
    again += ["-v"] * options.verbose
    code = subprocess.run([runner, *screen, *again], check=False).returncode
    if code:
        raise OSError(f"The demo ended with exit code {code} on the virtual display.")
