"""FileContent: the bytes of a file, with the methods that the openai SDK's answer has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


class FileContent:
    """Bytes that were read."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @property
    def text(self) -> str:
        """As UTF-8; what is not is replaced."""
        return self.content.decode("utf-8", "replace")

    def read(self) -> bytes:
        """All bytes."""
        return self.content

    def json(self) -> Any:
        """What its JSON says."""
        return json.loads(self.content)

    def iter_bytes(self, chunk_size: int = 65536) -> Iterator[bytes]:
        """The bytes in pieces."""
        for start in range(0, len(self.content), chunk_size):
            yield self.content[start : start + chunk_size]

    def write_to_file(self, file: str | os.PathLike[str]) -> None:
        """Save it under a name."""
        Path(file).write_bytes(self.content)

    stream_to_file = write_to_file
