"""Filters: which files' attributes pass, as a search or a caller wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Test = Callable[[Mapping[str, Any]], bool]

_MAX_DEPTH = 8
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda have, want: bool(have == want),
    "ne": lambda have, want: bool(have != want),
    "gt": lambda have, want: bool(have > want),
    "gte": lambda have, want: bool(have >= want),
    "lt": lambda have, want: bool(have < want),
    "lte": lambda have, want: bool(have <= want),
    "in": lambda have, want: have in want,
    "nin": lambda have, want: have not in want,
}
_NEGATIVE = frozenset({"ne", "nin"})
_COMPOUND = frozenset({"and", "or"})


def compiled(wanted: Any, path: str = "filters", *, depth: int = 0) -> Test:
    """A test of a file's attributes.

    Raises:
        BadRequestError: it is not a filter.
    """
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if depth > _MAX_DEPTH or not isinstance(kind, str) or kind not in _COMPARE.keys() | _COMPOUND:
        raise BadRequestError(
            f"Invalid value: {str(kind)[:100]!r}. Supported values are: "
            f"{', '.join(map(repr, [*_COMPARE, 'and', 'or']))}.",
            code="invalid_value",
            param=f"{path}.type",
        )
    if kind in _COMPOUND:
        return _compound(wanted, path, depth, every=kind == "and")
    return _comparison(wanted, path)


def _compound(wanted: dict[str, Any], path: str, depth: int, *, every: bool) -> Test:
    _check_keys(wanted, {"type", "filters"}, path)
    parts = wanted["filters"]
    if not isinstance(parts, list) or not parts:
        raise _wrong(f"{path}.filters", "a list of filters", parts)
    tests = [
        compiled(part, f"{path}.filters[{index}]", depth=depth + 1)
        for index, part in enumerate(parts)
    ]
    combine = all if every else any
    return lambda attributes: combine(test(attributes) for test in tests)


def _comparison(wanted: dict[str, Any], path: str) -> Test:
    _check_keys(wanted, {"type", "key", "value"}, path)
    kind, key, value = wanted["type"], wanted["key"], wanted["value"]
    if not isinstance(key, str):
        raise _wrong(f"{path}.key", "a string", key)
    plain = (str, int, float, bool)
    if kind in ("in", "nin"):
        if not isinstance(value, list) or not all(isinstance(each, plain) for each in value):
            raise _wrong(f"{path}.value", "a list of strings, numbers or booleans", value)
    elif not isinstance(value, plain):
        raise _wrong(f"{path}.value", "a string, a number or a boolean", value)
    compare = _COMPARE[kind]

    def test(attributes: Mapping[str, Any]) -> bool:
        if key not in attributes:
            return kind in _NEGATIVE
        try:
            return compare(attributes[key], value)
        except TypeError:  # a number and a text have no order
            return False

    return test


def _check_keys(wanted: dict[str, Any], keys: set[str], path: str) -> None:
    if missing := sorted(keys - wanted.keys()):
        raise BadRequestError(
            f"Missing required parameter: '{path}.{missing[0]}'.",
            code="missing_required_parameter",
            param=f"{path}.{missing[0]}",
        )
    if unknown := sorted(map(str, wanted.keys() - keys)):
        raise BadRequestError(
            f"Unknown parameter: '{path}.{unknown[0]}'.",
            code="unknown_parameter",
            param=f"{path}.{unknown[0]}",
        )


def _wrong(param: str, what: str, value: Any) -> BadRequestError:
    return BadRequestError(
        f"Invalid type for '{param}': expected {what}, but got {type(value).__name__} instead.",
        code="invalid_type",
        param=param,
    )
