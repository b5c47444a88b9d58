"""Doors between panels in a real viewer: there is never a second panel of a kind."""

import pytest
from napari._app_model import get_app_model
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow, QTabBar

from napari_voxreg.gui.doors import REGISTER, open_panel, use_in_register
from napari_voxreg.gui.evaluate.panel import EvaluateWidget
from napari_voxreg.gui.register.panel import RegisterWidget
from napari_voxreg.gui.train.panel import TrainWidget

pytestmark = pytest.mark.usefixtures("warm_child")


def panels(viewer):
    """The Register panels in the viewer, by the names of their docks."""
    docks = viewer.window.dock_widgets
    return {name: panel for name, panel in docks.items() if isinstance(panel, RegisterWidget)}


def by_the_menu(viewer):
    get_app_model().commands.execute_command("napari-voxreg.register").result()


def by_the_plugin_manager(viewer):
    viewer.window.add_plugin_dock_widget("napari-voxreg", "Register")


def by_a_script(viewer):
    viewer.window.add_dock_widget(RegisterWidget(viewer), name="mine")


@pytest.mark.parametrize("opened", [by_the_menu, by_the_plugin_manager, by_a_script])
def test_the_panel_that_is_there_is_used_and_raised(viewer, qtbot, tmp_path, opened):
    opened(viewer)
    ((name, panel),) = panels(viewer).items()
    dock = panel.parentWidget()
    if opened is by_the_menu:
        dock.setFloating(True)
    dock.hide()
    weights = tmp_path / "mine.safetensors"
    use_in_register(viewer, "voxelmorph", weights)
    assert panels(viewer) == {name: panel} and dock.isVisible()
    assert panel.method.method == "voxelmorph" and panel.method.params().weights == weights
    assert panel.method.fold.open


def test_a_new_panel_is_the_one_that_the_menu_shows_and_hides(viewer, qtbot):
    panel = open_panel(viewer, REGISTER)
    assert open_panel(viewer, REGISTER) is panel
    assert list(panels(viewer).values()) == [panel] and panel.isVisible()
    by_the_menu(viewer)
    assert list(panels(viewer).values()) == [panel] and not panel.isVisible()
    by_the_menu(viewer)
    assert panel.isVisible()


def test_the_names_of_all_panels_fit_the_tab_bar(viewer, qtbot):
    window = viewer.window._qt_window
    window.resize(1280, 800)
    names = ("Register", "Results", "Landmarks", "Apply", "Cohort", "Train", "Evaluate")
    for name in names:
        open_panel(viewer, name)
    qtbot.wait(100)
    (bar,) = [bar for bar in window.findChildren(QTabBar) if bar.count() == len(names)]
    # Else Qt cuts the names at both ends, beside arrows.
    assert sum(bar.tabRect(k).width() for k in range(bar.count())) <= bar.width()


def test_a_closed_panel_is_opened_anew(viewer, qtbot):
    open_panel(viewer, REGISTER).parentWidget().destroyOnClose()
    assert not panels(viewer)
    qtbot.wait(50)
    assert open_panel(viewer, REGISTER).isVisible()
    assert len(panels(viewer)) == 1


def test_all_panels_share_one_tab_bar_with_one_of_each(viewer, qtbot):
    by_the_plugin_manager(viewer)  # under another name than the menu's
    ((_, register),) = panels(viewer).items()
    others = [open_panel(viewer, name) for name in ("Train", "Evaluate")]
    dock = register.parentWidget()
    window = dock.window()
    assert isinstance(window, QMainWindow)
    qtbot.waitUntil(lambda: len(window.tabifiedDockWidgets(dock)) == 2, timeout=20_000)
    assert [type(panel) for panel in others] == [TrainWidget, EvaluateWidget]
    qtbot.waitUntil(lambda: others[1].in_front and not register.in_front, timeout=20_000)
    assert {d.windowTitle() for d in window.tabifiedDockWidgets(dock)} == {"Train", "Evaluate"}
    (bar,) = [bar for bar in window.findChildren(QTabBar) if bar.count() == 3]
    assert bar.elideMode() == Qt.TextElideMode.ElideNone  # no name is cut

    by_the_menu(viewer)  # which knows no panel of that name, and makes one
    qtbot.waitUntil(lambda: list(panels(viewer).values()) == [register], timeout=20_000)
    qtbot.waitUntil(lambda: register.in_front, timeout=20_000)
    assert register.height() > 0.5 * window.height()
    get_app_model().commands.execute_command("napari-voxreg.train").result()  # it is there, behind the other
    qtbot.waitUntil(lambda: others[0].in_front, timeout=20_000)
    use_in_register(viewer, "voxelmorph", "mine.safetensors")
    qtbot.waitUntil(lambda: register.in_front, timeout=20_000)
    assert list(panels(viewer).values()) == [register]
