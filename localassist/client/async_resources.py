"""The resources of the async client: the same list, for coroutines."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from localassist.api import (
    assistants,
    attached_files,
    chat,
    embeddings,
    messages,
    models,
    run_steps,
    runs,
    threads,
)
from localassist.client.async_file_resources import AsyncVectorStores
from localassist.client.bind import (
    AsyncResource,
    async_chunked_method,
    async_joinable_stream_method,
    async_list_method,
    async_method,
    async_stream_method,
    async_streamable_method,
    in_version,
)
from localassist.client.polling import refuse_stream, wait_for_run_async

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from localassist.types.params import (
        RunCreateParams,
        SubmitToolOutputsParams,
        ThreadRunParams,
    )
    from localassist.types.run import Run


class AsyncAssistantFiles(AsyncResource):
    """`client.beta.assistants.files`."""

    create = async_method(attached_files.create_assistant_file)
    retrieve = async_method(attached_files.retrieve_assistant_file)
    delete = async_method(attached_files.delete_assistant_file)
    list = async_list_method(attached_files.list_assistant_files)


class AsyncMessageFiles(AsyncResource):
    """`client.beta.threads.messages.files`."""

    retrieve = async_method(attached_files.retrieve_message_file)
    list = async_list_method(attached_files.list_message_files)


class AsyncAssistants(AsyncResource):
    """`client.beta.assistants`."""

    create = async_method(assistants.create_assistant)
    retrieve = async_method(assistants.retrieve_assistant)
    update = async_method(assistants.update_assistant)
    delete = async_method(assistants.delete_assistant)
    list = async_list_method(assistants.list_assistants)

    @cached_property
    def files(self) -> AsyncAssistantFiles:
        """Files of assistants, as the first generation of the API has them."""
        return AsyncAssistantFiles(self._runtime, self._pool)


class AsyncMessages(AsyncResource):
    """`client.beta.threads.messages`."""

    create = async_method(messages.create_message)
    retrieve = async_method(messages.retrieve_message)
    update = async_method(messages.update_message)
    delete = async_method(messages.delete_message)
    list = async_list_method(messages.list_messages)

    @cached_property
    def files(self) -> AsyncMessageFiles:
        """Files of messages, as the first generation of the API has them."""
        return AsyncMessageFiles(self._runtime, self._pool)


class AsyncSteps(AsyncResource):
    """`client.beta.threads.runs.steps`."""

    retrieve = async_method(run_steps.retrieve_run_step)
    list = async_list_method(run_steps.list_run_steps)


class AsyncRuns(AsyncResource):
    """`client.beta.threads.runs`."""

    create = async_streamable_method(runs.create_run, runs.stream_run)
    stream = async_joinable_stream_method(runs.stream_run, runs.join_run)
    retrieve = async_method(runs.retrieve_run)
    update = async_method(runs.update_run)
    cancel = async_method(runs.cancel_run)
    submit_tool_outputs = async_streamable_method(
        runs.submit_tool_outputs, runs.stream_tool_outputs
    )
    submit_tool_outputs_stream = async_stream_method(runs.stream_tool_outputs)
    list = async_list_method(runs.list_runs)

    @cached_property
    def steps(self) -> AsyncSteps:
        """The steps of runs."""
        return AsyncSteps(self._runtime, self._pool)

    async def poll(self, run_id: str, thread_id: str, **_options: Any) -> Run:
        """Return the run once it is over or needs an action."""
        run = await wait_for_run_async(
            self._runtime, lambda: self.retrieve(run_id, thread_id), run_id=run_id
        )
        in_version(run, self._runtime)
        return run

    async def create_and_poll(
        self,
        thread_id: str,
        *,
        poll_interval_ms: int | None = None,
        **params: Unpack[RunCreateParams],
    ) -> Run:
        """Start a run and return it once it is over or needs an action."""
        refuse_stream(params)
        run = await self.create(thread_id, **params)
        return await self.poll(run.id, thread_id=run.thread_id)

    async def submit_tool_outputs_and_poll(
        self,
        run_id: str,
        thread_id: str,
        *,
        poll_interval_ms: int | None = None,
        **params: Unpack[SubmitToolOutputsParams],
    ) -> Run:
        """Hand in outputs and return the run once it is over or needs another action."""
        refuse_stream(params)
        await self.submit_tool_outputs(run_id, thread_id, **params)
        return await self.poll(run_id, thread_id=thread_id)


class AsyncThreads(AsyncResource):
    """`client.beta.threads`."""

    create = async_method(threads.create_thread)
    retrieve = async_method(threads.retrieve_thread)
    update = async_method(threads.update_thread)
    delete = async_method(threads.delete_thread)
    create_and_run = async_streamable_method(runs.create_thread_and_run, runs.stream_thread_and_run)
    create_and_run_stream = async_stream_method(runs.stream_thread_and_run)

    @cached_property
    def messages(self) -> AsyncMessages:
        """The messages of threads."""
        return AsyncMessages(self._runtime, self._pool)

    @cached_property
    def runs(self) -> AsyncRuns:
        """The runs on threads."""
        return AsyncRuns(self._runtime, self._pool)

    async def create_and_run_poll(
        self,
        *,
        poll_interval_ms: int | None = None,
        **params: Unpack[ThreadRunParams],
    ) -> Run:
        """Create a thread, start a run and return it once it is over or needs an action."""
        refuse_stream(params)
        run = await self.create_and_run(**params)
        return await self.runs.poll(run.id, thread_id=run.thread_id)


class AsyncBeta(AsyncResource):
    """`client.beta`."""

    @cached_property
    def assistants(self) -> AsyncAssistants:
        """Assistants."""
        return AsyncAssistants(self._runtime, self._pool)

    @cached_property
    def threads(self) -> AsyncThreads:
        """Threads."""
        return AsyncThreads(self._runtime, self._pool)

    @cached_property
    def vector_stores(self) -> AsyncVectorStores:
        """Vector stores, where older versions of the openai SDK have them."""
        return AsyncVectorStores(self._runtime, self._pool)


class AsyncCompletions(AsyncResource):
    """`client.chat.completions`."""

    create = async_chunked_method(chat.create_chat_completion, chat.stream_chat_completion)


class AsyncChat(AsyncResource):
    """`client.chat`."""

    @cached_property
    def completions(self) -> AsyncCompletions:
        """Chat completions."""
        return AsyncCompletions(self._runtime, self._pool)


class AsyncEmbeddings(AsyncResource):
    """`client.embeddings`."""

    create = async_method(embeddings.create_embeddings)


class AsyncModels(AsyncResource):
    """`client.models`."""

    list = async_method(models.list_models)
    retrieve = async_method(models.retrieve_model)
