"""The collapsible section: mouse, keyboard, hidden content and growth."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_voxreg.gui.widgets.fold import Fold


@pytest.fixture
def window(qtbot):
    """A line, a fold with a line and another fold in it, and a last line; active or not."""
    window = QWidget()
    qtbot.addWidget(window)
    layout = QVBoxLayout(window)
    body = QWidget()
    inside = QVBoxLayout(body)
    window.inner = Fold("Inner", QLabel("\n".join("text" for _ in range(20))))
    window.hidden = QLineEdit()
    inside.addWidget(window.hidden)
    inside.addWidget(window.inner)
    window.first, window.fold, window.last = (
        QLineEdit(),
        Fold("Parameters", body, "Of the method"),
        QLineEdit(),
    )
    for widget in (window.first, window.fold, window.last):
        layout.addWidget(widget)
    layout.addStretch()
    window.resize(300, 800)
    window.show()
    qtbot.waitExposed(window)
    return window


def test_it_is_closed_at_first_and_a_click_opens_it_at_once(window, qtbot):
    fold = window.fold
    assert not fold.open and not window.hidden.isVisible()
    assert (fold.text(), fold.toggleButton().toolTip()) == ("Parameters", "Of the method")
    with qtbot.waitSignal(fold.toggled) as blocker:
        qtbot.mouseClick(fold.toggleButton(), Qt.MouseButton.LeftButton)
    assert blocker.args == [True] and fold.open and window.hidden.isVisible()
    fold.open = False
    assert not window.hidden.isVisible()


def test_a_long_heading_does_not_widen_its_panel(window, qtbot):
    title = "Initial transform: affine fit to 5 landmarks of a pair with long names"
    before = window.minimumSizeHint().width()
    window.fold.setText(title)
    button = window.fold.toggleButton()
    assert window.minimumSizeHint().width() == before and window.fold.text() == title
    assert button.text().endswith("…") and title.startswith(button.text()[:-1])
    assert button.fontMetrics().horizontalAdvance(button.text()) < button.width()
    assert button.toolTip() == f"{title}. Of the method"
    window.resize(900, 800)
    assert button.text() == title and button.toolTip() == "Of the method"


@pytest.mark.parametrize("key", [Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_tab_reaches_it_and_keys_toggle_it(window, qtbot, key):
    window.first.setFocus()
    qtbot.keyClick(window.first, Qt.Key.Key_Tab)
    button = window.fold.toggleButton()
    assert window.focusWidget() is button
    qtbot.keyClick(button, key)
    assert window.fold.open
    qtbot.keyClick(button, Qt.Key.Key_Tab)
    assert window.focusWidget() is window.hidden
    qtbot.keyClick(button, key)
    assert not window.fold.open


def test_tab_passes_a_folded_body_by(window, qtbot):
    window.fold.toggleButton().setFocus()
    qtbot.keyClick(window.fold.toggleButton(), Qt.Key.Key_Tab)
    assert window.focusWidget() is window.last


def test_it_grows_with_what_unfolds_inside(window, qtbot):
    window.fold.open = True
    qtbot.wait(20)
    before = window.fold.height()
    window.inner.open = True
    qtbot.wait(20)
    text = window.inner.findChild(QLabel)
    assert text.height() >= text.sizeHint().height() > 100
    assert window.fold.height() >= before + text.sizeHint().height()
    window.fold.open = False
    qtbot.wait(20)
    assert window.fold.height() < before


def test_the_arrow_takes_the_colour_of_the_theme(window, qtbot):
    def ink():
        image = window.fold.toggleButton().icon().pixmap(16).toImage()
        pixels = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
        return max(pixels, key=lambda colour: colour.alpha()).lightness()

    window.setStyleSheet("QWidget {background-color: black; color: white;}")
    qtbot.wait(20)
    assert ink() > 200
    window.setStyleSheet("QWidget {background-color: white; color: black;}")
    qtbot.wait(20)
    assert ink() < 60
