"""The choice of the transform that is fitted to landmarks."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QWidget

from ...transforms.fit import AFFINE, THIN_PLATE, fits_in, least_pairs
from ..widgets.combo_box import Choice, heading, tame
from .layers_box import WIDEST_LABEL

TIPS = {
    "translation": "Translation alone",
    "rigid": "Translation and rotation",
    "similarity": "Translation, rotation and one scale",
    "affine": "Also shear, and a scale along each axis",
    "homography": "Perspective, as between two views of a plane",
    "thin plate": "A smooth deformation through all landmarks, or near them where it is smoothed",
}


class FitBox(QWidget):
    """The kind of fit, and the smoothing of a thin plate.

    Signals
    -------
    changed()
        Another fit was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.box = Choice()
        self.box.setAccessibleName("Fit")
        self.smooth = QDoubleSpinBox()
        self.smooth.setDecimals(3)
        self.smooth.setRange(0.0, 1000.0)
        self.smooth.setSingleStep(0.01)
        self.smooth.setToolTip("0 passes through every landmark; large values approach the affine fit")
        tame(self.smooth)
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.addRow(
            heading("Fit", self.box, "The transform that is fitted to the landmarks", WIDEST_LABEL), self.box
        )
        self.form.addRow(heading("Smoothing", self.smooth, self.smooth.toolTip(), WIDEST_LABEL), self.smooth)
        self._ndim = 0
        self.offer(2)
        self.choose(AFFINE)
        self.box.currentIndexChanged.connect(self._picked)
        self.smooth.valueChanged.connect(self.changed)

    @property
    def kind(self) -> str:
        """The chosen kind."""
        return self.box.currentText()

    @property
    def smoothing(self) -> float:
        """As `fit` takes it."""
        return float(self.smooth.value()) if self.kind == THIN_PLATE else 0.0

    def choose(self, kind: str, smoothing: float | None = None) -> None:
        """Choose a kind of the list."""
        if self.box.findText(kind) < 0:
            raise ValueError(f"There is no fit {kind!r} in the list; choose one of its entries.")
        self.box.setCurrentText(kind)
        if smoothing is not None:
            self.smooth.setValue(smoothing)
        self.form.setRowVisible(self.smooth, kind == THIN_PLATE)

    def offer(self, ndim: int) -> None:
        """Offer the kinds in so many dimensions, keeping the choice if it is among them."""
        if ndim == self._ndim:
            return
        kept, self._ndim = self.kind, ndim
        self.box.blockSignals(True)
        self.box.clear()
        for row, kind in enumerate(fits_in(ndim)):
            self.box.addItem(kind)
            pairs = least_pairs(kind, ndim)
            tip = f"{TIPS[kind]}; from {pairs} pair{'s' * (pairs > 1)}"
            self.box.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
        self.box.setCurrentText(kept if self.box.findText(kept) >= 0 else AFFINE)
        self.box.blockSignals(False)
        self.form.setRowVisible(self.smooth, self.kind == THIN_PLATE)

    def _picked(self) -> None:
        self.form.setRowVisible(self.smooth, self.kind == THIN_PLATE)
        self.box.setToolTip(TIPS[self.kind])
        self.changed.emit()
