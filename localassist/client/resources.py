"""The resources of the sync client, under the openai SDK's names."""

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
from localassist.client.bind import (
    Resource,
    chunked_method,
    in_version,
    joinable_stream_method,
    list_method,
    method,
    stream_method,
    streamable_method,
)
from localassist.client.file_resources import VectorStores
from localassist.client.polling import refuse_stream, wait_for_run

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from localassist.types.params import (
        RunCreateParams,
        SubmitToolOutputsParams,
        ThreadRunParams,
    )
    from localassist.types.run import Run


class AssistantFiles(Resource):
    """`client.beta.assistants.files`."""

    create = method(attached_files.create_assistant_file)
    retrieve = method(attached_files.retrieve_assistant_file)
    delete = method(attached_files.delete_assistant_file)
    list = list_method(attached_files.list_assistant_files)


class MessageFiles(Resource):
    """`client.beta.threads.messages.files`."""

    retrieve = method(attached_files.retrieve_message_file)
    list = list_method(attached_files.list_message_files)


class Assistants(Resource):
    """`client.beta.assistants`."""

    create = method(assistants.create_assistant)
    retrieve = method(assistants.retrieve_assistant)
    update = method(assistants.update_assistant)
    delete = method(assistants.delete_assistant)
    list = list_method(assistants.list_assistants)

    @cached_property
    def files(self) -> AssistantFiles:
        """Files of assistants, as the first generation of the API has them."""
        return AssistantFiles(self._runtime)


class Messages(Resource):
    """`client.beta.threads.messages`."""

    create = method(messages.create_message)
    retrieve = method(messages.retrieve_message)
    update = method(messages.update_message)
    delete = method(messages.delete_message)
    list = list_method(messages.list_messages)

    @cached_property
    def files(self) -> MessageFiles:
        """Files of messages, as the first generation of the API has them."""
        return MessageFiles(self._runtime)


class Steps(Resource):
    """`client.beta.threads.runs.steps`."""

    retrieve = method(run_steps.retrieve_run_step)
    list = list_method(run_steps.list_run_steps)


class Runs(Resource):
    """`client.beta.threads.runs`."""

    create = streamable_method(runs.create_run, runs.stream_run)
    stream = joinable_stream_method(runs.stream_run, runs.join_run)
    retrieve = method(runs.retrieve_run)
    update = method(runs.update_run)
    cancel = method(runs.cancel_run)
    submit_tool_outputs = streamable_method(runs.submit_tool_outputs, runs.stream_tool_outputs)
    submit_tool_outputs_stream = stream_method(runs.stream_tool_outputs)
    list = list_method(runs.list_runs)

    @cached_property
    def steps(self) -> Steps:
        """The steps of runs."""
        return Steps(self._runtime)

    def poll(self, run_id: str, thread_id: str, **_options: Any) -> Run:
        """Return the run once it is over or needs an action."""
        self.retrieve(run_id, thread_id)  # refuses what is not a run
        run = wait_for_run(self._runtime, run_id=run_id, thread_id=thread_id)
        in_version(run, self._runtime)
        return run

    def create_and_poll(
        self,
        thread_id: str,
        *,
        poll_interval_ms: int | None = None,
        **params: Unpack[RunCreateParams],
    ) -> Run:
        """Start a run and return it once it is over or needs an action."""
        refuse_stream(params)
        run = self.create(thread_id, **params)
        return self.poll(run.id, thread_id=run.thread_id)

    def submit_tool_outputs_and_poll(
        self,
        run_id: str,
        thread_id: str,
        *,
        poll_interval_ms: int | None = None,
        **params: Unpack[SubmitToolOutputsParams],
    ) -> Run:
        """Hand in outputs and return the run once it is over or needs another action."""
        refuse_stream(params)
        self.submit_tool_outputs(run_id, thread_id, **params)
        return self.poll(run_id, thread_id=thread_id)


class Threads(Resource):
    """`client.beta.threads`."""

    create = method(threads.create_thread)
    retrieve = method(threads.retrieve_thread)
    update = method(threads.update_thread)
    delete = method(threads.delete_thread)
    create_and_run = streamable_method(runs.create_thread_and_run, runs.stream_thread_and_run)
    create_and_run_stream = stream_method(runs.stream_thread_and_run)

    @cached_property
    def messages(self) -> Messages:
        """The messages of threads."""
        return Messages(self._runtime)

    @cached_property
    def runs(self) -> Runs:
        """The runs on threads."""
        return Runs(self._runtime)

    def create_and_run_poll(
        self,
        *,
        poll_interval_ms: int | None = None,
        **params: Unpack[ThreadRunParams],
    ) -> Run:
        """Create a thread, start a run and return it once it is over or needs an action."""
        refuse_stream(params)
        run = self.create_and_run(**params)
        return self.runs.poll(run.id, thread_id=run.thread_id)


class Beta(Resource):
    """`client.beta`."""

    @cached_property
    def assistants(self) -> Assistants:
        """Assistants."""
        return Assistants(self._runtime)

    @cached_property
    def threads(self) -> Threads:
        """Threads."""
        return Threads(self._runtime)

    @cached_property
    def vector_stores(self) -> VectorStores:
        """Vector stores, where older versions of the openai SDK have them."""
        return VectorStores(self._runtime)


class Completions(Resource):
    """`client.chat.completions`."""

    create = chunked_method(chat.create_chat_completion, chat.stream_chat_completion)


class Chat(Resource):
    """`client.chat`."""

    @cached_property
    def completions(self) -> Completions:
        """Chat completions."""
        return Completions(self._runtime)


class Embeddings(Resource):
    """`client.embeddings`."""

    create = method(embeddings.create_embeddings)


class Models(Resource):
    """`client.models`."""

    list = method(models.list_models)
    retrieve = method(models.retrieve_model)
