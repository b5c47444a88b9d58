"""The options of a training as a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..widgets.parameters.form import ParamsForm

if TYPE_CHECKING:
    from ...train.options import Start, TrainOptions


def usual_start(architecture: str) -> Start:
    """Where a training in the panel begins unless the user chooses: with shipped weights if there are any."""
    from ...train.options import SHIPPED

    return "shipped" if architecture in SHIPPED else "scratch"


class OptionsForm(ParamsForm):
    """All of `TrainOptions`: the common ones, the rest under Advanced, and the augmentations."""

    def __init__(self) -> None:
        super().__init__()
        from ...train.options import TrainOptions

        first = TrainOptions()
        self._architecture: str = first.architecture
        self._show(TrainOptions(start=usual_start(first.architecture)))
        self.changed.connect(self._settle)

    def options(self) -> TrainOptions:
        """The options in the form.

        Raises
        ------
        ValueError
            If they contradict each other.
        """
        from ...train.options import TrainOptions

        return TrainOptions.from_dict(self.values())

    def values(self) -> dict[str, Any]:
        """The current values by name; a hidden file is None."""
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

        if "architecture" in changes and "start" not in changes:
            changes["start"] = usual_start(changes["architecture"])
        self._show(TrainOptions.from_dict(self.values() | changes))
        self.changed.emit()

    def _show(self, options: TrainOptions) -> None:
        from ...train.options import AUGMENTATIONS

        self._architecture = options.architecture
        self.set_up(options, groups={"Augmentation": AUGMENTATIONS})
        self._settle()

    def _settle(self) -> None:
        """Begin with shipped weights where there are any; show the file of weights only where needed."""
        chosen, start = self.editors["architecture"].value, self.editors["start"]
        if chosen != self._architecture:
            self._architecture = chosen
            if start.value != "weights":
                start.value = usual_start(chosen)
        self.show_row("weights", self.editors["start"].value == "weights")
