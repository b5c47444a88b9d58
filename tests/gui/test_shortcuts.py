"""Shortcuts, the context menu of the layer list and the command palette, in a real viewer."""

import numpy as np
import pytest
from napari._app_model import get_app_model
from napari._qt.widgets.qt_command_palette import QCommandPalette
from napari._qt.widgets.qt_keyboard_settings import ShortcutEditor
from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scipy.ndimage import gaussian_filter

from napari_voxreg.gui.doors import REGISTER, open_panel
from napari_voxreg.gui.look.look import MODES, SWIPED
from napari_voxreg.gui.session.state import session_state
from napari_voxreg.gui.shortcuts import ACTIONS

pytestmark = pytest.mark.usefixtures("warm_child")

BOTH = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier


@pytest.fixture
def panel(viewer):
    data = gaussian_filter(np.random.default_rng(2).normal(size=(48, 64)), 2).astype(np.float32)
    viewer.add_image(data, name="first")
    viewer.add_image(np.roll(data, 3, 1), name="second")
    return open_panel(viewer, REGISTER)


def press(viewer, key, modifiers=BOTH):
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    QTest.keyClick(canvas, key, modifiers)
    QTest.qWait(50)


def test_a_run_is_started_looked_at_and_undone_by_keys(panel, viewer, qtbot):
    panel.method.choose("translation")
    with qtbot.waitSignal(panel.finished, timeout=60_000):
        press(viewer, Qt.Key.Key_R)
    looks = panel.after.look
    assert looks.mode == "overlay"
    for k, mode in enumerate(MODES[1:], start=2):
        press(viewer, getattr(Qt.Key, f"Key_{k}"))
        assert looks.mode == mode
    press(viewer, Qt.Key.Key_Z)
    assert session_state(viewer).current is None
    press(viewer, Qt.Key.Key_Z, BOTH | Qt.KeyboardModifier.ShiftModifier)
    assert session_state(viewer).current is not None


def test_no_shortcut_is_naparis_and_all_are_listed_and_told(panel, qtbot):
    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    taken |= {str(binding.keybinding) for binding in get_app_model().keybindings}
    assert len(taken) > 80
    for _, keys in ACTIONS.values():
        assert str(coerce_keybinding(keys)) not in taken
    editor = ShortcutEditor()
    qtbot.addWidget(editor)
    listed = editor.key_bindings_strs[editor.VIEWER_KEYBINDINGS]
    assert len([name for name in listed if name.startswith("napari-voxreg:")]) == len(ACTIONS) == 9
    button = panel.after.look_row.buttons[SWIPED]
    assert button.toolTip().endswith("(Ctrl+Alt+3)")
    assert "Ctrl+Alt+Z" in panel.after.undo_button.toolTip()
    assert "Ctrl+Alt+R" in panel.bar.button.toolTip()
    action_manager.unbind_shortcut("napari-voxreg:look_swipe")
    try:
        action_manager.bind_shortcut("napari-voxreg:look_swipe", "Control-Alt-J")
        assert button.toolTip().endswith("(Ctrl+Alt+J)")
    finally:
        action_manager.unbind_shortcut("napari-voxreg:look_swipe")
        action_manager.bind_shortcut("napari-voxreg:look_swipe", "Control-Alt-3")
    assert "napari-voxreg:register" not in get_settings().shortcuts.shortcuts


def test_the_context_menu_sets_fixed_and_moving(panel, viewer):
    first, second = viewer.layers
    app = get_app_model()
    entries = [
        item.command for item in app.menus.get_menu("napari/layers/context") if item.group == "8_voxreg"
    ]
    titles = [entry.title for entry in entries]
    assert titles == ["Set as fixed (VoxReg)", "Set as moving (VoxReg)", "Apply last transform (VoxReg)"]
    third = viewer.add_image(np.asarray(first.data), name="third")

    def choose(layer, which):
        viewer.layers.selection = {layer}
        viewer.layers.selection.active = layer
        app.commands.execute_command(entries[which].id).result()

    choose(third, 0)
    assert (panel.pair.fixed.layer, panel.pair.moving.layer) == (third, second)
    choose(third, 1)  # the two change places
    assert (panel.pair.fixed.layer, panel.pair.moving.layer) == (second, third)
    assert panel.pair.settled
    points = viewer.add_points([[1, 2]])
    choose(points, 0)
    assert panel.pair.fixed.layer is second
    assert str(entries[0].enablement) == "active_layer_type == 'image'" and entries[2].enablement is None


def test_the_palette_has_what_the_panels_do(panel, viewer, qtbot):
    palette = QCommandPalette(viewer.window._qt_window)
    qtbot.addWidget(palette)
    palette.update_context(viewer.window._qt_window)
    ids = {command.id for command in palette._list.all_commands}
    wanted = (
        "register",
        "results",
        "landmarks",
        "apply",
        "run",
        "undo",
        "redo",
        "set_as_fixed",
        "set_as_moving",
    )
    assert {f"napari-voxreg.{name}" for name in wanted} <= ids
    viewer.layers.selection.active = viewer.layers[0]
    get_app_model().commands.execute_command("napari-voxreg.set_as_moving").result()
    assert panel.pair.moving.layer is viewer.layers[0]
