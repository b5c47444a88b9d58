"""All panels in both of napari's themes on one sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import panels
from PIL import Image as Picture
from qtpy.QtWidgets import QDialog
from stage import Stage, save, scratch, stage

SIZE = (1280, 880)  # of the window, in pixels
STATES: tuple[Callable[[Stage, Path], Any], ...] = (
    *(panels.register, panels.by_hand, panels.registered, panels.compared, panels.results, panels.landmarks),
    *(panels.apply, panels.cohort, panels.train, panels.clusters, panels.evaluate),
)
WIDTH, GAP = 2136, 12  # of the sheet, and between panels
THEMES = {"dark": "#15171c", "light": "#c8c9cd"}  # and the colour between the panels


def panel_sheet(folder: Path) -> None:
    """Every panel after some work, with all panels open, in the dark and the light theme."""
    shots: dict[str, list[Picture.Image]] = {theme: [] for theme in THEMES}
    for state in STATES:
        with scratch() as files, stage(SIZE) as on:
            for name in panels.PANELS:
                on.panel(name)
            panel = state(on, files)
            for theme, found in shots.items():
                on.viewer.theme = theme
                on.settle()
                found.append(on.grab(panel) if isinstance(panel, QDialog) else on.panel_shot(panel))
    save(_sheet(shots), folder / "panels.png", palette=False)


def _sheet(shots: dict[str, list[Picture.Image]]) -> Picture.Image:
    """The panels in rows, theme below theme."""
    bands = [_band(found, THEMES[theme]) for theme, found in shots.items()]
    sheet = Picture.new("RGB", (max(band.width for band in bands), sum(band.height for band in bands)))
    top = 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    return sheet


def _band(shots: list[Picture.Image], colour: str, width: int = WIDTH) -> Picture.Image:
    """The panels of one theme, from left to right and then downwards."""
    places, left, top, high = [], GAP, GAP, 0
    for shot in shots:
        if left > GAP and left + shot.width + GAP > width:
            left, top, high = GAP, top + high + GAP, 0
        places.append((left, top))
        left, high = left + shot.width + GAP, max(high, shot.height)
    band = Picture.new("RGB", (width, top + high + GAP), colour)
    for shot, place in zip(shots, places, strict=True):
        band.paste(shot, place)
    return band


def side_by_side(shots: list[Picture.Image]) -> Picture.Image:
    """Pictures in one row, on the colour of the dark theme."""
    wide = sum(shot.width + GAP for shot in shots) + GAP
    return _band(shots, THEMES["dark"], wide)
