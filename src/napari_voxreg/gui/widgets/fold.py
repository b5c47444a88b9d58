"""A section of a panel that unfolds at a click."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

# napari's theme frames tool buttons like push buttons; a heading should look like a line of text.
HEADING = "QToolButton {background: transparent; border: 0; padding: 3px 0; text-align: left;}"


class Fold(QWidget):
    """A heading with an arrow; its body is shown while it is open.

    Parameters
    ----------
    title : str
        The heading.
    body : QWidget
        What is folded away.
    """

    def __init__(self, title: str, body: QWidget) -> None:
        super().__init__()
        self.body = body
        self.button = QToolButton()
        self.button.setStyleSheet(HEADING)
        self.button.setCheckable(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.toggled.connect(self._toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(body)
        body.setContentsMargins(14, 0, 0, 4)
        self.set_title(title)
        self._toggled(False)

    def set_title(self, title: str) -> None:
        """Change the heading."""
        self.button.setText(title)

    @property
    def open(self) -> bool:
        """Whether the body is shown."""
        return bool(self.button.isChecked())

    @open.setter
    def open(self, value: bool) -> None:
        self.button.setChecked(value)

    def _toggled(self, open_: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow)
        self.body.setVisible(open_)
