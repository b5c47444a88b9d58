"""A combo box that keeps its shape in a narrow panel."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

SLIM = 64  # pixels that a box needs at least
WIDEST = "Resolution"  # label of the rows that most panels always show


class Choice(QComboBox):
    """A combo box that shrinks with its panel and shows the two ends of a text that does not fit."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        tame(self)

    def paintEvent(self, event: Any) -> None:
        """Draw with the middle of a long text elided."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(  # type: ignore[union-attr]
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        text = option.fontMetrics.elidedText(
            self.currentText(), Qt.TextElideMode.ElideMiddle, field.width() - 2
        )
        option.currentText = text
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def heading(text: str, box: QWidget, tip: str = "", widest: str = WIDEST) -> QLabel:
    """The label of a row, as wide as those of the other rows; a box without a name gets this one."""
    box.setAccessibleName(box.accessibleName() or text)
    box.setToolTip(box.toolTip() or tip)
    label = QLabel(text)
    label.setMinimumWidth(label.fontMetrics().horizontalAdvance(f"{widest}  "))
    label.setBuddy(box)
    label.setToolTip(tip)
    return label


class NoWheel(QObject):
    """Keeps the wheel, which scrolls the panel, from changing the boxes under the mouse."""

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Pass the wheel of a box without focus to the panel."""
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


def tame(box: QWidget) -> None:
    """Let a box shrink with the panel, and react to the wheel only while it has the focus."""
    box.setMinimumWidth(SLIM)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    box.installEventFilter(NoWheel(box))
