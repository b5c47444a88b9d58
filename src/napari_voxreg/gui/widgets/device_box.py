"""Where to compute, among the devices that this machine has."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ...core import process
from ...core.progress import Progress
from ..background.worker import Runner
from .combo_box import Choice

TITLES = {"auto": "Auto", "cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Apple MPS)"}

_known: tuple[str, ...] | None = None  # by this process, once one of its panels has asked


class DeviceBox(Choice):
    """Auto, the CPU, and the GPUs that the child process finds when the box is first shown.

    Parameters
    ----------
    among : tuple of str, optional
        Those that may be offered; all if left out.

    Signals
    -------
    offered(names)
        The devices of this machine are there to choose from.
    """

    offered = Signal(tuple)

    def __init__(self, among: tuple[str, ...] | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._among = among
        self.setToolTip("Where it computes; auto takes a GPU if there is one, else the CPU")
        self._offer(("auto", "cpu"))
        runner = self._runner = Runner()
        self.destroyed.connect(lambda: runner.cancel())

    @property
    def device(self) -> str:
        """As `register` takes it."""
        return str(self.currentData())

    @property
    def devices(self) -> tuple[str, ...]:
        """Those to choose from."""
        return tuple(str(self.itemData(k)) for k in range(self.count()))

    def choose(self, device: str) -> None:
        """Choose a device, also before it is known which there are."""
        if self.findData(device) < 0:
            self._add(device)
        self.setCurrentIndex(self.findData(device))

    def showEvent(self, event: Any) -> None:
        """Have the child process look for devices, once; loading torch here would stop the screen."""
        super().showEvent(event)
        if _known is not None:
            self._offer(_known)
        elif not self._runner.busy:
            self._runner.start(
                _look,
                report=lambda report: None,
                done=self._learn,
                failed=lambda error: None,  # the run says why the child process does not start
                warned=lambda text: None,
            )

    def _learn(self, names: tuple[str, ...]) -> None:
        global _known
        _known = names
        self._offer(names)
        self.offered.emit(names)

    def _offer(self, names: tuple[str, ...]) -> None:
        """Offer these and what is chosen, which stays so."""
        chosen = self.device if self.count() else names[0]
        self.blockSignals(True)
        self.clear()
        for name in names:
            if self._among is None or name in self._among:
                self._add(name)
        self.choose(chosen)
        self.blockSignals(False)

    def _add(self, name: str) -> None:
        self.addItem(TITLES.get(name, f"GPU ({name.upper()})"), name)


def _look(progress: Progress) -> tuple[str, ...]:
    from ...tensor.device import available

    progress(None, "looking for devices")  # a panel that is gone needs no new child process
    return process.call(available, progress=progress)
