"""What is photographed: one function a picture, or for several of one run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import panels
from drawings import direction
from examples import example
from PIL import Image as Picture
from PIL import ImageDraw
from sheet import panel_sheet, side_by_side
from stage import SIZE, Stage, save, save_movie, scratch, stage

from napari_voxreg.core.geometry import Image
from napari_voxreg.samples import make_sample

MOVIE_SIZE, MOVIE_WIDTH = (1120, 830), 960  # of the window and of the movie, in pixels
RUNNING = 8  # frames of the run at most
COLOURS = ("red", "green", "blue")
HIGH, LONG = (1280, 940), ("evaluate",)  # the window of panels with much below each other
COLOURFUL = ("landmarks", "cohort-panel")  # whose rare colours have a meaning


def register(folder: Path) -> None:
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


def start(folder: Path) -> None:
    """The first run, and what the fundus tutorial looks at."""
    pair = make_sample("fundus")
    with stage() as on:
        panel = on.panel("Register")
        on.add_pair(pair.fixed, pair.moving)
        save(on.pointed(panel.bar.button), folder / "start-pair.png")
        panel = on.register()
        save(on.shot(), folder / "start-result.png")
        panel.after.look_row.buttons["signed difference"].click()
        on.settle()
        save(on.shot(), folder / "fundus-difference.png")


def of_panel(state: Callable[[Stage, Path], object], name: str) -> Callable[[Path], None]:
    """The scene of a panel's page: the window while the panel is in a state."""

    def scene(folder: Path) -> None:
        with scratch() as files, stage(HIGH if name in LONG else SIZE) as on:
            state(on, files)
            on.settle()
            save(on.shot(), folder / f"{name}.png", palette=name not in COLOURFUL)

    return scene


def clusters(folder: Path) -> None:
    """The window of clusters beside the Train panel."""
    with scratch() as files, stage() as on:
        window = panels.clusters(on, files)
        on.settle()
        save(side_by_side([on.grab(window), on.panel_shot(on.panel("Train"))]), folder / "clusters.png")


def sar(folder: Path) -> None:
    """Two radar scenes as a checkerboard."""
    _looked_at("sar", "checkerboard", folder / "sar-checker.png", "two sensors, one scene")


def brain(folder: Path) -> None:
    """Two contrasts of a head as a checkerboard."""
    _looked_at("brain2d", "checkerboard", folder / "brain-checker.png")


def sections(folder: Path) -> None:
    """Two stains of a section, swiped."""
    _looked_at("microscopy", "swipe", folder / "sections-swipe.png")


def visits(folder: Path) -> None:
    """The Jacobian of the change between two visits of the generated head."""
    names = example("visits.md")
    with stage() as on:
        on.add_pair(names["first"], names["second"])
        panel = on.register("auto", "one object, two times")
        titles = [panel.initial.box.itemText(k) for k in range(panel.initial.box.count())]
        panel.initial.choose(next(title for title in titles if "auto" in title))
        panel = on.register("diffeo")
        panel.after.look_row.buttons["overlay"].click()  # again, which shows the layers as they are
        panel.show_box._boxes["jacobian"].click()
        on.wait(lambda: any("Jacobian" in layer.name for layer in on.viewer.layers))
        next(layer for layer in on.viewer.layers if "Jacobian" in layer.name).opacity = 0.5
        on.viewer.dims.set_point(0, 8.0)
        on.settle()
        save(on.shot(), folder / "visits-jacobian.png")


def cyclic(folder: Path) -> None:
    """Nuclei of three rounds, as imaged and aligned."""
    names = example("cyclic.md")
    shots = []
    for images in (names["rounds"], names["aligned"]):
        with stage() as on:
            for image, colour in zip(images, COLOURS, strict=True):
                nuclei = Image(np.ascontiguousarray(image.data[..., 0]), image.grid)
                layer = on.add(nuclei, image.name)
                layer.colormap, layer.blending, layer.contrast_limits = colour, "additive", (0, 700)
            shots.append(_canvas(on))
    save(_beside(shots, ("as imaged", "aligned")), folder / "cyclic.png")


def motion(folder: Path) -> None:
    """The mean of the generated movie, as recorded and corrected."""
    names = example("motion.md")
    shots = []
    for pixels in (names["movie"].mean(0), np.asarray(names["corrected"].data).mean(0)):
        with stage() as on:
            layer = on.viewer.add_image(pixels, name="mean")
            layer.contrast_limits = (0, float(np.percentile(pixels, 99.8)))
            shots.append(_canvas(on))
    save(_beside(shots, ("mean as recorded", "mean corrected")), folder / "motion.png")


def cohort(folder: Path) -> None:
    """The mean of the generated people, as they lie and aligned."""
    names = example("cohort.md")
    from napari_voxreg.io.images import read_image

    people = [read_image(file) for file in sorted(names["folder"].glob("people/*.nii.gz"))]
    before = np.mean([image.data for image in people], 0)
    (file,) = names["folder"].glob("mean/mean.*")
    after = read_image(file)
    shots = []
    for image in (Image(before, people[0].grid), after):
        with stage() as on:
            on.add(image, "mean")
            shots.append(_canvas(on))
    save(_beside(shots, ("as they lie", "registered")), folder / "cohort.png")


def _looked_at(sample: str, mode: str, path: Path, preset: str = "") -> None:
    """A sample pair after a run of `auto`, compared in one way."""
    with stage() as on:
        pair = make_sample(sample)
        on.add_pair(pair.fixed, pair.moving)
        panel = on.register("auto", preset)
        panel.after.look_row.buttons[mode].click()
        on.settle()
        print(panel.result.verdict.sentence)
        save(on.shot(), path)


def _canvas(on: Stage) -> Picture.Image:
    """The canvas alone, cut to what is seen of the images."""
    on.viewer.reset_view(margin=0.0)
    on.settle()
    shot = on.canvas()
    side = min(shot.size)
    left, top = (shot.width - side) // 2, (shot.height - side) // 2
    return shot.crop((left, top, left + side, top + side))


def _beside(shots: list[Picture.Image], titles: tuple[str, ...]) -> Picture.Image:
    """Pictures in a row, each with a title in its corner."""
    wide, high = shots[0].size
    sheet = Picture.new("RGB", (wide * len(shots) + 8 * (len(shots) - 1), high), "white")
    for k, (shot, title) in enumerate(zip(shots, titles, strict=True)):
        sheet.paste(shot.resize((wide, high)), (k * (wide + 8), 0))
        ImageDraw.Draw(sheet).text((k * (wide + 8) + 10, 8), title, fill="white", font_size=18)
    return sheet


SCENES: dict[str, Callable[[Path], None]] = {
    scene.__name__: scene
    for scene in (
        *(register, start, sar, brain, sections, visits, cyclic, motion, cohort),
        *(clusters, panel_sheet, direction),
    )
} | {
    name: of_panel(state, name)
    for name, state in {
        "look": panels.registered,
        "by-hand": panels.by_hand,
        "results": panels.results,
        "results-strain": panels.strain,
        "landmarks": panels.landmarks,
        "apply": panels.apply,
        "cohort-panel": panels.cohort,
        "train": panels.train,
        "train-preview": panels.preview,
        "evaluate": panels.evaluate,
    }.items()
}
