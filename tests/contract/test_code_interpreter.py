"""The code interpreter in a run: real kernels in a real sandbox, a scripted model."""

from __future__ import annotations

import json
import re
import sys
import threading
import time

import pytest

from localassist import BadRequestError, Client, ScriptedBackend, Settings
from localassist.api.runtime import Runtime

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are Linux's"),
    pytest.mark.timeout(180),
]

CODE = {"type": "code_interpreter"}
SHOWN = "Output of the code:"


def coding(code, *, fix=None, answer="Done."):
    """A model that writes code, and `fix(error)` where it is told to correct it."""

    def reply(text):
        if not text.startswith(SHOWN):
            return f"```python\n{code}\n```"
        if "Correct the code" in text and fix is not None:
            return f"```python\n{fix(text)}\n```"
        return answer

    return reply


def run_on(client, thread=None, *, tools=(CODE,), text="go", **params):
    assistant = client.beta.assistants.create(model="gpt-4", tools=list(tools))
    if thread is None:
        thread = client.beta.threads.create(messages=[{"role": "user", "content": text}])
    else:
        client.beta.threads.messages.create(thread.id, role="user", content=text)
    run = client.beta.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id, **params)
    return thread, run


def steps_of(client, run):
    return client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc").data


def codes_of(client, run):
    return [
        step.step_details.tool_calls[0].code_interpreter
        for step in steps_of(client, run)
        if step.type == "tool_calls"
    ]


def last_text(client, run):
    return client.beta.threads.messages.list(run.thread_id).data[0].text


def test_code_is_run_and_its_output_told(home):
    with Client(
        home, backend=ScriptedBackend(coding("print(6 * 7)", answer="It is 42."))
    ) as client:
        _, run = run_on(client)
        assert (run.status, run.last_error) == ("completed", None)
        code_step, message_step = steps_of(client, run)
        (call,) = code_step.step_details.tool_calls
        assert call.type == "code_interpreter"
        assert call.id.startswith("call_")
        assert call.code_interpreter.input == "print(6 * 7)"
        assert [output.model_dump() for output in call.code_interpreter.outputs] == [
            {"logs": "42", "type": "logs"}
        ]
        assert (code_step.status, message_step.type) == ("completed", "message_creation")
        assert code_step.metadata["sandbox"] in ("ns", "bwrap", "landlock")
        assert last_text(client, run) == "It is 42."
        assert run.usage.total_tokens == sum(
            step.usage.total_tokens for step in steps_of(client, run)
        )


def test_the_documents_shape_of_a_step(home):
    with Client(home, backend=ScriptedBackend(coding("[1, 2]"))) as client:
        _, run = run_on(client)
        details = json.loads(steps_of(client, run)[0].step_details.model_dump_json())
        details["tool_calls"][0]["id"] = "call_"
        assert json.dumps(details) == json.dumps(
            {
                "tool_calls": [
                    {
                        "id": "call_",
                        "code_interpreter": {
                            "input": "[1, 2]",
                            "outputs": [{"logs": "[1, 2]", "type": "logs"}],
                        },
                        "type": "code_interpreter",
                    }
                ],
                "type": "tool_calls",
            }
        )


def test_variables_live_on_across_runs_of_a_thread_and_no_further(home):
    codes = {"one": "x = 41", "two": "x + 1"}

    def reply(text):
        return f"```python\n{codes[text]}\n```" if text in codes else "Done."

    with Client(home, backend=ScriptedBackend(reply)) as client:
        thread, _ = run_on(client, text="one")
        _, second = run_on(client, thread, text="two")
        assert codes_of(client, second)[0].outputs[0].logs == "42"
        _, other = run_on(client, text="two")
        assert "NameError" in codes_of(client, other)[0].outputs[0].logs


def test_an_error_is_handed_back_and_corrected(home):
    with Client(home, backend=ScriptedBackend(coding("1 / 0", fix=lambda _: "1 / 4"))) as client:
        _, run = run_on(client)
        wrong, right = codes_of(client, run)
        assert "ZeroDivisionError" in wrong.outputs[0].logs
        assert right.outputs[0].logs == "0.25"
        assert [step.status for step in steps_of(client, run)] == ["completed"] * 3


def test_a_model_that_never_gets_it_right_has_to_answer(home):
    def worse(text):
        return f"{re.search('(x+). is not defined', text)[1]}x"

    reply = coding("x", fix=worse, answer="I could not.")
    with Client(home, backend=ScriptedBackend(reply)) as client:
        _, run = run_on(client)
        assert run.status == "completed"
        assert len(codes_of(client, run)) == 3
        assert last_text(client, run)


def test_words_before_the_code_are_a_message_of_their_own(home):
    def reply(text):
        return "Done." if text.startswith(SHOWN) else "Let me see.\n```python\n1\n```"

    with Client(home, backend=ScriptedBackend(reply)) as client:
        _, run = run_on(client)
        assert [step.type for step in steps_of(client, run)] == [
            "message_creation",
            "tool_calls",
            "message_creation",
        ]
        texts = [m.text for m in client.beta.threads.messages.list(run.thread_id).data]
        assert texts == ["Done.", "Let me see.\n", "go"]


def test_an_answer_without_code_is_only_a_message(home):
    with Client(home, backend=ScriptedBackend(lambda _: "Use `x` here.")) as client:
        _, run = run_on(client)
        assert [step.type for step in steps_of(client, run)] == ["message_creation"]
        assert last_text(client, run) == "Use `x` here."


def test_code_is_only_shown_where_none_may_be_run(home):
    block = "```python\n1\n```"
    with Client(home, backend=ScriptedBackend(lambda _: block)) as client:
        for params in ({"tools": ()}, {"tool_choice": "none"}):
            _, run = run_on(client, **params)
            assert last_text(client, run) == block


def test_a_forced_choice_writes_code_at_once(home):
    # A model that would answer in words: its first token is written for it.
    def reply(text):
        return "Done." if text.startswith(SHOWN) else "```python\n5\n```"

    with Client(home, backend=ScriptedBackend(reply)) as client:
        _, run = run_on(client, tool_choice=CODE)
        assert codes_of(client, run)[0].outputs[0].logs == "5"
        assert run.status == "completed"


def test_the_step_is_there_while_the_code_runs_and_a_cancel_ends_it(home):
    with Client(home, backend=ScriptedBackend(coding("import time\ntime.sleep(600)"))) as client:
        assistant = client.beta.assistants.create(model="gpt-4", tools=[CODE])
        run = client.beta.threads.create_and_run(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "go"}]},
        )
        deadline = time.monotonic() + 60
        while not (found := codes_of(client, run)) or not found[0].input:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (step,) = steps_of(client, run)
        assert (step.status, found[0].outputs) == ("in_progress", [])
        client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
        ended = client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)
        assert ended.status == "cancelled"
        assert steps_of(client, run)[0].status == "cancelled"


def test_input_and_output_are_streamed(home):
    with Client(home, backend=ScriptedBackend(coding("print(1)\nprint(2)"))) as client:
        assistant = client.beta.assistants.create(model="gpt-4", tools=[CODE])
        with client.beta.threads.create_and_run_stream(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "go"}]},
        ) as stream:
            events = list(stream)
        names = [event.event for event in events]
        deltas = [
            event.data.delta.step_details["tool_calls"][0]["code_interpreter"]
            for event in events
            if event.event == "thread.run.step.delta"
        ]
        assert deltas[0] == {"input": "", "outputs": []}
        assert "".join(delta.get("input", "") for delta in deltas) == "print(1)\nprint(2)"
        assert deltas[-1] == {"outputs": [{"index": 0, "logs": "1\n2", "type": "logs"}]}
        assert names.index("thread.run.step.completed") < names.index("thread.message.created")
        assert names[-1] == "thread.run.completed"


def test_two_threads_run_code_side_by_side(home):
    with Client(home, backend=ScriptedBackend(coding("import time\ntime.sleep(0.5)\n7"))) as client:
        done = []
        workers = [
            threading.Thread(target=lambda: done.append(run_on(client)[1])) for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for run in done:
            assert codes_of(client, run)[0].outputs[0].logs == "7"


def test_json_formats_are_refused_beside_the_tool(client):
    with pytest.raises(BadRequestError, match="all tools must be of type `function`"):
        client.beta.assistants.create(
            model="gpt-4", tools=[CODE], response_format={"type": "json_object"}
        )


def test_a_choice_of_code_without_the_tool_is_refused(client, assistant, thread):
    with pytest.raises(BadRequestError, match="code_interpreter"):
        client.beta.threads.runs.create(thread.id, assistant_id=assistant.id, tool_choice=CODE)


# --- files ---


def uploaded(client, name, data):
    return client.files.create(file=(name, data), purpose="assistants")


def test_code_sees_what_assistant_and_thread_have_attached(home):
    code = "print(sorted(__import__('os').listdir('/mnt/data')), open('a.csv').read())"
    with Client(home, backend=ScriptedBackend(coding(code))) as client:
        one, two = uploaded(client, "a.csv", b"x,y"), uploaded(client, "b.csv", b"2")
        assistant = client.beta.assistants.create(model="gpt-4", tools=[CODE], file_ids=[one.id])
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "go", "file_ids": [two.id]}]},
        )
        assert codes_of(client, run)[0].outputs[0].logs == "['a.csv', 'b.csv'] x,y"


def test_two_files_of_one_name_and_one_that_was_deleted(home):
    code = "print(sorted(__import__('os').listdir('/mnt/data')))"
    with Client(home, backend=ScriptedBackend(coding(code))) as client:
        files = [uploaded(client, "a.csv", data) for data in (b"1", b"2", b"3")]
        assistant = client.beta.assistants.create(
            model="gpt-4", tools=[CODE], file_ids=[each.id for each in files]
        )
        client.files.delete(files[1].id)
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "go"}]},
        )
        assert codes_of(client, run)[0].outputs[0].logs == str(
            sorted(["a.csv", f"{files[2].id}-a.csv"])
        )


def test_what_code_writes_comes_back_as_a_file_with_its_link(home):
    code = "open('/mnt/data/out é.csv', 'w').write('1,2')"
    answer = "Here: [file](sandbox:/mnt/data/out é.csv) 漢."
    with Client(home, backend=ScriptedBackend(coding(code, answer=answer))) as client:
        _, run = run_on(client)
        message = client.beta.threads.messages.list(run.thread_id).data[0]
        (annotation,) = message.content[0].text.annotations
        start, end = annotation.start_index, annotation.end_index
        assert message.text[start:end] == annotation.text == "sandbox:/mnt/data/out é.csv"
        file = client.files.retrieve(annotation.file_path.file_id)
        assert (file.purpose, file.filename) == ("assistants_output", "out é.csv")
        assert client.files.content(file.id).read() == b"1,2"
        assert message.file_ids == [file.id]
        assert message.attachments == [{"file_id": file.id, "tools": [CODE]}]


def test_a_figure_is_an_image_of_the_step_and_of_the_message(home):
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.show()"
    with Client(home, backend=ScriptedBackend(coding(code))) as client:
        _, run = run_on(client)
        (output,) = codes_of(client, run)[0].outputs
        assert output.type == "image"
        data = client.files.content(output.image.file_id).read()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        message = client.beta.threads.messages.list(run.thread_id).data[0]
        assert [part.type for part in message.content] == ["text", "image_file"]
        assert message.content[1].image_file.file_id == output.image.file_id
        # The next run's prompt takes the figure as a note.
        _, second = run_on(client, client.beta.threads.retrieve(run.thread_id))
        assert second.status == "completed"


def test_files_are_kept_when_the_kernel_is_not(home):
    codes = {
        "one": "open('kept.txt', 'w').write('still here')",
        "two": "import os\nos.kill(os.getpid(), 9)",
        "three": "print(open('kept.txt').read())",
    }

    def reply(text):
        return f"```python\n{codes[text]}\n```" if text in codes else "Done."

    with Client(home, backend=ScriptedBackend(reply)) as client:
        thread, _ = run_on(client, text="one")
        _, died = run_on(client, thread, text="two")
        assert died.status == "completed"
        assert "variables and imports are lost" in codes_of(client, died)[0].outputs[0].logs
        _, after = run_on(client, thread, text="three")
        assert codes_of(client, after)[0].outputs[0].logs == "still here"


def test_without_a_sandbox_only_by_its_long_name_and_marked(home, tmp_path):
    seen = tmp_path / "seen"
    seen.write_text("of the host")
    code = f"print(open({str(seen)!r}).read(), open('/mnt/data/a.csv').read())"
    for name, said in (
        ("sandboxed", "No such file"),
        ("unsandboxed-i-accept-the-risk", "of the host x"),
    ):
        runtime = Runtime(
            Settings(home=home / name, code_interpreter=name),
            backend=ScriptedBackend(coding(code)),
        )
        with Client.of(runtime) as client:
            file = uploaded(client, "a.csv", b"x")
            assistant = client.beta.assistants.create(
                model="gpt-4", tools=[CODE], file_ids=[file.id]
            )
            run = client.beta.threads.create_and_run_poll(
                assistant_id=assistant.id,
                thread={"messages": [{"role": "user", "content": "go"}]},
            )
            assert said in codes_of(client, run)[0].outputs[0].logs
            tier = steps_of(client, run)[0].metadata["sandbox"]
            assert (tier == "none") == (name != "sandboxed")
    with pytest.raises(BadRequestError, match="unsandboxed-i-accept-the-risk"):
        Settings(code_interpreter="unsandboxed")


def test_another_process_has_the_files_that_code_has_written(home):
    codes = {
        "one": "open('kept.txt', 'w').write('first')",
        "two": "open('kept.txt', 'w').write('second')",
        "three": "print(open('kept.txt').read())",
    }

    def reply(text):
        return f"```python\n{codes[text]}\n```" if text in codes else "Done."

    with Client(home, backend=ScriptedBackend(reply)) as client:
        thread, _ = run_on(client, text="one")
        run_on(client, thread, text="two")
    with Client(home, backend=ScriptedBackend(reply)) as client:
        _, after = run_on(client, thread, text="three")
        assert codes_of(client, after)[0].outputs[0].logs == "second"
        assert len(client.files.list(purpose="assistants_output").data) == 2


def test_a_deleted_thread_takes_its_kernel_with_it(home):
    runtime = Runtime(Settings(home=home), backend=ScriptedBackend(coding("1")))
    with Client.of(runtime) as client:
        thread, _ = run_on(client)
        assert thread.id in runtime.interpreter._conversations
        client.beta.threads.delete(thread.id)
        assert runtime.interpreter._conversations == {}


def test_words_that_were_held_back_come_before_the_code(home):
    def reply(text):
        return "Done." if text.startswith(SHOWN) else "See [1] and\n[```python\n1\n```"

    step = {"type": "function", "function": {"name": "step"}}
    with Client(home, backend=ScriptedBackend(reply)) as client:
        _, run = run_on(client, tools=(CODE, step))
        texts = [m.text for m in client.beta.threads.messages.list(run.thread_id).data]
        assert texts == ["Done.", "See [1] and\n[", "go"]


def test_rounds_of_code_that_outgrow_a_small_context_end_with_an_answer(home):
    rounds = "print(1) # " + "a long remark " * 20

    def reply(prompt):
        done = prompt.count("Output of the code") + prompt.count("Correct the code")
        return f"```python\n{rounds}{done}\nraise ValueError\n```" if done < 3 else "It fails."

    backend = ScriptedBackend(reply, n_ctx=2600)
    with Client(home, backend=backend) as client:
        _, run = run_on(client)
        assert run.status == "completed", run.last_error
