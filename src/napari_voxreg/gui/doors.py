"""What one panel has another do; no panel is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Layer
from napari.plugins import menu_item_template
from npe2 import PluginManager

from .widgets.canvas_context import own_viewer

PLUGIN = "napari-voxreg"
REGISTER, APPLY, COHORT, EVALUATE = "Register", "Apply", "Cohort", "Evaluate"  # as in napari.yaml


def use_in_register(viewer: napari.viewer.Viewer, method: str, weights: Path) -> None:
    """Show the Register panel with these weights chosen.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    method : str
        That can use the weights.
    weights : Path
    """
    open_panel(viewer, REGISTER).use_weights(method, weights)


def repeat_in_register(viewer: napari.viewer.Viewer, run: Any) -> None:
    """Show the Register panel with the choices of an earlier run, to be changed and run again.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    run : Run
        Of the session.
    """
    open_panel(viewer, REGISTER).repeat(run)


def apply_last(viewer: napari.viewer.Viewer) -> None:
    """Show the Apply panel, and apply the last result to the selected layers.

    The entry of the context menu of napari's layer list.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """
    open_panel(viewer, APPLY).apply_last()


def set_as_fixed(viewer: napari.viewer.Viewer) -> None:
    """Choose the selected image as the fixed one of the Register panel.

    An entry of the context menu of napari's layer list.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """
    open_panel(viewer, REGISTER).pair.choose_fixed(own_viewer(viewer).layers.selection.active)


def set_as_moving(viewer: napari.viewer.Viewer) -> None:
    """Choose the selected image as the moving one of the Register panel.

    An entry of the context menu of napari's layer list.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """
    open_panel(viewer, REGISTER).pair.choose_moving(own_viewer(viewer).layers.selection.active)


def run_register(viewer: napari.viewer.Viewer) -> None:
    """Register the pair that is chosen in the Register panel.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """
    open_panel(viewer, REGISTER).run()


def undo_result(viewer: napari.viewer.Viewer) -> None:
    """Take the last result back, as the button of the Register panel does.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """
    open_panel(viewer, REGISTER).after.undo_button.click()


def redo_result(viewer: napari.viewer.Viewer) -> None:
    """Bring back the result that was undone last, as the button of the Register panel does.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """
    open_panel(viewer, REGISTER).after.redo_button.click()


def look_at_result(viewer: napari.viewer.Viewer, mode: str) -> None:
    """Compare fixed and warped in another way, as a button of the Register panel does.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    mode : str
        One of those of `gui.look`.
    """
    open_panel(viewer, REGISTER).after.look_row.buttons[mode].click()


def use_initial_in_register(viewer: napari.viewer.Viewer, fitted: Any, pair: tuple[Layer, Layer]) -> None:
    """Show the Register panel with a pair and a transform fitted to its landmarks as the initial one.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    fitted : Fitted
    pair : tuple of Layer
        Fixed and moving.
    """
    open_panel(viewer, REGISTER).use_initial(fitted, pair)


def keep_in_register(
    viewer: napari.viewer.Viewer, fitted: Any, params: Any, pair: tuple[Layer, Layer]
) -> bool:
    """Show the Register panel, and make a transform fitted to landmarks of a pair a result.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    fitted : Fitted
    params : LandmarkFit
        What was fitted.
    pair : tuple of Layer
        Fixed and moving.

    Returns
    -------
    bool
        Whether the panel was free to do it.
    """
    done: bool = open_panel(viewer, REGISTER).keep_fit(fitted, params, pair)
    return done


def use_landmarks_in_register(
    viewer: napari.viewer.Viewer, points: tuple[Layer, Layer], pair: tuple[Layer, Layer]
) -> None:
    """Show the Register panel with a pair and its landmarks.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    points, pair : tuple of Layer
        Fixed and moving.
    """
    open_panel(viewer, REGISTER).use_landmarks(points, pair)


def evaluate_weights(viewer: napari.viewer.Viewer, method: str, weights: Path, pairs: Path) -> None:
    """Show the Evaluate panel with these weights and the validation pairs of a source chosen.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    method : str
        That can use the weights.
    weights : Path
    pairs : Path
        A source of pairs.
    """
    open_panel(viewer, EVALUATE).use_weights(method, weights, pairs)


def register_files(viewer: napari.viewer.Viewer, files: Sequence[Path], template: int | None) -> None:
    """Show the Cohort panel with these images chosen.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    files : sequence of Path
    template : int or None
        Number of the image that is the template of all.
    """
    open_panel(viewer, COHORT).use_files(files, template)


def open_panel(viewer: napari.viewer.Viewer, name: str) -> Any:
    """Raise a panel that is open in the viewer, else dock a new one as napari's menu does.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    name : str
        Of the panel in napari.yaml.
    """
    manifest = PluginManager.instance().get_manifest(PLUGIN)
    widgets = manifest.contributions.widgets or []
    create = next(widget for widget in widgets if widget.display_name == name).get_callable()
    # Not by the dock's name: scripts give it other names than the menu.
    there = [panel for panel in viewer.window.dock_widgets.values() if isinstance(panel, create)]
    if there:
        panel = there[0]
    else:
        panel = create(viewer)
        # Under the menu's name, so that the menu finds it.
        title = menu_item_template.format(manifest.display_name, name)
        viewer.window.add_dock_widget(panel, name=title)
    panel.to_front()
    return panel
