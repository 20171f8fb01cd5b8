"""ModelObject: a model that can be run here."""

from __future__ import annotations

from typing import Literal

from localassist.types._base import Model


class ModelObject(Model):
    """A model whose weights are here. `created` is the time of its file."""

    id: str
    created: int
    object: Literal["model"] = "model"
    owned_by: str


class ModelList(Model):
    """All models that are here; this list has no pages."""

    data: list[ModelObject]
    object: Literal["list"] = "list"
