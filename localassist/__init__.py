"""localassist: the OpenAI Assistants API on your own machine.

>>> from localassist import OpenAI
>>> client = OpenAI()

Names are imported at first use, so that `import localassist` costs nothing.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localassist.client.client import AsyncClient, Client
    from localassist.client.client import AsyncClient as AsyncOpenAI
    from localassist.client.client import Client as OpenAI
    from localassist.client.event_handler import AssistantEventHandler, AsyncAssistantEventHandler
    from localassist.engine.scripted import ScriptedBackend
    from localassist.errors import (
        APIStatusError,
        BadRequestError,
        ClosedError,
        ContextOverflowError,
        HomeError,
        InternalServerError,
        LocalAssistError,
        MissingPackageError,
        ModelError,
        ModelFetchError,
        ModelFileError,
        ModelTooLargeError,
        NotFoundError,
    )
    from localassist.http.transport import async_openai_client, openai_client, openai_transport
    from localassist.settings import Settings

__version__ = "0.1.0"
__all__ = [
    "APIStatusError",
    "AssistantEventHandler",
    "AsyncAssistantEventHandler",
    "AsyncClient",
    "AsyncOpenAI",
    "BadRequestError",
    "Client",
    "ClosedError",
    "ContextOverflowError",
    "HomeError",
    "InternalServerError",
    "LocalAssistError",
    "MissingPackageError",
    "ModelError",
    "ModelFetchError",
    "ModelFileError",
    "ModelTooLargeError",
    "NotFoundError",
    "OpenAI",
    "ScriptedBackend",
    "Settings",
    "async_openai_client",
    "openai_client",
    "openai_transport",
]

_CLIENT = "localassist.client.client"
_TRANSPORT = "localassist.http.transport"
_HANDLER = "localassist.client.event_handler"
_HOMES = {
    "AssistantEventHandler": (_HANDLER, "AssistantEventHandler"),
    "AsyncAssistantEventHandler": (_HANDLER, "AsyncAssistantEventHandler"),
    "AsyncClient": (_CLIENT, "AsyncClient"),
    "AsyncOpenAI": (_CLIENT, "AsyncClient"),
    "Client": (_CLIENT, "Client"),
    "OpenAI": (_CLIENT, "Client"),
    "ScriptedBackend": ("localassist.engine.scripted", "ScriptedBackend"),
    "Settings": ("localassist.settings", "Settings"),
    "async_openai_client": (_TRANSPORT, "async_openai_client"),
    "openai_client": (_TRANSPORT, "openai_client"),
    "openai_transport": (_TRANSPORT, "openai_transport"),
}

logging.getLogger("localassist").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'localassist' has no attribute '{name}'")
    module, attribute = _HOMES.get(name, ("localassist.errors", name))
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
