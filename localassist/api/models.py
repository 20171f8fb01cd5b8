"""Operations on models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import Unpack

from localassist.types.model import ModelList, ModelObject
from localassist.types.params import NoParams
from localassist.types.values import Str

if TYPE_CHECKING:
    from localassist.api.runtime import Runtime
    from localassist.engine.model_files import ModelFile


def list_models(runtime: Runtime, **params: Unpack[NoParams]) -> ModelList:
    """List the chat models whose weights are here."""
    return ModelList(data=[_object(model) for model in runtime.models.available()])


def retrieve_model(runtime: Runtime, model: Str, **params: Unpack[NoParams]) -> ModelObject:
    """Return a model; one of OpenAI's names stands for the default."""
    found = _object(runtime.models.resolve(model))
    found.id = model
    return found


def _object(model: ModelFile) -> ModelObject:
    owner = "local" if model.entry is None else model.entry.origin.partition("/")[0]
    return ModelObject(id=model.name, created=int(model.path.stat().st_mtime), owned_by=owner)
