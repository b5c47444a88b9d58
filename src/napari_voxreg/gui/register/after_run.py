"""What can be done with the result of the last run: look at it, save it, copy it, take it back."""

from __future__ import annotations

import napari.viewer
from napari.layers import Image, Layer
from qtpy.QtWidgets import QGridLayout, QPushButton, QVBoxLayout, QWidget

from ..doors import APPLY, open_panel
from ..layers.result_layers import OPAQUE
from ..look.look import Look
from ..look.row import LookRow
from ..session.actions import RunActions
from ..session.run_layers import RunLayers
from ..session.state import SessionState
from ..shortcuts import REDO, UNDO, look, show_shortcut


class AfterRun(QWidget):
    """The rows Look, and Save, Apply to, Copy as Python, Undo, Redo; hidden while there is no result.

    Parameters
    ----------
    viewer : napari.Viewer
    state : SessionState
        Its current run is the result.
    layers : RunLayers
    actions : RunActions
        What the buttons do.
    """

    def __init__(
        self, viewer: napari.viewer.Viewer, state: SessionState, layers: RunLayers, actions: RunActions
    ) -> None:
        super().__init__()
        self._viewer, self._state, self._layers = viewer, state, layers
        self.look = Look(viewer, self)
        self.paused = False  # whether the pair is compared in another way
        self._following = False
        self.look_row = LookRow(self.look)
        self.save_button = QPushButton("Save…")
        self.save_button.setToolTip("Save the transform (ITK's .h5), its record (JSON) and files in a folder")
        self.apply_button = QPushButton("Apply to…")
        self.apply_button.setToolTip("Apply the result to other layers or to files, in the Apply panel")
        self.apply_button.clicked.connect(lambda: open_panel(viewer, APPLY))
        self.python_button = QPushButton("Copy as Python")
        self.python_button.setToolTip("Copy a script that registers the same pair in the same way")
        self.undo_button = QPushButton("Undo")
        self.undo_button.setToolTip("Take the result and its layers back; the one before is shown again")
        self.redo_button = QPushButton("Redo")
        self.redo_button.setToolTip("Bring back what was undone last")
        buttons = QGridLayout()
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.setSpacing(4)
        every = (
            self.save_button,
            self.apply_button,
            self.python_button,
            self.undo_button,
            self.redo_button,
        )
        for k, button in enumerate(every):
            button.setStyleSheet("padding: 3px 6px;")
            buttons.addWidget(button, k // 3, k % 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.look_row)
        layout.addLayout(buttons)
        self.look_row.chosen.connect(self._choose)
        self.look.ended.connect(lambda: self._choose(""))
        self.save_button.clicked.connect(lambda: actions.save(state.current))
        self.python_button.clicked.connect(lambda: actions.copy_python(state.current))
        self.undo_button.clicked.connect(actions.undo)
        self.redo_button.clicked.connect(actions.redo)
        layers.changed.connect(self.follow)
        show_shortcut(self.undo_button, UNDO)
        show_shortcut(self.redo_button, REDO)
        for mode, button in self.look_row.buttons.items():
            show_shortcut(button, look(mode))

    def follow(self) -> None:
        """Show the current run in the way that was chosen last."""
        if not self._following:  # a comparison shows and hides layers itself
            self._following = True
            self._follow()
            self._following = False

    def _follow(self) -> None:
        run = self._state.current
        self.setVisible(run is not None or bool(self._state.undone))
        for button in (self.save_button, self.apply_button, self.python_button, self.undo_button):
            button.setEnabled(run is not None)
        self.redo_button.setVisible(bool(self._state.undone))
        fixed = None if run is None else run.fixed_layer
        warped = [] if run is None else self._layers.there(run, "warped")
        there = fixed is not None and fixed in self._viewer.layers and bool(warped) and warped[0].visible
        there = there and not self.paused
        self.look_row.setEnabled(there)
        if there and not self._maps():
            self.look.show(self._state.look, fixed, warped[0])
        else:
            self.look.clear()
        self.look_row.choose(self.look.mode)

    def _choose(self, mode: str) -> None:
        """Compare in another way; maps, which would cover the pair, step aside."""
        self._state.look = mode
        for layer in self._maps() if mode else ():
            layer.visible = False
        self.follow()

    def _maps(self) -> list[Layer]:
        """The maps of any run, with what is written on them, if one is seen now."""
        layers = self._viewer.layers
        known = [(layer, layer.metadata.get("voxreg", {}).get("kind")) for layer in layers]
        seen = [layer for layer, kind in known if kind in OPAQUE and layer.visible]
        return seen if any(isinstance(layer, Image) for layer in seen) else []
