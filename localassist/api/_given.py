"""Absent keys and nulls of parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def given(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are not null: the SDKs send nulls for what nobody gave."""
    return {name: value for name, value in params.items() if value is not None}


def only_given(params: Mapping[str, Any], *, without: Collection[str]) -> dict[str, Any]:
    """As `given`, less the names in `without`."""
    return {name: value for name, value in given(params).items() if name not in without}
