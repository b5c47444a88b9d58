"""Closing the viewer while a training is on: the user gets a prompt, a program does not."""

from contextlib import contextmanager

import pytest
from napari._qt.dialogs.confirm_close_dialog import ConfirmCloseDialog
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_voxreg.gui.train.panel import QUESTION
from napari_voxreg.train.runs import read_run

pytestmark = pytest.mark.usefixtures("warm_child")


@pytest.fixture
def training(train_panel, qtbot, visits):
    """A training that runs in the panel."""
    train_panel.source.choose(visits())
    train_panel.options.choose(architecture="stn", size=32, workers=0, show_every=5, epochs=100_000)
    qtbot.waitUntil(lambda: train_panel.source.pairs is not None, timeout=10_000)
    train_panel.run()
    with qtbot.waitSignal(train_panel.runner.epoch_done, timeout=120_000):
        pass
    qtbot.waitUntil(lambda: len(train_panel._viewer.layers) == 4, timeout=120_000)
    # The fixture of the viewer closes it again.
    train_panel.window().setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    return train_panel.runner._training


def in_front(window, qtbot):
    """The menu closes the window that is active, which takes a moment after a prompt."""
    window.activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is window, timeout=10_000)


@contextmanager
def pressed(button):
    """Press a button in each prompt; yields their texts. napari's own prompts are confirmed."""
    questions = []

    def press():
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            questions.append(box.text())
            box.button(button).click()
        elif isinstance(box, ConfirmCloseDialog):
            box.close_btn.click()

    timer = QTimer()
    timer.timeout.connect(press)
    timer.start(20)
    yield questions
    timer.stop()


def by_the_cross(viewer, window):
    window.windowHandle().close()  # as the desktop does it


def by_the_menu(title):
    def close(viewer, window):
        (action,) = [a for a in viewer.window.file_menu.actions() if a.text().replace("&", "") == title]
        action.trigger()

    return close


def by_leaving(viewer, window):
    """As at the end of the desktop's session; it has an effect only while the application runs."""
    QTimer.singleShot(0, QApplication.quit)
    QTimer.singleShot(1500, QApplication.exit)
    QApplication.exec()


WAYS = (by_the_cross, by_the_menu("Close Window"), by_the_menu("Exit"), by_leaving)


@pytest.mark.slow
def test_cancel_keeps_the_window_and_the_training_however_it_was_closed(training, train_panel, viewer, qtbot):
    window = train_panel.window()
    for way in WAYS:
        in_front(window, qtbot)
        with pressed(QMessageBox.StandardButton.Cancel) as questions:
            way(viewer, window)
        assert questions == [QUESTION], way
        assert window.isVisible() and training.running
    with qtbot.waitSignal(train_panel.runner.epoch_done, timeout=120_000):
        pass  # it still trains
    train_panel.runner.stop()
    with qtbot.waitSignal(train_panel.finished, timeout=120_000):
        pass
    with pressed(QMessageBox.StandardButton.Cancel) as questions:
        by_the_cross(viewer, window)
    assert questions == [] and not window.isVisible()


@pytest.mark.parametrize(
    "way", (WAYS[0], pytest.param(WAYS[2], marks=pytest.mark.slow)), ids=("cross", "exit")
)
def test_yes_saves_and_stops(way, training, train_panel, viewer, qtbot, monkeypatch):
    left = []
    monkeypatch.setattr("napari._qt.qt_main_window.quit_app_", lambda: left.append(True))
    window = train_panel.window()
    in_front(window, qtbot)
    folder = train_panel.runner.folder
    with pressed(QMessageBox.StandardButton.Close) as questions:
        way(viewer, window)
    assert questions == [QUESTION] and not window.isVisible()
    assert left == [True] * (way is WAYS[2])
    assert training.wait(30)
    run = read_run(folder)
    assert run.resumable and run.best is not None


def test_a_program_is_not_asked(training, train_panel, viewer, qtbot):
    folder = train_panel.runner.folder
    with pressed(QMessageBox.StandardButton.Cancel) as questions:
        viewer.close()
        qtbot.wait(100)
    assert questions == []
    assert training.wait(30)
    assert read_run(folder).resumable
