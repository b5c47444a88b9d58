"""Slow imports, made in a thread before they are needed."""

from __future__ import annotations

from importlib import import_module

import pint

from .worker import Runner


def load_ahead(runner: Runner) -> None:
    """Load in a thread what would block the interface when the first layers are added.

    That is pandas, which napari uses for vectors, and pint's registry of units. The registry breaks if two
    threads make its first use at once, so a new one replaces it if it is still unused.
    """

    def load() -> pint.UnitRegistry | None:
        import_module("pandas")
        return pint.UnitRegistry(on_redefinition="raise") if _unused() else None

    runner.start(
        lambda progress: load(),
        report=lambda report: None,
        done=_take,
        failed=lambda error: None,  # napari loads it when it is needed
        warned=lambda text: None,
    )


def load_plots() -> None:
    """Load what the first plot needs: matplotlib and its fonts. Called in a thread."""
    import_module("matplotlib.backends.backend_qtagg")
    figure = import_module("matplotlib.figure").Figure()
    figure.text(0, 0, "0")
    import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(figure).draw()


def _take(registry: pint.UnitRegistry | None) -> None:
    if registry is not None and _unused():
        pint.set_application_registry(registry)


def _unused() -> bool:
    return isinstance(pint.application_registry.get(), pint.LazyRegistry)
