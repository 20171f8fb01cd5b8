"""FileObject: a document that was uploaded, or that code wrote."""

from __future__ import annotations

from typing import Annotated, Literal

from localassist.types._base import In, Model


class FileObject(Model):
    """A file. Its bytes are had by `files.content`."""

    id: str
    bytes: int
    created_at: int
    filename: str
    object: Literal["file"] = "file"
    purpose: str
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | None = None
    expires_at: Annotated[int | None, In("v2")] = None


class StoredFile(Model):
    """A file as it is stored, with the hash of its content."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    expires_at: int | None = None
    sha256: str

    def shown(self) -> FileObject:
        """The API's object."""
        return FileObject(**self.model_dump(exclude={"sha256"}))


class FileDeleted(Model):
    """The answer to a deletion of a file."""

    id: str
    deleted: bool = True
    object: Literal["file"] = "file"
