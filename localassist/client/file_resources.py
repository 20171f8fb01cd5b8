"""The resources of the sync client that are about files and vector stores."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from localassist.api import file_batches, files, vector_store_files, vector_stores
from localassist.client.bind import Resource, list_method, method
from localassist.client.content import FileContent
from localassist.client.polling import wait_for_index
from localassist.client.progress import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from typing_extensions import Unpack

    from localassist.types.file import FileObject
    from localassist.types.params import RequestOptions
    from localassist.types.search_params import (
        FileBatchCreateParams,
        StoreUploadParams,
        VectorStoreFileCreateParams,
    )
    from localassist.types.vector_store import FileBatch, VectorStoreFile


class Files(Resource):
    """`client.files`."""

    create = method(files.create_file)
    retrieve = method(files.retrieve_file)
    delete = method(files.delete_file)
    list = list_method(files.list_files)
    _content = method(files.file_content)

    def content(self, file_id: str, **options: Unpack[RequestOptions]) -> FileContent:
        """Return a file's bytes."""
        return FileContent(self._content(file_id, **options))

    def retrieve_content(self, file_id: str, **options: Unpack[RequestOptions]) -> str:
        """Return a file's text; the openai SDK's older name."""
        return self.content(file_id, **options).text

    def wait_for_processing(self, id: str, **_options: Any) -> FileObject:  # the SDK's
        """Return the file, which is processed as soon as it is there."""
        return self.retrieve(id)


class VectorStoreFiles(Resource):
    """`client.vector_stores.files`."""

    create = method(vector_store_files.create_vector_store_file)
    retrieve = method(vector_store_files.retrieve_vector_store_file)
    update = method(vector_store_files.update_vector_store_file)
    delete = method(vector_store_files.delete_vector_store_file)
    list = list_method(vector_store_files.list_vector_store_files)
    content = method(vector_store_files.vector_store_file_content)

    def poll(
        self,
        file_id: str,
        vector_store_id: str,
        *,
        progress: Callable[[VectorStoreFile], None] | bool | None = None,
        **_options: Any,
    ) -> VectorStoreFile:
        """Return the file once it is indexed or cannot be.

        `progress` is told in between: a function is called with the file, True shows a bar.
        """
        with told(progress=progress) as tell:

            def find() -> VectorStoreFile:
                file = self.retrieve(file_id, vector_store_id)
                tell(file)
                return file

            return wait_for_index(self._runtime, find, lambda file: file.status != "in_progress")

    def create_and_poll(
        self,
        vector_store_id: str,
        *,
        poll_interval_ms: int | None = None,
        progress: Callable[[VectorStoreFile], None] | bool | None = None,
        **params: Unpack[VectorStoreFileCreateParams],
    ) -> VectorStoreFile:
        """Put a file into a vector store and return it once it is indexed or cannot be."""
        made = self.create(vector_store_id, **params)
        return self.poll(made.id, vector_store_id, progress=progress)

    def upload(
        self, vector_store_id: str, *, file: Any, **params: Unpack[StoreUploadParams]
    ) -> VectorStoreFile:
        """Upload a file and put it into a vector store."""
        uploaded = Files(self._runtime).create(file=file, purpose="assistants")
        return self.create(vector_store_id, file_id=uploaded.id, **params)

    def upload_and_poll(
        self,
        vector_store_id: str,
        *,
        file: Any,
        poll_interval_ms: int | None = None,
        progress: Callable[[VectorStoreFile], None] | bool | None = None,
        **params: Unpack[StoreUploadParams],
    ) -> VectorStoreFile:
        """Upload a file, put it into a vector store and return it once it is indexed."""
        made = self.upload(vector_store_id, file=file, **params)
        return self.poll(made.id, vector_store_id, progress=progress)


class FileBatches(Resource):
    """`client.vector_stores.file_batches`."""

    create = method(file_batches.create_file_batch)
    retrieve = method(file_batches.retrieve_file_batch)
    cancel = method(file_batches.cancel_file_batch)
    list_files = list_method(file_batches.list_file_batch_files)

    def poll(self, batch_id: str, vector_store_id: str, **_options: Any) -> FileBatch:
        """Return the batch once none of its files is being indexed."""
        return wait_for_index(
            self._runtime,
            lambda: self.retrieve(batch_id, vector_store_id),
            lambda batch: not batch.file_counts.in_progress,
        )

    def create_and_poll(
        self,
        vector_store_id: str,
        *,
        poll_interval_ms: int | None = None,
        **params: Unpack[FileBatchCreateParams],
    ) -> FileBatch:
        """Put files into a vector store and return the batch once they are indexed."""
        made = self.create(vector_store_id, **params)
        return self.poll(made.id, vector_store_id)

    def upload_and_poll(
        self,
        vector_store_id: str,
        *,
        files: Iterable[Any],
        file_ids: Sequence[str] = (),
        max_concurrency: int = 5,
        poll_interval_ms: int | None = None,
        **params: Unpack[StoreUploadParams],
    ) -> FileBatch:
        """Upload files, put them into a vector store and return the batch once indexed."""
        uploads = Files(self._runtime)
        uploaded = [uploads.create(file=file, purpose="assistants").id for file in files]
        return self.create_and_poll(vector_store_id, file_ids=[*file_ids, *uploaded], **params)


class VectorStores(Resource):
    """`client.vector_stores`."""

    create = method(vector_stores.create_vector_store)
    retrieve = method(vector_stores.retrieve_vector_store)
    update = method(vector_stores.update_vector_store)
    delete = method(vector_stores.delete_vector_store)
    list = list_method(vector_stores.list_vector_stores)
    search = method(vector_stores.search_vector_store)

    @cached_property
    def files(self) -> VectorStoreFiles:
        """The files of vector stores."""
        return VectorStoreFiles(self._runtime)

    @cached_property
    def file_batches(self) -> FileBatches:
        """Files that are put into vector stores together."""
        return FileBatches(self._runtime)
