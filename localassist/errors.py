"""The error tree. Every error says what is wrong, the value, and what to do.

LocalAssistError
├── APIStatusError                 an answer of the API, with its status
│   ├── BadRequestError       400
│   ├── NotFoundError         404
│   └── InternalServerError   500
├── HomeError                      the data folder cannot be used
├── ModelError                     a model cannot be used
│   ├── ModelFileError             missing, truncated, not a GGUF, no chat template
│   ├── ModelTooLargeError         more memory than the machine has free
│   ├── ModelFetchError            the packages that carry the weights could not be had
│   └── ContextOverflowError       a prompt that no context of this model can hold
├── SandboxError                   code cannot be confined, so it is not run
├── MissingPackageError            the installation lacks a package
└── ClosedError                    the client was closed
"""

from __future__ import annotations


class LocalAssistError(Exception):
    """Base of every error that localassist raises.

    Attributes:
        status: HTTP status that the API would answer with.
        type: the API's error type, for example `invalid_request_error`.
        code: the API's error code, or None.
        param: the parameter at fault, as a path like `messages[0].content`, or None.
        hint: what to do about it, or None where the message already says it.
    """

    status: int = 500
    type: str = "server_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message if hint is None else f"{message} {hint}")
        self.message = message
        self.code = code
        self.param = param
        self.hint = hint

    @property
    def body(self) -> dict[str, str | None]:
        """The inner object of the API's error answer."""
        return {
            "message": str(self),
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }


class APIStatusError(LocalAssistError):
    """An answer of the API other than success."""

    @property
    def status_code(self) -> int:
        """The name that the openai SDK gives `status`."""
        return self.status


class BadRequestError(APIStatusError):
    """The request cannot be carried out as it stands; nothing was changed."""

    status = 400
    type = "invalid_request_error"


class NotFoundError(APIStatusError):
    """No such object."""

    status = 404
    type = "invalid_request_error"


class InternalServerError(APIStatusError):
    """Something in localassist went wrong."""


class HomeError(LocalAssistError):
    """The data folder cannot be used: a file, read-only, full, locked or too new."""


class ModelError(LocalAssistError):
    """A model cannot be used."""


class ModelFileError(ModelError):
    """The file of a model is missing, truncated, not a GGUF or lacks what a chat needs."""


class ModelTooLargeError(ModelError):
    """The model needs more memory than is free."""


class ModelFetchError(ModelError):
    """The packages that carry a model's weights could not be fetched."""


class ContextOverflowError(ModelError):
    """The prompt is longer than the model's context."""

    status = 400
    type = "invalid_request_error"


class SandboxError(LocalAssistError):
    """Code cannot be confined on this machine, or its sandbox has failed."""


class MissingPackageError(LocalAssistError):
    """A package of the installation is missing or broken."""


class ClosedError(LocalAssistError):
    """The client was closed."""
