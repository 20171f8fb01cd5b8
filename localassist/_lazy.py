"""Heavy packages are imported at first use; one that is missing is named with its pip line."""

from __future__ import annotations

import importlib
from typing import Any

from localassist.errors import MissingPackageError


def require(module: str, *, package: str) -> Any:
    """Import `module`, which the distribution `package` provides.

    Raises:
        MissingPackageError: it cannot be imported; the message has the pip line.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:  # its libraries may not be loadable
        raise MissingPackageError(
            f"'{module}' cannot be imported ({error}).",
            code="missing_package",
            hint=f"Install it with: pip install '{package}'",
        ) from error
