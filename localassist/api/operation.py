"""Operation: a function of the API with its name, its route and its parameters' types."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, with_config
from typing_extensions import NotRequired, Required, TypedDict

from localassist.api.validation import validate
from localassist.errors import BadRequestError
from localassist.types.params import RequestOptions
from localassist.types.values import STRICT

if TYPE_CHECKING:
    from collections.abc import Callable

    from localassist.api.runtime import Runtime

OPTIONS = frozenset(RequestOptions.__annotations__)


@dataclass(frozen=True)
class Operation:
    """One row of the table that every face is made from.

    Attributes:
        name: as the SDK's path to the method, `threads.runs.create`.
        method: the HTTP method.
        path: the route, with the ids' names in braces.
        handler: `(runtime, id, ..., **params) -> object`.
        streams: it answers with events, to whoever asks for `stream`.
    """

    name: str
    method: str
    path: str
    handler: Callable[..., Any]
    streams: bool = False

    @cached_property
    def path_params(self) -> tuple[str, ...]:
        """Names of the ids, in the order of the handler."""
        parameters = list(inspect.signature(self.handler).parameters.values())[1:]
        return tuple(each.name for each in parameters if each.kind is not each.VAR_KEYWORD)

    @cached_property
    def params(self) -> dict[str, Any]:
        """Type by name of all parameters but the request options."""
        hints = self._hints()
        found: dict[str, Any] = {name: Required[hints[name]] for name in self.path_params}
        (typed_dict,) = get_args(hints["params"])
        fields = get_type_hints(typed_dict, include_extras=True)
        for name in fields.keys() - OPTIONS:
            # Written as texts, the annotations do not reach the TypedDict's own list of these.
            required = get_origin(fields[name]) is Required
            bare = get_args(fields[name])[0] if required else fields[name]
            found[name] = Required[bare] if required else NotRequired[bare]
        return found

    def _hints(self) -> dict[str, Any]:
        """Types of the ids and of `params`; the other annotations need not exist at run time."""
        wanted = (*self.path_params, "params")
        annotations = {name: self.handler.__annotations__[name] for name in wanted}
        shim = type("Hints", (), {"__annotations__": annotations})
        return get_type_hints(shim, globalns=self.handler.__globals__, include_extras=True)

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(with_config(STRICT)(TypedDict(self.name, self.params)))  # type: ignore[operator]  # a TypedDict made at run time

    def call(self, runtime: Runtime, *args: Any, **kwargs: Any) -> Any:
        """Check the arguments and carry the operation out.

        Raises:
            BadRequestError: an argument is missing, unknown or wrong.
            ClosedError: the client is another process's.
        """
        runtime.check_process()
        if len(args) > len(self.path_params):
            raise BadRequestError(
                f"'{self.name}' takes {len(self.path_params)} positional arguments, "
                f"but got {len(args)}.",
                code="invalid_request",
                hint="Name the others.",
            )
        given = {name: value for name, value in kwargs.items() if name not in OPTIONS}
        given.update(zip(self.path_params, args, strict=False))
        return self.handler(runtime, **validate(self._adapter, given))
