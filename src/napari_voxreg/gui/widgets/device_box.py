"""The device to compute on, among those of this machine."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ...core import process
from ...core.progress import Progress
from ..background.worker import Runner
from ..preferences import preferences
from .combo_box import Choice

TITLES = {"auto": "Auto", "cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Apple MPS)"}

_known: tuple[str, ...] | None = None  # devices of this machine, once a panel has queried them


class DeviceBox(Choice):
    """Auto, the CPU, and the GPUs that the child process finds when the box is first shown.

    Parameters
    ----------
    among : tuple of str, optional
        Those that may be offered; all if omitted.

    Signals
    -------
    offered(names)
        The devices of this machine were found.
    """

    offered = Signal(tuple)

    def __init__(self, among: tuple[str, ...] | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._among = among
        self.setToolTip("Where to compute; auto uses a GPU if there is one, else the CPU")
        self._offer(("auto", "cpu"))
        if among is None or preferences().device in among:
            self.choose(preferences().device)
        self._runner = Runner()
        # Not a lambda: Python may collect that before Qt calls it, which crashes.
        self.destroyed.connect(self._runner.cancel)

    @property
    def device(self) -> str:
        """As `register` takes it."""
        return str(self.currentData())

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices offered."""
        return tuple(str(self.itemData(k)) for k in range(self.count()))

    def choose(self, device: str) -> None:
        """Choose a device, also before the devices are known."""
        if self.findData(device) < 0:
            self._add(device)
        self.setCurrentIndex(self.findData(device))

    def showEvent(self, event: Any) -> None:
        """Have the child process find the devices, once; loading torch here would block the interface."""
        super().showEvent(event)
        if _known is not None:
            self._offer(_known)
        elif not self._runner.busy:
            self._runner.start(
                _find_devices,
                report=lambda report: None,
                done=self._learn,
                failed=lambda error: None,  # the run reports why the child process does not start
                warned=lambda text: None,
            )

    def _learn(self, names: tuple[str, ...]) -> None:
        global _known
        _known = names
        self._offer(names)
        self.offered.emit(names)

    def _offer(self, names: tuple[str, ...]) -> None:
        """Offer these and the chosen one, which stays chosen."""
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


def _find_devices(progress: Progress) -> tuple[str, ...]:
    from ...tensor.device import available

    progress(None, "looking for devices")  # a closed panel needs no new child process
    return process.call(available, progress=progress)
