"""Routes: which operation a method and a path mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localassist.api.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localassist.api.operation import Operation


@dataclass
class Route:
    """The operations of one path and method: what answers at once, and what answers as a stream."""

    plain: Operation | None = None
    stream: Operation | None = None


@dataclass
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    variable: tuple[str, _Node] | None = None
    routes: dict[str, Route] = field(default_factory=dict)


@dataclass(frozen=True)
class Match:
    """What a path means.

    Attributes:
        routes: by method; empty if it means nothing.
        ids: the path's variable parts by name.
    """

    routes: dict[str, Route]
    ids: dict[str, str]


def _tree() -> _Node:
    root = _Node()
    for operation in OPERATIONS:
        node = root
        for part in operation.path.split("/")[1:]:
            if part.startswith("{"):
                if node.variable is None:
                    node.variable = (part[1:-1], _Node())
                assert node.variable[0] == part[1:-1], f"two names for one part: {operation.path}"
                node = node.variable[1]
            else:
                node = node.literal.setdefault(part, _Node())
        route = node.routes.setdefault(operation.method, Route())
        if operation.streams:
            route.stream = operation
        else:
            route.plain = operation
    return root


_ROOT = _tree()


def only_reads_a_row(method: str, segments: Sequence[str]) -> bool:
    """Whether the request is for one object by its id."""
    route = match(segments).routes.get(method)
    return route is not None and route.plain is not None and route.plain.name.endswith(".retrieve")


def match(segments: Sequence[str]) -> Match:
    """What the parts of a path mean. A literal part goes before a variable one."""
    node, ids = _ROOT, {}
    for part in segments:
        if part in node.literal:
            node = node.literal[part]
        elif node.variable is not None and part:
            ids[node.variable[0]] = part
            node = node.variable[1]
        else:
            return Match({}, {})
    return Match(node.routes, ids)
