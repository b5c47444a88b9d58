"""Our entries in the context menu of napari's layer list, to which manifests cannot contribute."""

from __future__ import annotations

from app_model.types import MenuItem
from napari._app_model import get_app_model

MENU, GROUP = "napari/layers/context", "8_voxreg"
ENTRIES = ("napari-voxreg.apply_last",)  # commands of napari.yaml


def extend_context_menu() -> None:
    """Add our entries, once."""
    app = get_app_model()
    there = {item.command.id for item in app.menus.get_menu(MENU) if isinstance(item, MenuItem)}
    for name in ENTRIES:
        if name in app.commands and name not in there:
            command = app.registered_actions[name]
            app.menus.append_menu_items([(MENU, MenuItem(command=command, group=GROUP))])
