"""The Cohort panel after a run on simulated visits."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from stage import Stage, stage

from napari_voxreg import Image, warp
from napari_voxreg.images.preprocess import block_mean
from napari_voxreg.io.images import write_image
from napari_voxreg.samples import make_sample
from napari_voxreg.samples.drawing import similarity

VISITS, STEP, OPENED = 6, 4, 2  # images, pixels of the sample that become one, and the image shown
PATIENCE = 1800.0  # seconds


def cohort_panel(folder: Path) -> None:
    """Visits of one eye, one of them unusable and one damaged; a visit compared with the template."""
    with tempfile.TemporaryDirectory() as name, stage() as on:
        _write_visits(Path(name))
        _run(on, Path(name))
        # All colours: in a palette those of the verdicts would be others.
        on.shot().save(folder / "cohort-panel.png", optimize=True)


def _write_visits(folder: Path) -> None:
    """The simulated eye, rotated and moved a little, of changing brightness."""
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


def _run(on: Stage, folder: Path) -> None:
    """Register the visits onto the best of them, and open one."""
    from napari_voxreg.gui.cohort.inputs_box import COHORT, FILES

    panel = on.panel("Cohort")
    panel.inputs.choose(COHORT, FILES, folder)
    panel.options.choose_template("best")
    panel.options.group.editors["deform"].value = "none"
    on.wait(lambda: not panel.reason())
    panel.run()
    on.wait(lambda: not panel.busy, PATIENCE)
    opened: list[int] = []
    panel.opened.connect(opened.append)
    panel.open(OPENED)
    on.wait(lambda: bool(opened))
    on.settle()
    bar = panel.area.verticalScrollBar()
    bar.setValue(bar.maximum())
    on.settle()
