"""Parameters are checked against their types; what is wrong is said in the API's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

_WANTED = {
    "string": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "list": "an array",
    "dict": "an object",
    "mapping": "an object",
    "typed_dict": "an object",
}


def validate(adapter: TypeAdapter[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checked values.

    Raises:
        BadRequestError: the first thing that is wrong.
    """
    try:
        checked: dict[str, Any] = adapter.validate_python(values)
    except ValidationError as error:
        raise explain(error.errors(include_url=False)[0]) from None
    return checked


def explain(detail: ErrorDetails) -> BadRequestError:
    """The API's error for one of pydantic's."""
    kind, param = detail["type"], path(detail["loc"])
    told = _EXPLAIN.get(kind)
    if told is not None:
        message, code = told(param, detail["input"], detail.get("ctx", {}))
    elif kind.endswith("_type") and kind.removesuffix("_type") in _WANTED:
        message, code = _wrong_type(param, detail["input"], kind.removesuffix("_type"))
    else:
        message, code = f"Invalid '{param}': {detail['msg']}.", "invalid_value"
    return BadRequestError(message, code=code, param=param or None)


def path(location: tuple[int | str, ...]) -> str:
    """`messages[0].content` from a location; the names of union branches are left out."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        elif not (step == "[key]" or (step.startswith("<") and step.endswith(">"))):
            text += f".{step}" if text else step
    return text


def _json_type(value: Any) -> str:
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "a boolean"),
        (str, "a string"),
        (int, "an integer"),
        (float, "a decimal"),
        ((list, tuple), "an array"),
        (dict, "an object"),
        (type(None), "null"),
    ]
    found = (name for kind, name in kinds if isinstance(value, kind))
    return next(found, f"a value of type {type(value).__name__}")


def _wrong_type(param: str, value: Any, kind: str) -> tuple[str, str]:
    return (
        f"Invalid type for '{param}': expected {_WANTED[kind]}, "
        f"but got {_json_type(value)} instead.",
        "invalid_type",
    )


def _missing(param: str, _value: Any, _context: Any) -> tuple[str, str]:
    return f"Missing required parameter: '{param}'.", "missing_required_parameter"


def _unknown(param: str, _value: Any, _context: Any) -> tuple[str, str]:
    return f"Unknown parameter: '{param}'.", "unknown_parameter"


def _not_listed(param: str, value: Any, context: Any) -> tuple[str, str]:
    if not isinstance(value, str):
        return _wrong_type(param, value, "string")
    allowed = context["expected"].replace(" or ", ", ").split(", ")
    listed = allowed[0] if len(allowed) == 1 else f"{', '.join(allowed[:-1])} and {allowed[-1]}"
    return f"Invalid value: '{_clip(value)}'. Supported values are: {listed}.", "invalid_value"


def _size(direction: str) -> Callable[[str, Any, Any], tuple[str, str]]:
    long = direction == "max"
    bound, key = ("maximum", "max_length") if long else ("minimum", "min_length")
    end = "above_max" if long else "below_min"

    def tell(param: str, value: Any, context: Any) -> tuple[str, str]:
        limit = context[key]
        if isinstance(value, dict):
            word = "many" if long else "few"
            at = "at most" if long else "at least"
            return (
                f"Invalid '{param}': too {word} properties. Expected an object with {at} {limit} "
                f"properties, but got an object with {len(value)} properties instead.",
                f"object_{end}_properties",
            )
        kind = "string" if isinstance(value, str) else "array"
        article = "a" if kind == "string" else "an"
        return (
            f"Invalid '{param}': {kind} too {'long' if long else 'short'}. Expected {article} "
            f"{kind} with {bound} length {limit}, but got {article} {kind} with length "
            f"{len(value)} instead.",
            f"{kind}_{end}_length",
        )

    return tell


def _range(direction: str) -> Callable[[str, Any, Any], tuple[str, str]]:
    above = direction == "max"

    def tell(param: str, value: Any, context: Any) -> tuple[str, str]:
        limit = context["le" if above else "ge"]
        limit = int(limit) if float(limit).is_integer() else limit
        kind = "integer" if isinstance(value, int) and param != "temperature" else "decimal"
        kind = "decimal" if param in ("temperature", "top_p") else kind
        side, sign = ("above maximum", "<=") if above else ("below minimum", ">=")
        code = f"{kind}_{'above_max' if above else 'below_min'}_value"
        return (
            f"Invalid '{param}': {kind} {side} value. Expected a value {sign} {limit}, "
            f"but got {value} instead.",
            code,
        )

    return tell


def _malformed_id(param: str, value: Any, context: Any) -> tuple[str, str]:
    prefix = context["prefix"]
    return (
        f"Invalid '{param}': '{_clip(value)}'. Expected an ID that begins with '{prefix}'.",
        "invalid_value",
    )


def _bad_text(what: str) -> Callable[[str, Any, Any], tuple[str, str]]:
    def tell(param: str, _value: Any, _context: Any) -> tuple[str, str]:
        return (
            f"Invalid '{param}': the text contains {what}, which cannot be stored.",
            "invalid_text",
        )

    return tell


def _bad_function_name(param: str, _value: Any, _context: Any) -> tuple[str, str]:
    return (
        f"Invalid '{param}': string does not match pattern. Expected a string that matches the "
        "pattern '^[a-zA-Z0-9_-]+$'.",
        "invalid_value",
    )


def _clip(text: str, *, most: int = 100) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


_EXPLAIN: dict[str, Callable[[str, Any, Any], tuple[str, str]]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _not_listed,
    "string_too_long": _size("max"),
    "string_too_short": _size("min"),
    "too_long": _size("max"),
    "too_short": _size("min"),
    "less_than_equal": _range("max"),
    "greater_than_equal": _range("min"),
    "malformed_id": _malformed_id,
    "nul_character": _bad_text("a NUL character"),
    "lone_surrogate": _bad_text("a lone surrogate"),
    "string_unicode": _bad_text("a lone surrogate"),
    "bad_function_name": _bad_function_name,
}
