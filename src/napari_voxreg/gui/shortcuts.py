"""Shortcuts in the viewer, listed and changed with napari's own in Preferences > Shortcuts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari.viewer
from napari.components import ViewerModel
from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from napari.utils.interactions import Shortcut
from qtpy.QtWidgets import QAbstractButton

from .doors import look_at_result, redo_result, run_register, undo_result
from .look.look import MODES

REGISTER, UNDO, REDO = "register", "undo the last result", "redo the last result"


def look(mode: str) -> str:
    """The name of the shortcut for a way to compare fixed and warped."""
    return f"look: {mode}"


def _looking(mode: str) -> Callable[[napari.viewer.Viewer], None]:
    def show(viewer: napari.viewer.Viewer) -> None:
        look_at_result(viewer, mode)

    return show


# What each does, and its keys at first. None of them is napari's.
ACTIONS: dict[str, tuple[Callable[[napari.viewer.Viewer], None], str]] = {
    REGISTER: (run_register, "Control-Alt-R"),
    UNDO: (undo_result, "Control-Alt-Z"),
    REDO: (redo_result, "Control-Alt-Shift-Z"),
    **{look(mode): (_looking(mode), f"Control-Alt-{k}") for k, mode in enumerate(MODES, start=1)},
}


def bind_shortcuts() -> None:
    """Make napari know the shortcuts; the keys that the user has set stay."""
    for name, (command, keys) in ACTIONS.items():
        full = _full(name)
        if full not in action_manager._actions:
            action_manager.register_action(full, command, f"VoxReg: {name}", ViewerModel)
            if full not in get_settings().shortcuts.shortcuts:
                action_manager.bind_shortcut(full, keys)


def hint(name: str) -> str:
    """The keys of a shortcut in brackets, for a tooltip; empty if it has none."""
    keys = action_manager._shortcuts.get(_full(name), [])
    return f" ({' or '.join(str(Shortcut(one)) for one in keys)})" if keys else ""


def show_shortcut(button: QAbstractButton, name: str) -> None:
    """Tell in a button's tooltip which keys do the same, also after they were changed."""
    tip = button.toolTip()

    def tell(event: Any = None) -> None:
        button.setToolTip(tip + hint(name))

    tell()
    action_manager.events.shortcut_changed.connect(tell, until=button.destroyed)


def _full(name: str) -> str:
    return f"napari-voxreg:{name.replace(': ', ' ').replace(' ', '_')}"
