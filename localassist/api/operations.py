"""The table of operations: what every face offers, and nothing else."""

from __future__ import annotations

from localassist.api import (
    assistants,
    attached_files,
    chat,
    embeddings,
    file_batches,
    files,
    messages,
    models,
    run_steps,
    runs,
    threads,
    vector_store_files,
    vector_stores,
)
from localassist.api.operation import Operation

_THREAD = "/threads/{thread_id}"
_RUN = _THREAD + "/runs/{run_id}"
_MESSAGES = _THREAD + "/messages"
_MESSAGE = _MESSAGES + "/{message_id}"
_FILE = "/files/{file_id}"
_STORE = "/vector_stores/{vector_store_id}"
_STORE_FILE = _STORE + "/files/{file_id}"
_BATCH = _STORE + "/file_batches/{batch_id}"
_ASSISTANT = "/assistants/{assistant_id}"

OPERATIONS: tuple[Operation, ...] = (
    Operation("beta.assistants.create", "POST", "/assistants", assistants.create_assistant),
    Operation("beta.assistants.list", "GET", "/assistants", assistants.list_assistants),
    Operation("beta.assistants.retrieve", "GET", _ASSISTANT, assistants.retrieve_assistant),
    Operation("beta.assistants.update", "POST", _ASSISTANT, assistants.update_assistant),
    Operation("beta.assistants.delete", "DELETE", _ASSISTANT, assistants.delete_assistant),
    Operation(
        "beta.assistants.files.create", "POST", _ASSISTANT + "/files",
        attached_files.create_assistant_file,
    ),
    Operation(
        "beta.assistants.files.list", "GET", _ASSISTANT + "/files",
        attached_files.list_assistant_files,
    ),
    Operation(
        "beta.assistants.files.retrieve", "GET", _ASSISTANT + "/files/{file_id}",
        attached_files.retrieve_assistant_file,
    ),
    Operation(
        "beta.assistants.files.delete", "DELETE", _ASSISTANT + "/files/{file_id}",
        attached_files.delete_assistant_file,
    ),
    Operation(
        "beta.threads.messages.files.list", "GET", _MESSAGE + "/files",
        attached_files.list_message_files,
    ),
    Operation(
        "beta.threads.messages.files.retrieve", "GET", _MESSAGE + "/files/{file_id}",
        attached_files.retrieve_message_file,
    ),
    Operation("beta.threads.create", "POST", "/threads", threads.create_thread),
    Operation("beta.threads.retrieve", "GET", _THREAD, threads.retrieve_thread),
    Operation("beta.threads.update", "POST", _THREAD, threads.update_thread),
    Operation("beta.threads.delete", "DELETE", _THREAD, threads.delete_thread),
    Operation("beta.threads.create_and_run", "POST", "/threads/runs", runs.create_thread_and_run),
    Operation(
        "beta.threads.create_and_run_stream", "POST", "/threads/runs", runs.stream_thread_and_run,
        streams=True,
    ),
    Operation("beta.threads.messages.create", "POST", _MESSAGES, messages.create_message),
    Operation("beta.threads.messages.list", "GET", _MESSAGES, messages.list_messages),
    Operation("beta.threads.messages.retrieve", "GET", _MESSAGE, messages.retrieve_message),
    Operation("beta.threads.messages.update", "POST", _MESSAGE, messages.update_message),
    Operation("beta.threads.messages.delete", "DELETE", _MESSAGE, messages.delete_message),
    Operation("beta.threads.runs.create", "POST", _THREAD + "/runs", runs.create_run),
    Operation(
        "beta.threads.runs.stream", "POST", _THREAD + "/runs", runs.stream_run, streams=True
    ),
    Operation("beta.threads.runs.join", "GET", _RUN + "/events", runs.join_run),
    Operation("beta.threads.runs.list", "GET", _THREAD + "/runs", runs.list_runs),
    Operation("beta.threads.runs.retrieve", "GET", _RUN, runs.retrieve_run),
    Operation("beta.threads.runs.update", "POST", _RUN, runs.update_run),
    Operation("beta.threads.runs.cancel", "POST", _RUN + "/cancel", runs.cancel_run),
    Operation(
        "beta.threads.runs.submit_tool_outputs", "POST", _RUN + "/submit_tool_outputs",
        runs.submit_tool_outputs,
    ),
    Operation(
        "beta.threads.runs.submit_tool_outputs_stream", "POST", _RUN + "/submit_tool_outputs",
        runs.stream_tool_outputs, streams=True,
    ),
    Operation("beta.threads.runs.steps.list", "GET", _RUN + "/steps", run_steps.list_run_steps),
    Operation(
        "beta.threads.runs.steps.retrieve", "GET", _RUN + "/steps/{step_id}",
        run_steps.retrieve_run_step,
    ),
    Operation("files.create", "POST", "/files", files.create_file),
    Operation("files.list", "GET", "/files", files.list_files),
    Operation("files.retrieve", "GET", _FILE, files.retrieve_file),
    Operation("files.delete", "DELETE", _FILE, files.delete_file),
    Operation("files.content", "GET", _FILE + "/content", files.file_content),
    Operation("vector_stores.create", "POST", "/vector_stores", vector_stores.create_vector_store),
    Operation("vector_stores.list", "GET", "/vector_stores", vector_stores.list_vector_stores),
    Operation("vector_stores.retrieve", "GET", _STORE, vector_stores.retrieve_vector_store),
    Operation("vector_stores.update", "POST", _STORE, vector_stores.update_vector_store),
    Operation("vector_stores.delete", "DELETE", _STORE, vector_stores.delete_vector_store),
    Operation(
        "vector_stores.search", "POST", _STORE + "/search", vector_stores.search_vector_store
    ),
    Operation(
        "vector_stores.files.create", "POST", _STORE + "/files",
        vector_store_files.create_vector_store_file,
    ),
    Operation(
        "vector_stores.files.list", "GET", _STORE + "/files",
        vector_store_files.list_vector_store_files,
    ),
    Operation(
        "vector_stores.files.retrieve", "GET", _STORE_FILE,
        vector_store_files.retrieve_vector_store_file,
    ),
    Operation(
        "vector_stores.files.update", "POST", _STORE_FILE,
        vector_store_files.update_vector_store_file,
    ),
    Operation(
        "vector_stores.files.delete", "DELETE", _STORE_FILE,
        vector_store_files.delete_vector_store_file,
    ),
    Operation(
        "vector_stores.files.content", "GET", _STORE_FILE + "/content",
        vector_store_files.vector_store_file_content,
    ),
    Operation(
        "vector_stores.file_batches.create", "POST", _STORE + "/file_batches",
        file_batches.create_file_batch,
    ),
    Operation(
        "vector_stores.file_batches.retrieve", "GET", _BATCH, file_batches.retrieve_file_batch
    ),
    Operation(
        "vector_stores.file_batches.cancel", "POST", _BATCH + "/cancel",
        file_batches.cancel_file_batch,
    ),
    Operation(
        "vector_stores.file_batches.list_files", "GET", _BATCH + "/files",
        file_batches.list_file_batch_files,
    ),
    Operation("models.list", "GET", "/models", models.list_models),
    Operation("models.retrieve", "GET", "/models/{model}", models.retrieve_model),
    Operation("chat.completions.create", "POST", "/chat/completions", chat.create_chat_completion),
    Operation(
        "chat.completions.create_stream", "POST", "/chat/completions",
        chat.stream_chat_completion, streams=True,
    ),
    Operation("embeddings.create", "POST", "/embeddings", embeddings.create_embeddings),
)  # fmt: skip

BY_HANDLER = {operation.handler: operation for operation in OPERATIONS}
