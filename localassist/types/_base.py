"""The base of all API objects: one superset of fields, printed in the shape of an API version."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from typing_extensions import Self, override

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localassist.settings import ApiVersion

T = TypeVar("T")
CONTEXT_KEY = "api_version"
ALL_FIELDS = "all"
# The first generation as its last SDKs had it; on the wire only.
LATE_V1 = "v1-late"


@dataclass(frozen=True)
class In:
    """Marks a field that only one API version prints; as an attribute it is always there.

    Attributes:
        version: which.
        late: the last SDKs of the first generation know it too.
    """

    version: ApiVersion
    late: bool = False


@dataclass(frozen=True)
class WhenSet:
    """Marks a field that is printed only when it says something; for what the API lacks."""


@dataclass(frozen=True)
class Stored:
    """Marks a field that is stored and never printed."""


class Model(BaseModel):
    """Base of the API objects.

    A field is always readable; `model_dump` and `model_dump_json` print the keys of the object's
    API version, in the order of the openai SDK's classes.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", protected_namespaces=())

    _api_version: ApiVersion = PrivateAttr(default="v1")

    def in_version(self, version: ApiVersion) -> Self:
        """Set the version whose shape this object prints, and return it."""
        self._api_version = version
        return self

    @model_serializer(mode="wrap")
    def _print(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        version = printed_version(self, info)
        if version == ALL_FIELDS:
            return dict(handler(self))
        hidden = _hidden_fields(type(self), version)
        optional = _optional_fields(type(self))
        return {
            key: value
            for key, value in handler(self).items()
            if key not in hidden and not (key in optional and value is None)
        }

    # A nested object prints in the version of the one that is dumped, hence the context.
    @override
    def model_dump(self, **kwargs: Any) -> dict[str, Any]:
        kwargs.setdefault("context", {CONTEXT_KEY: self._api_version})
        return super().model_dump(**kwargs)

    @override
    def model_dump_json(self, **kwargs: Any) -> str:
        kwargs.setdefault("context", {CONTEXT_KEY: self._api_version})
        return super().model_dump_json(**kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The openai SDK's name for `model_dump(mode="json")`."""
        return self.model_dump(mode="json")

    def to_json(self, *, indent: int | None = 2) -> str:
        """The openai SDK's name for `model_dump_json`."""
        return self.model_dump_json(indent=indent)

    @override
    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        hidden = _hidden_fields(type(self), self._api_version)
        return (item for item in super().__repr_args__() if item[0] not in hidden)


def printed_version(model: Model, info: SerializationInfo) -> str:
    """The version whose shape is being printed: that of the outermost object."""
    return str((info.context or {}).get(CONTEXT_KEY, model._api_version))


@cache
def _hidden_fields(model: type[Model], version: str) -> frozenset[str]:
    return frozenset(
        name
        for name, info in model.model_fields.items()
        for mark in info.metadata
        if isinstance(mark, Stored) or (isinstance(mark, In) and not _prints(mark, version))
    )


def _prints(mark: In, shape: str) -> bool:
    return shape.startswith(mark.version) or (mark.late and shape == LATE_V1)


@cache
def _optional_fields(model: type[Model]) -> frozenset[str]:
    return frozenset(
        name
        for name, info in model.model_fields.items()
        if any(isinstance(mark, WhenSet) for mark in info.metadata)
    )


class ListPage(Model, Generic[T]):
    """One page of a list. `first_id` and `last_id` are None when `data` is empty."""

    data: list[T]
    object: Literal["list"] = "list"
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class Deleted(Model):
    """The answer to a deletion; `object` is the kind of the object + `.deleted`."""

    id: str
    deleted: bool = True
    object: str
