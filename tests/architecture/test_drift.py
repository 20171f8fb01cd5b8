"""Drift: every method of the installed openai SDK has a route, and takes what our operation takes.

The differences are literal. One that is gone must be struck out here: the lists only shrink.
"""

from __future__ import annotations

import inspect
import warnings

import httpx2
import openai
import pytest
from openai.types import (
    CreateEmbeddingResponse,
    FileObject,
    Model,
    VectorStore,
    VectorStoreDeleted,
    VectorStoreSearchResponse,
)
from openai.types.beta import Assistant, AssistantDeleted, Thread
from openai.types.beta.threads import FileCitationAnnotation, Message, Run
from openai.types.beta.threads.runs import RunStep
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch

from localassist.api.operations import OPERATIONS
from localassist.http import routes
from localassist.http.message import Request
from localassist.types import (
    _base,
    assistant,
    chat_completion,
    embedding,
    file,
    message,
    model,
    run,
    run_step,
    thread,
    vector_store,
)

RESOURCES = (
    "beta.assistants", "beta.threads", "beta.threads.messages", "beta.threads.runs",
    "beta.threads.runs.steps", "files", "vector_stores", "vector_stores.files",
    "vector_stores.file_batches", "models", "chat.completions", "embeddings",
)  # fmt: skip
# Models are files on the disk; completions are not kept, so there is nothing to list or change.
NOT_SERVED = {
    "models.delete", "chat.completions.list", "chat.completions.retrieve",
    "chat.completions.update", "chat.completions.delete",
}  # fmt: skip
# Not the SDK's: the first generation's files, a stream that it asks for with `stream=True`, and the
# events of a run that another one has begun.
OURS = {
    "beta.assistants.files.create", "beta.assistants.files.list", "beta.assistants.files.retrieve",
    "beta.assistants.files.delete", "beta.threads.messages.files.list",
    "beta.threads.messages.files.retrieve", "beta.threads.runs.join",
    "chat.completions.create_stream",
}  # fmt: skip
OPTIONS = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}

SDK_ONLY = {
    "beta.threads.create_and_run_stream": {"event_handler"},
    "beta.threads.runs.stream": {"event_handler"},
    "beta.threads.runs.submit_tool_outputs_stream": {"event_handler"},
    "chat.completions.create": {
        "audio", "function_call", "functions", "logit_bias", "modalities", "moderation",
        "prediction", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "safety_identifier", "top_logprobs", "verbosity", "web_search_options",
    },
}  # fmt: skip
OURS_ONLY = {
    "beta.assistants.create": {"file_ids"},
    "beta.assistants.update": {"file_ids"},
    "beta.threads.messages.create": {"file_ids"},
    "beta.threads.create_and_run_stream": {"stream"},
    "beta.threads.runs.stream": {"stream"},
    "beta.threads.runs.submit_tool_outputs_stream": {"stream"},
}
GIVEN = {
    "tools": [], "messages": [], "tool_outputs": [], "files": [b"a"], "file_ids": ["file-a"],
    "file": b"a", "metadata": {}, "attributes": {}, "input": "a", "expires_after": {},
}  # fmt: skip
# Enough for every helper that waits: whatever it looks at is done.
ANSWER = {
    "id": "file-a", "status": "completed", "file_counts": {"in_progress": 0}, "choices": [],
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "thread_id": "thread_a", "vector_store_id": "vs_a",
}  # fmt: skip


def resource_of(client, name):
    for part in name.split("."):
        client = getattr(client, part)
    return client


def sdk_methods():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client = openai.OpenAI(api_key="none")
        for resource in RESOURCES:
            kind = type(resource_of(client, resource))
            for name, function in inspect.getmembers(kind, inspect.isfunction):
                if not name.startswith("_"):
                    yield f"{resource}.{name}", function


METHODS = dict(sdk_methods())


class Recorder:
    """An HTTP library's transport that keeps what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, request):
        path, _, query = request.url.raw_path.decode().partition("?")
        self.asked.append(Request(request.method, path, query))
        status = {"status": "processed"} if path.startswith("/v1/files/") else {}
        return httpx2.Response(200, json={**ANSWER, **status})


def dummies(function):
    """Arguments for what a method requires, by its name."""
    return {
        name: GIVEN.get(name, f"{name}_a")
        for name, each in inspect.signature(function).parameters.items()
        if name not in OPTIONS and (each.default is each.empty or name == "file_ids")
    }


def asked_by(name):
    """The requests of a method."""
    recorder = Recorder()
    http = httpx2.Client(transport=httpx2.MockTransport(recorder))
    with (
        warnings.catch_warnings(),
        openai.OpenAI(api_key="none", http_client=http, max_retries=0) as client,
    ):
        warnings.simplefilter("ignore", DeprecationWarning)
        resource, _, method = name.rpartition(".")
        result = getattr(resource_of(client, resource), method)(**dummies(METHODS[name]))
        if hasattr(result, "__enter__"):  # a stream asks when it is entered
            with result:
                pass
    return recorder.asked


@pytest.mark.parametrize("name", METHODS)
def test_a_route_serves_every_method(name):
    asked = asked_by(name)
    assert asked
    served = [each.method in routes.match(each.segments()).routes for each in asked]
    assert all(served) != (name in NOT_SERVED), [each.path for each in asked]


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.name not in OURS], ids=lambda each: each.name
)
def test_a_method_asks_for_its_own_operation(operation):
    (request,) = asked_by(operation.name)
    route = routes.match(request.segments()).routes[request.method]
    assert (route.stream if operation.streams else route.plain) is operation


def test_the_lists_name_what_there_is():
    names = {each.name for each in OPERATIONS}
    assert names >= OURS | SDK_ONLY.keys() | OURS_ONLY.keys()
    assert METHODS.keys() >= NOT_SERVED
    assert not names & NOT_SERVED
    assert names - OURS <= METHODS.keys()
    assert not OURS & METHODS.keys()


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.name not in OURS], ids=lambda each: each.name
)
def test_a_method_and_its_operation_take_the_same(operation):
    theirs = inspect.signature(METHODS[operation.name]).parameters.keys() - OPTIONS
    ours = operation.params.keys()
    assert theirs - ours == SDK_ONLY.get(operation.name, set())
    assert ours - theirs == OURS_ONLY.get(operation.name, set())


# The fields of v2: what the SDK declares and we do not print, and the other way round.
FIELDS = [
    (Assistant, assistant.Assistant, set(), {"reasoning_effort"}),
    (AssistantDeleted, _base.Deleted, set(), set()),
    (Thread, thread.Thread, set(), set()),
    (Message, message.Message, set(), set()),
    (Run, run.Run, set(), {"reasoning_effort", "truncation"}),
    (RunStep, run_step.RunStep, set(), set()),
    (FileObject, file.FileObject, set(), set()),
    (FileCitationAnnotation, message.FileCitationAnnotation, set(), set()),
    (VectorStore, vector_store.VectorStore, set(), {"description"}),
    (VectorStoreDeleted, _base.Deleted, set(), set()),
    (VectorStoreFile, vector_store.VectorStoreFile, set(), {"progress"}),
    (VectorStoreFileBatch, vector_store.FileBatch, set(), set()),
    (VectorStoreSearchResponse, vector_store.SearchResult, set(), {"page"}),
    (Model, model.ModelObject, {"shutdown_date"}, set()),
    (
        ChatCompletion, chat_completion.ChatCompletion,
        {"service_tier", "moderation", "metadata"}, set(),
    ),
    (
        ChatCompletionChunk, chat_completion.ChatCompletionChunk,
        {"service_tier", "moderation", "obfuscation"}, set(),
    ),
    (
        ChatCompletionMessage, chat_completion.ChatCompletionMessage,
        {"annotations", "audio", "function_call"}, set(),
    ),
    (CreateEmbeddingResponse, embedding.CreateEmbeddingResponse, set(), set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sdk", "own", "sdk_only", "own_only"), FIELDS, ids=[each[0].__name__ for each in FIELDS]
)
def test_an_object_has_the_fields_of_its_class(sdk, own, sdk_only, own_only):
    ours = own.model_fields.keys() - _base._hidden_fields(own, "v2")
    assert sdk.model_fields.keys() - ours == sdk_only
    assert ours - sdk.model_fields.keys() == own_only
