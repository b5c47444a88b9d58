"""The picture of the Cohort panel in docs/images: visits of one eye, one unusable and one damaged.

xvfb-run -a -s "-screen 0 1280x800x24" .venv/bin/python scripts/cohort_picture.py -o docs/images/cohort.png
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_voxreg import Image, warp
from napari_voxreg.images.preprocess import block_mean
from napari_voxreg.io.images import write_image
from napari_voxreg.samples import make_sample
from napari_voxreg.samples.drawing import similarity

VISITS, STEP = 8, 3  # images, and pixels of the sample that become one
SIZE = 1280, 800  # of the window
SETTLED = 6.0  # seconds until everything is drawn, and the notification of the end is gone


def write_visits(folder: Path) -> None:
    """Write visits of the simulated eye: rotated and moved a little, of changing brightness."""
    eye = block_mean(make_sample("fundus").fixed, (STEP, STEP))
    rng = np.random.default_rng(0)
    for k in range(VISITS):
        pose = similarity(eye.grid, rng.normal(0, 3), rng.normal(1, 0.02), tuple(rng.normal(0, 6, 2)))
        pixels = np.asarray(warp(eye, pose, eye.grid).data, dtype=float) * rng.uniform(0.8, 1.1)
        if k == VISITS - 2:
            pixels[:] = 12  # the lid was closed
        visit = Image(np.clip(pixels, 0, 255).astype(np.uint8), eye.grid)
        write_image(visit, folder / f"p07_L_{2016 + k}-05-{k + 10}.tif")
    (folder / "p07_L_2024-05-20.tif").write_bytes(b"a damaged file")


def take(folder: Path, path: Path) -> None:
    """Run the panel on the visits, open one of them, and take a screenshot of the window."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_voxreg.gui.cohort.inputs_box import COHORT, FILES
    from napari_voxreg.gui.doors import open_panel

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    panel = open_panel(viewer, "Cohort")

    def until(true: Callable[[], bool], seconds: float = 1200.0) -> None:
        end = time.monotonic() + seconds
        while not true() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.05)

    panel.inputs.choose(COHORT, FILES, folder)
    panel.options.choose_template("best")
    panel.options.group.editors["deform"].value = "none"
    until(lambda: not panel.reason())
    panel.run()
    until(lambda: not panel.busy)
    opened: list[int] = []
    panel.opened.connect(opened.append)
    panel.open(2)
    until(lambda: bool(opened))
    bar = panel.area.verticalScrollBar()
    until(lambda: False, SETTLED)
    bar.setValue(bar.maximum())
    until(lambda: False, SETTLED)
    viewer.window.screenshot(str(path), flash=False, canvas_only=False)
    viewer.close()


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PNG")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_visits(Path(folder))
        take(Path(folder), options.output)


if __name__ == "__main__":
    main()
