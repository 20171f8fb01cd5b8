"""The table of operations: what every face offers, and nothing else."""

from __future__ import annotations

from localassist.api import assistants, chat, files, messages, models, run_steps, runs, threads
from localassist.api.operation import Operation

_THREAD = "/threads/{thread_id}"
_RUN = _THREAD + "/runs/{run_id}"
_MESSAGES = _THREAD + "/messages"
_MESSAGE = _MESSAGES + "/{message_id}"
_FILE = "/files/{file_id}"
_ASSISTANT = "/assistants/{assistant_id}"

OPERATIONS: tuple[Operation, ...] = (
    Operation("beta.assistants.create", "POST", "/assistants", assistants.create_assistant),
    Operation("beta.assistants.list", "GET", "/assistants", assistants.list_assistants),
    Operation("beta.assistants.retrieve", "GET", _ASSISTANT, assistants.retrieve_assistant),
    Operation("beta.assistants.update", "POST", _ASSISTANT, assistants.update_assistant),
    Operation("beta.assistants.delete", "DELETE", _ASSISTANT, assistants.delete_assistant),
    Operation("beta.threads.create", "POST", "/threads", threads.create_thread),
    Operation("beta.threads.retrieve", "GET", _THREAD, threads.retrieve_thread),
    Operation("beta.threads.update", "POST", _THREAD, threads.update_thread),
    Operation("beta.threads.delete", "DELETE", _THREAD, threads.delete_thread),
    Operation("beta.threads.create_and_run", "POST", "/threads/runs", runs.create_thread_and_run),
    Operation(
        "beta.threads.create_and_run_stream", "POST", "/threads/runs", runs.stream_thread_and_run
    ),
    Operation("beta.threads.messages.create", "POST", _MESSAGES, messages.create_message),
    Operation("beta.threads.messages.list", "GET", _MESSAGES, messages.list_messages),
    Operation("beta.threads.messages.retrieve", "GET", _MESSAGE, messages.retrieve_message),
    Operation("beta.threads.messages.update", "POST", _MESSAGE, messages.update_message),
    Operation("beta.threads.messages.delete", "DELETE", _MESSAGE, messages.delete_message),
    Operation("beta.threads.runs.create", "POST", _THREAD + "/runs", runs.create_run),
    Operation("beta.threads.runs.stream", "POST", _THREAD + "/runs", runs.stream_run),
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
        runs.stream_tool_outputs,
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
    Operation("models.list", "GET", "/models", models.list_models),
    Operation("models.retrieve", "GET", "/models/{model}", models.retrieve_model),
    Operation("chat.completions.create", "POST", "/chat/completions", chat.create_chat_completion),
)  # fmt: skip

BY_HANDLER = {operation.handler: operation for operation in OPERATIONS}
