"""What is photographed: one function a picture."""

from __future__ import annotations

import math
from pathlib import Path

from stage import save_movie, stage

from napari_voxreg.samples import make_sample

MOVIE_SIZE, MOVIE_WIDTH = (1120, 830), 960  # of the window and of the movie, in pixels
RUNNING = 8  # frames of the run at most


def readme(folder: Path) -> None:
    """The README's moving picture: two images, Register, swipe, flicker."""
    pair = make_sample("fundus")
    frames = []
    with stage(MOVIE_SIZE) as on:
        panel = on.panel("Register")
        on.add(pair.fixed, "visit 1 (fixed)")
        moving = on.add(pair.moving, "visit 2 (moving)")
        on.viewer.reset_view(margin=0.02)
        for seen in (False, True):
            moving.visible = seen
            on.settle()
            frames.append((on.shot(), 1200))
        frames.append((on.pointed(panel.bar.button), 700))
        panel.bar.button.click()
        frames.append((on.pointed(panel.bar.button, pressed=True), 300))
        running, said = [], ""
        while panel.busy:
            on.settle(0.1)
            if panel.bar.stage.text() != said:
                said = panel.bar.stage.text()
                running.append((on.pointed(panel.bar.button), 250))
        frames.extend(running[:: -(-len(running) // RUNNING)])
        on.settle()
        row = panel.after.look_row
        frames.append((on.shot(), 2400))
        frames.append((on.pointed(row.buttons["swipe"]), 500))
        row.buttons["swipe"].click()
        for k in range(14):
            panel.after.look.set(line=0.5 + 0.35 * math.sin(2 * math.pi * k / 14))
            row.choose("swipe")
            on.settle(0.15)
            frames.append((on.pointed(row.slider), 150))
        row.buttons["flicker"].click()
        panel.after.look._timer.stop()
        for _ in range(6):
            panel.after.look._take_turns()
            on.settle(0.15)
            frames.append((on.pointed(row.buttons["flicker"]), 400))
        row.buttons["overlay"].click()
        on.settle(0.3)
        frames.append((on.shot(), 1800))
    save_movie(frames, folder / "register.gif", MOVIE_WIDTH)


SCENES = {"register": readme}
