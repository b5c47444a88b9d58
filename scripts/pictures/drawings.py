"""Drawings that need no viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from napari_voxreg import figures
from napari_voxreg.core.geometry import Array

GAP = 1.9  # from the fixed image to the moving one, in widths of an image
ANGLE, TRANSLATION = np.radians(-18.0), np.array([0.02, 0.06])  # of the drawn transform, in such widths
MARK = np.array([0.6, 0.4])  # the point x, (across, up)
OBJECT, OUTLINE = "0.85", "0.5"


def direction(folder: Path) -> None:
    """Which way a transform goes: from points of the fixed image to points of the moving one."""
    figure = Figure(figsize=(8, 2.9), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.05, GAP + 1.05), ylim=(-0.02, 1.15), aspect="equal")
    axes.axis("off")
    there = _moved(MARK)
    for outline, point, title, label in (
        (_object(), MARK, "fixed image", "$x$"),
        (_moved(_object()), there, "moving image", "$T(x)$"),
    ):
        left = 0.0 if label == "$x$" else GAP
        place = point + np.array([left, 0])
        axes.add_patch(Rectangle((left, 0), 1, 1, fill=False, ec="0.3"))
        axes.fill(outline[:, 0] + left, outline[:, 1], fc=OBJECT, ec=OUTLINE)
        axes.plot(*place, "o", color=figures.AFTER, ms=8)
        axes.annotate(label, place, (-8, -16), textcoords="offset points", fontsize=13, ha="right")
        axes.text(left + 0.5, 1.05, title, ha="center", fontsize=12)
    end = there + np.array([GAP, 0])
    _arrow(axes, MARK, end, figures.AFTER, "-", -0.22)
    _arrow(axes, end, MARK, "0.4", "--", -0.22)
    middle = (GAP + 1) / 2
    axes.text(middle, 0.84, "points go with $T$", ha="center", color=figures.AFTER, fontsize=11)
    axes.text(middle, 0.0, "pixels come back:\nwarped$(x)$ = moving$(T(x))$", ha="center", fontsize=11)
    folder.mkdir(parents=True, exist_ok=True)
    figures.save(figure, folder / "direction.svg")


def _arrow(axes: Axes, start: Array, end: Array, colour: str, style: str, bend: float) -> None:
    """A bent arrow from one point to another."""
    look = {"arrowstyle": "-|>", "color": colour, "lw": 1.8, "ls": style, "mutation_scale": 16}
    look |= {"connectionstyle": f"arc3,rad={bend}", "shrinkA": 7, "shrinkB": 7}
    axes.annotate("", end, start, arrowprops=look)


def _moved(points: Array) -> Array:
    """Points under the drawn transform."""
    rotation = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
    return (points - 0.5) @ rotation.T + 0.5 + TRANSLATION


def _object() -> Array:
    """The outline of an object without symmetries, (N, 2) in 0 to 1."""
    t = np.linspace(0, 2 * np.pi, 200)
    radius = 0.26 + 0.07 * np.cos(2 * t + 0.4) + 0.04 * np.cos(3 * t)
    return np.column_stack([0.5 + radius * np.cos(t), 0.48 + radius * np.sin(t)])
