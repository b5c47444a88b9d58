"""How long does a change of the view take, and how soon is a layer of a result there?

    .venv/bin/python benchmarks/look.py

Opens napari, needs a display (xvfb-run -a), and prints two Markdown tables: milliseconds that each way to
compare two images keeps the interface busy until the canvas is drawn anew, beside a redraw without any; and
seconds from a click under Show until the layer is there, right after the run and after the layers that were
made ahead are ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from weakref import ref

import napari
import numpy as np
from qtpy.QtWidgets import QApplication, QWidget
from scipy.ndimage import gaussian_filter, zoom

from napari_voxreg import Affine, Displacement, register
from napari_voxreg.gui.layers.result_layers import KINDS, ON_REQUEST
from napari_voxreg.gui.layers.snapshots import snapshot
from napari_voxreg.gui.look.look import MODES, SWIPED, Look
from napari_voxreg.gui.session.chosen import Chosen
from napari_voxreg.gui.session.run_layers import RunLayers
from napari_voxreg.gui.session.state import Run
from napari_voxreg.transforms import chain

SIDE, VOLUME = 2048, 512
REPEATS = 7


def drawn(viewer: napari.Viewer, change: Callable[[], object]) -> float:
    """Milliseconds of a change, until the canvas has been drawn."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        change()
        viewer.window._qt_viewer.canvas._scene_canvas.update()
        QApplication.processEvents()
        times.append(1000 * (time.perf_counter() - began))
    return median(times)


def views(shape: tuple[int, ...]) -> list[str]:
    """Rows of the first table."""
    viewer = napari.Viewer()
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    fixed, warped = (viewer.add_image(data, contrast_limits=(0, 1)) for data in (image, image[::-1]))
    QApplication.processEvents()
    look = Look(viewer, None)
    size = " x ".join(map(str, shape))
    rows = [f"| {size} | redraw alone | {drawn(viewer, lambda: None):.0f} |"]
    for mode in MODES:
        turns = iter([("", mode)[k % 2] for k in range(2 * REPEATS)])
        change = drawn(viewer, lambda turns=turns: look.show(next(turns), fixed, warped))
        rows.append(f"| {size} | {mode}, on or off | {change:.0f} |")
    look.show(SWIPED, fixed, warped)
    places = iter(np.linspace(0.2, 0.8, REPEATS))
    rows.append(f"| {size} | line moved | {drawn(viewer, lambda: look.set(line=next(places))):.0f} |")
    if len(shape) == 3:
        planes = iter(range(10, 10 + REPEATS))
        look.show(MODES[-2], fixed, warped)
        change = drawn(viewer, lambda: viewer.dims.set_point(0, next(planes)))
        rows.append(f"| {size} | next slice of a difference | {change:.0f} |")
    viewer.close()
    return rows


def layers() -> list[str]:
    """Rows of the second table."""
    viewer = napari.Viewer()
    image = gaussian_filter(np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32), 3)
    pair = [viewer.add_image(data, name=str(k)) for k, data in enumerate((image, np.roll(image, 4, 0)))]
    taken = [snapshot(layer) for layer in pair]
    small = register(*(one.image().data[:64, :64] for one in taken), method="translation")
    grid = taken[0].grid()
    field = zoom(np.random.default_rng(1).normal(0, 6, (9, 9, 2)), (SIDE / 9, SIDE / 9, 1), order=3)
    transform = chain(Affine.translation((4.0, 0.0)), Displacement(field[:SIDE, :SIDE], grid))
    rows = []
    for ahead in (False, True):
        object.__setattr__(small, "transform", transform)
        object.__setattr__(small, "fixed", grid)
        run = Run(1 + ahead, small, Chosen(*taken, None, None, None, None, None, (0, 0)), *map(ref, pair))
        parent = QWidget()
        made = RunLayers(viewer, parent)
        if ahead:
            made.make_ahead(run)
            while made._runner.busy:
                QApplication.processEvents()
                time.sleep(0.01)
        for kind in [kind for kind in KINDS if kind != "extras" and not (ahead and kind in ON_REQUEST)]:
            began = time.perf_counter()
            made.show(run, kind, True)
            while not made.there(run, kind):
                QApplication.processEvents()
            when = "made ahead" if ahead else "at once after the run"
            rows.append(f"| {kind} | {when} | {time.perf_counter() - began:.2f} |")
        made.remove(run)
    viewer.close()
    return rows


def main() -> None:
    """Print the tables."""
    print("| image | change | ms |\n|---|---|---:|")
    for shape in ((SIDE, SIDE), (VOLUME, VOLUME, VOLUME)):
        print("\n".join(views(shape)), flush=True)
    print(f"\n| layer of {SIDE} x {SIDE} | | s |\n|---|---|---:|")
    print("\n".join(layers()))


if __name__ == "__main__":
    main()
