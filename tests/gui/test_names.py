"""Every control of every panel has a name for screen readers, and a tooltip."""

import pytest
from npe2 import PluginManager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QSlider,
    QWidget,
)

from napari_voxreg.gui.doors import PLUGIN, open_panel

pytestmark = pytest.mark.usefixtures("warm_child")

CONTROLS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QSlider,
)
PANELS = ("Register", "Results", "Landmarks", "Apply", "Cohort", "Evaluate", "Train")


def controls(panel: QWidget):
    """Those that a user can use; not the parts of which Qt makes them."""
    parts = (QAbstractSpinBox, QComboBox, QAbstractItemView, QLineEdit)
    for kind in CONTROLS:
        for widget in panel.findChildren(kind):
            if widget.focusPolicy() == Qt.FocusPolicy.NoFocus and not isinstance(widget, QAbstractButton):
                continue
            above = widget.parentWidget()
            inside = False
            while above is not None and above is not panel:
                inside = inside or isinstance(above, parts) or above.windowType() == Qt.WindowType.Popup
                above = above.parentWidget()
            if not inside and not widget.objectName().startswith("qt_"):
                yield widget


def name_of(widget: QWidget, panel: QWidget) -> str:
    """What a screen reader says: the name, the text, or the label of the row."""
    if widget.accessibleName():
        return widget.accessibleName()
    if isinstance(widget, QAbstractButton) and widget.text().strip():
        return widget.text()
    for label in panel.findChildren(QLabel):
        if label.buddy() is widget:
            return label.text()
    for form in panel.findChildren(QFormLayout):
        label = form.labelForField(widget)
        if isinstance(label, QLabel):
            return label.text()
    return ""


def described(widget: QWidget) -> str:
    """Which control it is, for the message of the test."""
    text = widget.text() if isinstance(widget, QAbstractButton) else ""
    above = widget.parentWidget()
    return f"{type(widget).__name__} {text!r} in {type(above).__name__}"


@pytest.mark.parametrize("title", PANELS)
def test_every_control_has_a_name_and_a_tooltip(viewer, title):
    panel = open_panel(viewer, title)
    found = list(controls(panel))
    assert len(found) > 5
    nameless = [described(one) for one in found if not name_of(one, panel)]
    untold = [described(one) for one in found if not one.toolTip().strip()]
    assert (nameless, untold) == ([], [])


def test_all_panels_are_walked(viewer):
    widgets = PluginManager.instance().get_manifest(PLUGIN).contributions.widgets
    assert {widget.display_name for widget in widgets} == set(PANELS)
