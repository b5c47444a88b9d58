"""A method's parameters, declared once: form, command line, docs and checks follow from them."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self


@dataclass(frozen=True)
class Param:
    """What a form or a command line needs to know of one parameter.

    `kind` is ``bool``, ``int``, ``float``, ``str`` (with `choices`), ``Path`` (optional, may be None) or
    ``tuple`` (of paths, in order). `range` is inclusive. Of a ``Path``, `suffixes` are those that a file
    dialog offers (all if empty). ``describe(type of the Params, path, progress=...)`` returns in one line
    what the file holds, or raises a `ValueError`. It may take seconds, so `process.call` can run it.
    Of a number, `special` is the word that a form shows in place of 0, and `pattern` what it shows around
    others, with the number in place of ``{}``.
    """

    name: str
    kind: type
    default: Any
    help: str
    range: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    advanced: bool = False
    suffixes: tuple[str, ...] = ()
    describe: Callable[..., str] | None = None
    special: str = ""
    pattern: str = "{}"


def param(
    default: Any,
    help: str,
    *,
    range: tuple[float, float] | None = None,
    advanced: bool = False,
    suffixes: tuple[str, ...] = (),
    describe: Callable[..., str] | None = None,
    special: str = "",
    pattern: str = "{}",
) -> Any:
    """Declare one field of a `Params` class; `advanced` folds it away, the rest is described in `Param`."""
    if special and (range is None or range[0] != 0):
        raise ValueError(f"{special!r} stands for 0; give a range that begins there.")
    given = {"range": range, "advanced": advanced, "suffixes": suffixes, "describe": describe}
    shown = {"special": special, "pattern": pattern}
    return dataclasses.field(default=default, metadata={"help": help, **given, **shown})


@dataclass(frozen=True, kw_only=True)
class Params:
    """Base of every method's parameters: frozen, keyword-only, checked on construction.

    Subclasses are dataclasses whose fields are made by `param`, with the types ``bool``, ``int``, ``float``,
    ``Literal[...]``, ``Path | None`` or ``tuple[Path, ...]``.

    Raises
    ------
    ValueError
        If a value has the wrong type, is out of range or is not one of the choices.
    """

    def __post_init__(self) -> None:
        for info in self.infos():
            object.__setattr__(self, info.name, _checked(info, getattr(self, info.name)))

    @classmethod
    def infos(cls) -> tuple[Param, ...]:
        """The declared parameters in order."""
        hints = typing.get_type_hints(cls)
        return tuple(_info(field, hints[field.name]) for field in dataclasses.fields(cls))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; names that are not parameters are refused with the list of those that are."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                listing = ", ".join(known) if known else "it has none"
                raise ValueError(f"There is no parameter {name!r}; choose from: {listing}.")
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record: paths as text, tuples as lists."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: [str(v) for v in value]
            if isinstance(value, tuple)
            else str(value)
            if isinstance(value, Path)
            else value
            for name, value in values.items()
        }


def _info(field: dataclasses.Field[Any], hint: Any) -> Param:
    """Read one field's declaration."""
    choices: tuple[str, ...] = ()
    kind: type
    origin = typing.get_origin(hint)
    if origin is Literal:
        kind, choices = str, typing.get_args(hint)
    elif origin is tuple:
        kind = tuple
    elif origin in (types.UnionType, typing.Union):
        kind = Path
    else:
        kind = hint
    return Param(name=field.name, kind=kind, default=field.default, choices=choices, **field.metadata)


def _checked(info: Param, value: Any) -> Any:
    """The value in its declared type, or a ValueError that names the remedy."""
    if info.choices:
        if value not in info.choices:
            raise ValueError(f"{info.name} cannot be {value!r}; choose from: {', '.join(info.choices)}.")
        return value
    if info.kind is Path:
        return None if value in (None, "") else Path(value)
    if info.kind is tuple:
        return (Path(value),) if isinstance(value, str | Path) else tuple(Path(v) for v in value)
    if info.kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{info.name} must be true or false, not {value!r}.")
        return value
    try:
        number = info.kind(value)
    except (TypeError, ValueError):
        raise ValueError(f"{info.name} must be a number, not {value!r}.") from None
    if info.kind is int and number != float(value):
        raise ValueError(f"{info.name} must be a whole number, not {value!r}.")
    if info.range is not None and not info.range[0] <= number <= info.range[1]:
        raise ValueError(
            f"{info.name} cannot be {value!r}; choose between {info.range[0]:g} and {info.range[1]:g}."
        )
    return number
