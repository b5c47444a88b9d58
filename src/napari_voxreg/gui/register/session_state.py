"""Results and choices of a viewer's panels, kept after they are closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from napari.components import ViewerModel

from ...registration.result import Result

_states: WeakKeyDictionary[ViewerModel, SessionState] = WeakKeyDictionary()


@dataclass
class SessionState:
    """The state of a viewer's panels, kept as long as the viewer.

    Parameters
    ----------
    results : dict of str to Result
        The results of this session by title, oldest first.
    choices : dict
        The choices of the Register panel when it was closed.
    """

    results: dict[str, Result] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)

    def keep(self, result: Result) -> str:
        """Keep a result, once, and return its unique title."""
        for title, kept in self.results.items():
            if kept is result:
                return title
        plain = title = f"{result.names[1]} > {result.names[0]}, {result.method}"
        count = 1
        while title in self.results:
            count += 1
            title = f"{plain} ({count})"
        self.results[title] = result
        return title


def session_state(viewer: ViewerModel) -> SessionState:
    """The state of a viewer, the same for each of its panels."""
    # napari hands plugins a new proxy of the viewer each time.
    return _states.setdefault(getattr(viewer, "__wrapped__", viewer), SessionState())
