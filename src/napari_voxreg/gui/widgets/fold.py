"""A collapsible section of a panel."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QSizePolicy, QWidget
from superqt import QCollapsible

# napari's theme frames buttons and fills checked ones; a heading should look like text.
HEADING = (
    "QPushButton {background: transparent; border: 1px solid transparent; padding: 2px 0; text-align: left;}"
    "QPushButton:focus {border-bottom: 1px solid rgba(128, 136, 144, 160);}"
)
INDENT = 14  # pixels
UNLIMITED = 2**24 - 1  # the largest height of a widget


class Fold(QCollapsible):
    """A heading with an arrow; its body is shown while it is open.

    It expands without animation and grows with its body; Space and Enter toggle it. A collapsed body is
    hidden, so that Tab skips it.

    Parameters
    ----------
    title : str
        The heading.
    body : QWidget
        The collapsible content.
    tip : str
        The tooltip of the heading.
    """

    def __init__(self, title: str, body: QWidget, tip: str = "") -> None:
        super().__init__(title)
        outside, inside = self.layout(), self.content().layout()
        assert outside is not None and inside is not None  # made by superqt
        outside.setContentsMargins(0, 0, 0, 0)
        outside.setSpacing(2)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        button = self.toggleButton()
        button.setStyleSheet(HEADING)
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setAutoDefault(True)  # else Enter does nothing
        button.setToolTip(tip)
        inside.setContentsMargins(INDENT, 0, 0, 4)
        # Not by superqt's `addWidget`, which fixes the body at its current height.
        inside.addWidget(body)
        self.toggled.connect(self._show_body)
        self._draw_arrows()
        self.collapse()

    @property
    def open(self) -> bool:
        """Whether the body is shown."""
        return self.isExpanded()

    @open.setter
    def open(self, value: bool) -> None:
        if value:
            self.expand()
        else:
            self.collapse()

    def expand(self, animate: bool = False) -> None:
        """Show the body."""
        super().expand(animate)

    def collapse(self, animate: bool = False) -> None:
        """Hide the body."""
        super().collapse(animate)

    def changeEvent(self, event: Any) -> None:
        """Draw the arrows in the colour of another theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._draw_arrows()

    def _draw_arrows(self) -> None:
        self.setExpandedIcon("▾")
        self.setCollapsedIcon("▸")

    def _show_body(self, shown: bool) -> None:
        self.content().setMaximumHeight(UNLIMITED)
        self.content().setVisible(shown)
