"""The options of a training as a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..widgets.parameters.form import ParamsForm

if TYPE_CHECKING:
    from ...train.options import TrainOptions


class OptionsForm(ParamsForm):
    """All of `TrainOptions`: the usual ones, the rest under Advanced, the augmentations for themselves."""

    def __init__(self) -> None:
        super().__init__()
        from ...train.options import TrainOptions

        self._show(TrainOptions())
        self.changed.connect(self._settle)

    def options(self) -> TrainOptions:
        """The options as they stand in the form.

        Raises
        ------
        ValueError
            If they contradict each other.
        """
        from ...train.options import TrainOptions

        return TrainOptions.from_dict(self.values())

    def values(self) -> dict[str, Any]:
        """The present values by name; a file that is not shown does not count."""
        values = super().values()
        return values | {"weights": values["weights"] if values["start"] == "weights" else None}

    def choose(self, **changes: Any) -> None:
        """Choose other values.

        Raises
        ------
        ValueError
            If there is no such option, or the values contradict each other.
        """
        from ...train.options import TrainOptions

        self._show(TrainOptions.from_dict(self.values() | changes))
        self.changed.emit()

    def _show(self, options: TrainOptions) -> None:
        from ...train.options import AUGMENTATIONS

        self.set_up(options, apart={"Augmentation": AUGMENTATIONS})
        self._settle()

    def _settle(self) -> None:
        """Ask for a file of weights only where it is wanted."""
        self.show_row("weights", self.editors["start"].value == "weights")
