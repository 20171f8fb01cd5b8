"""The resources of the async client that are about files and vector stores."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from localassist.api import file_batches, files, vector_store_files, vector_stores
from localassist.client.bind import AsyncResource, async_list_method, async_method
from localassist.client.content import FileContent
from localassist.client.polling import wait_for_index_async
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


class AsyncFiles(AsyncResource):
    """`client.files`."""

    create = async_method(files.create_file)
    retrieve = async_method(files.retrieve_file)
    delete = async_method(files.delete_file)
    list = async_list_method(files.list_files)
    _content = async_method(files.file_content)

    async def content(self, file_id: str, **options: Unpack[RequestOptions]) -> FileContent:
        """Return a file's bytes."""
        return FileContent(await self._content(file_id, **options))

    async def retrieve_content(self, file_id: str, **options: Unpack[RequestOptions]) -> str:
        """Return a file's text; the openai SDK's older name."""
        return (await self.content(file_id, **options)).text

    async def wait_for_processing(self, id: str, **_options: Any) -> FileObject:  # the SDK's
        """Return the file, which is processed as soon as it is there."""
        return await self.retrieve(id)


class AsyncVectorStoreFiles(AsyncResource):
    """`client.vector_stores.files`."""

    create = async_method(vector_store_files.create_vector_store_file)
    retrieve = async_method(vector_store_files.retrieve_vector_store_file)
    update = async_method(vector_store_files.update_vector_store_file)
    delete = async_method(vector_store_files.delete_vector_store_file)
    list = async_list_method(vector_store_files.list_vector_store_files)
    content = async_method(vector_store_files.vector_store_file_content)

    async def poll(
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

            async def find() -> VectorStoreFile:
                file = await self.retrieve(file_id, vector_store_id)
                tell(file)
                return file

            return await wait_for_index_async(find, lambda file: file.status != "in_progress")

    async def create_and_poll(
        self,
        vector_store_id: str,
        *,
        poll_interval_ms: int | None = None,
        progress: Callable[[VectorStoreFile], None] | bool | None = None,
        **params: Unpack[VectorStoreFileCreateParams],
    ) -> VectorStoreFile:
        """Put a file into a vector store and return it once it is indexed or cannot be."""
        made = await self.create(vector_store_id, **params)
        return await self.poll(made.id, vector_store_id, progress=progress)

    async def upload(
        self, vector_store_id: str, *, file: Any, **params: Unpack[StoreUploadParams]
    ) -> VectorStoreFile:
        """Upload a file and put it into a vector store."""
        uploaded = await AsyncFiles(self._runtime, self._pool).create(
            file=file, purpose="assistants"
        )
        return await self.create(vector_store_id, file_id=uploaded.id, **params)

    async def upload_and_poll(
        self,
        vector_store_id: str,
        *,
        file: Any,
        poll_interval_ms: int | None = None,
        progress: Callable[[VectorStoreFile], None] | bool | None = None,
        **params: Unpack[StoreUploadParams],
    ) -> VectorStoreFile:
        """Upload a file, put it into a vector store and return it once it is indexed."""
        made = await self.upload(vector_store_id, file=file, **params)
        return await self.poll(made.id, vector_store_id, progress=progress)


class AsyncFileBatches(AsyncResource):
    """`client.vector_stores.file_batches`."""

    create = async_method(file_batches.create_file_batch)
    retrieve = async_method(file_batches.retrieve_file_batch)
    cancel = async_method(file_batches.cancel_file_batch)
    list_files = async_list_method(file_batches.list_file_batch_files)

    async def poll(self, batch_id: str, vector_store_id: str, **_options: Any) -> FileBatch:
        """Return the batch once none of its files is being indexed."""
        return await wait_for_index_async(
            lambda: self.retrieve(batch_id, vector_store_id),
            lambda batch: not batch.file_counts.in_progress,
        )

    async def create_and_poll(
        self,
        vector_store_id: str,
        *,
        poll_interval_ms: int | None = None,
        **params: Unpack[FileBatchCreateParams],
    ) -> FileBatch:
        """Put files into a vector store and return the batch once they are indexed."""
        made = await self.create(vector_store_id, **params)
        return await self.poll(made.id, vector_store_id)

    async def upload_and_poll(
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
        uploads = AsyncFiles(self._runtime, self._pool)
        uploaded = [(await uploads.create(file=file, purpose="assistants")).id for file in files]
        return await self.create_and_poll(
            vector_store_id, file_ids=[*file_ids, *uploaded], **params
        )


class AsyncVectorStores(AsyncResource):
    """`client.vector_stores`."""

    create = async_method(vector_stores.create_vector_store)
    retrieve = async_method(vector_stores.retrieve_vector_store)
    update = async_method(vector_stores.update_vector_store)
    delete = async_method(vector_stores.delete_vector_store)
    list = async_list_method(vector_stores.list_vector_stores)
    search = async_method(vector_stores.search_vector_store)

    @cached_property
    def files(self) -> AsyncVectorStoreFiles:
        """The files of vector stores."""
        return AsyncVectorStoreFiles(self._runtime, self._pool)

    @cached_property
    def file_batches(self) -> AsyncFileBatches:
        """Files that are put into vector stores together."""
        return AsyncFileBatches(self._runtime, self._pool)
