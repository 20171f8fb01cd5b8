from __future__ import annotations

from pathlib import Path

import pytest
from gguf_writer import TEMPLATE, Gguf, llama_values

from localassist.engine.gguf import read_header
from localassist.engine.model_files import (
    ModelFiles,
    check_chat,
    check_memory,
    free_memory_bytes,
    has_context_room,
    is_openai_name,
    memory_bytes,
)
from localassist.errors import BadRequestError, ModelFileError, ModelTooLargeError

QWEN = "qwen2.5-coder-1.5b-instruct"
QWEN_FILE = f"{QWEN}-q4_k_m.gguf"


def refusal(files: ModelFiles, name: str | None) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        files.resolve(name)
    assert caught.value.code == "model_not_found"
    return caught.value


def test_none_is_the_manifests_default(tmp_path):
    Gguf().write(tmp_path / QWEN_FILE)
    found = ModelFiles(tmp_path, default=None).resolve(None)
    assert (found.name, found.path) == (QWEN, tmp_path / QWEN_FILE)
    assert found.sampling.temperature == 0.2
    assert found.header.architecture == "llama"


@pytest.mark.parametrize("default", ["mine", "mine.gguf", "{folder}/mine.gguf"])
def test_the_default_setting_is_a_name_or_a_path(tmp_path, default):
    path = Gguf().write(tmp_path / "mine.gguf")
    files = ModelFiles(tmp_path, default=default.format(folder=tmp_path))
    assert files.resolve(None).path == path


def test_a_default_setting_that_does_not_exist_is_named(tmp_path):
    error = refusal(ModelFiles(tmp_path, default="nope"), None)
    assert "'nope' (setting 'model')" in error.message


def test_a_default_setting_with_a_name_of_openais_is_the_manifests_default(tmp_path):
    Gguf().write(tmp_path / QWEN_FILE)
    assert ModelFiles(tmp_path, default="gpt-4").resolve(None).name == QWEN


@pytest.mark.parametrize("name", [QWEN, "qwen2.5-coder:1.5b", QWEN_FILE, QWEN_FILE[:-5]])
def test_a_known_model_is_found_by_name_alias_and_file(tmp_path, name):
    Gguf().write(tmp_path / QWEN_FILE)
    found = ModelFiles(tmp_path, default=None).resolve(name)
    assert found.name == QWEN
    assert found.entry is not None


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4-1106-preview",
        "gpt-3.5-turbo",
        "chatgpt-4o-latest",
        "o1",
        "o3-mini",
        "ft:gpt-4o:me::1",
    ],
)
def test_names_of_openais_models_are_the_default_model(tmp_path, name):
    path = Gguf().write(tmp_path / "mine.gguf")
    files = ModelFiles(tmp_path, default="mine")
    assert files.resolve(name).path == path
    assert files.knows(name)


@pytest.mark.parametrize("name", ["ollama", "my-gpt-4", "o", "ft:mine", "llama-o1"])
def test_other_names_are_not_openais(name):
    assert not is_openai_name(name)


def test_a_file_beats_openais_names(tmp_path):
    Gguf().write(tmp_path / "mine.gguf")
    other = Gguf().write(tmp_path / "gpt-oss-20b.gguf")
    assert ModelFiles(tmp_path, default="mine").resolve("gpt-oss-20b").path == other


def test_a_file_dropped_into_the_folder_has_its_stem_as_name(tmp_path):
    path = Gguf().write(tmp_path / "My Model.Q4.gguf")
    files = ModelFiles(tmp_path, default=None)
    for name in ("My Model.Q4", "My Model.Q4.gguf"):
        found = files.resolve(name)
        assert (found.name, found.path, found.entry) == ("My Model.Q4", path, None)


def test_a_path_to_a_gguf_elsewhere_is_used(tmp_path, monkeypatch):
    path = Gguf().write(tmp_path / "elsewhere" / "m.gguf")
    monkeypatch.chdir(tmp_path)
    files = ModelFiles(tmp_path / "models", default=None)
    for name in (str(path), "elsewhere/m.gguf", "./elsewhere/../elsewhere/m.gguf"):
        assert files.resolve(name).path.samefile(path)
        assert files.knows(name)


@pytest.mark.parametrize(
    "name",
    ["foo", "", ".", "..", "../secret", "secret", "{folder}/secret", "{folder}", "none.gguf",
     "a\0.gguf", "~nobody-here/x.gguf", "all-MiniLM-L6-v2", "x/" * 3000 + ".gguf"],
)  # fmt: skip
def test_anything_else_does_not_exist(tmp_path, name):
    Gguf().write(tmp_path / "secret")
    Gguf().write(tmp_path / "models" / "here.gguf")
    files = ModelFiles(tmp_path / "models", default=None)
    name = name.format(folder=tmp_path)

    error = refusal(files, name)

    assert f"The requested model '{name}' does not exist." in error.message
    assert "Available here: here." in str(error)
    assert error.param == "model"
    assert not files.knows(name)


def test_a_folder_named_like_a_gguf_is_no_model(tmp_path):
    (tmp_path / "x.gguf").mkdir()
    files = ModelFiles(tmp_path, default=None)
    assert files.available() == []
    assert refusal(files, "x.gguf")


def test_a_known_model_without_weights_says_how_to_fetch_them(tmp_path):
    files = ModelFiles(tmp_path / "none", default=None)
    for name in (None, QWEN, "gpt-4"):
        with pytest.raises(ModelFileError, match=f"localassist models fetch {QWEN}$") as caught:
            files.resolve(name)
        assert caught.value.code == "model_not_fetched"
    assert files.knows(QWEN)


def test_available_are_the_chat_models_that_are_here(tmp_path):
    Gguf().write(tmp_path / "b.gguf")
    Gguf().write(tmp_path / QWEN_FILE)
    Gguf(values=llama_values(**{"tokenizer.chat_template": None})).write(tmp_path / "bert.gguf")
    Gguf(data_bytes=3).write(tmp_path / "cut.gguf")
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".fetch-x").mkdir()

    models = ModelFiles(tmp_path, default=None).available()

    assert [model.name for model in models] == [QWEN, "b"]


def test_available_sees_that_a_file_was_replaced(tmp_path):
    files = ModelFiles(tmp_path, default=None)
    Gguf(data_bytes=3).write(tmp_path / "m.gguf")
    assert files.available() == []
    Gguf().write(tmp_path / "m.gguf")
    assert [model.name for model in files.available()] == ["m"]


def test_the_embedding_model_is_a_folder(tmp_path):
    files = ModelFiles(tmp_path, default=None)
    with pytest.raises(ModelFileError, match="models fetch all-MiniLM-L6-v2"):
        files.resolve_embedding()
    (tmp_path / "all-MiniLM-L6-v2").mkdir()
    assert files.resolve_embedding().path == tmp_path / "all-MiniLM-L6-v2"


def test_a_chat_template_is_the_files_unless_overridden(tmp_path):
    header = read_header(Gguf().write(tmp_path / "m.gguf"))
    assert check_chat(header) == TEMPLATE
    assert check_chat(header, override="mine") == "mine"


def test_no_chat_template_is_refused_unless_overridden(tmp_path):
    values = llama_values(**{"tokenizer.chat_template": None})
    header = read_header(Gguf(values=values).write(tmp_path / "m.gguf"))
    with pytest.raises(ModelFileError, match=r"'m\.gguf'") as caught:
        check_chat(header)
    assert caught.value.code == "model_no_chat_template"
    assert check_chat(header, override="mine") == "mine"


def test_memory_grows_with_the_context(tmp_path):
    header = read_header(Gguf().write(tmp_path / "m.gguf"))
    growth = memory_bytes(header, n_ctx=8192) - memory_bytes(header, n_ctx=4096)
    assert growth == 4096 * header.kv_bytes_per_token


def test_a_model_that_does_not_fit_is_refused_with_the_figures(tmp_path):
    header = read_header(Gguf().write(tmp_path / "m.gguf"))
    needed = memory_bytes(header, n_ctx=8192)

    check_memory(header, n_ctx=8192, free_bytes=needed)
    with pytest.raises(ModelTooLargeError):
        check_memory(header, n_ctx=8192, free_bytes=needed - 1)
    with pytest.raises(ModelTooLargeError) as caught:
        check_memory(header, n_ctx=8192, free_bytes=100_000_000)

    assert caught.value.code == "model_too_large"
    assert str(caught.value) == (
        "'m.gguf' needs about 0.2 GB, 0.1 GB are free."
        " Choose a smaller model or lower n_ctx (now 8192)."
    )


def test_a_second_context_needs_room_of_its_own(tmp_path):
    header = read_header(Gguf().write(tmp_path / "m.gguf"))
    needed = memory_bytes(header, n_ctx=4096) - memory_bytes(header, n_ctx=0)
    assert not has_context_room(header, n_ctx=4096, free_bytes=needed)
    assert has_context_room(header, n_ctx=4096, free_bytes=10 * needed + 10**9)


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:   4000 kB\n"}


def test_free_memory_is_what_the_machine_has_available(tmp_path):
    assert free_memory_bytes(root=machine(tmp_path, MEMINFO)) == 4000 * 1024


def test_a_limit_of_cgroup_v2_above_the_process_counts_without_its_page_cache(tmp_path):
    group = "sys/fs/cgroup/box"
    files = MEMINFO | {
        "proc/self/cgroup": "0::/box/inner\n",
        f"{group}/inner/memory.max": "max\n",
        f"{group}/inner/memory.current": "5\n",
        f"{group}/memory.max": "1000000\n",
        f"{group}/memory.current": "700000\n",
        f"{group}/memory.stat": "anon 100\nactive_file 300000\ninactive_file 100000\n",
    }
    assert free_memory_bytes(root=machine(tmp_path, files)) == 1_000_000 - 300_000


def test_a_limit_of_cgroup_v1_counts_where_only_the_mounts_root_is_seen(tmp_path):
    group = "sys/fs/cgroup/memory"
    files = MEMINFO | {
        "proc/self/cgroup": "3:cpu:/x\n4:memory:/docker/abc\n0::/\n",
        f"{group}/memory.limit_in_bytes": "1000000\n",
        f"{group}/memory.usage_in_bytes": "700000\n",
        f"{group}/memory.stat": "inactive_file 7\ntotal_inactive_file 100000\n",
    }
    assert free_memory_bytes(root=machine(tmp_path, files)) == 400_000


def test_a_group_over_its_limit_leaves_nothing(tmp_path):
    group = "sys/fs/cgroup"
    files = MEMINFO | {
        "proc/self/cgroup": "0::/\n",
        f"{group}/memory.max": "10\n",
        f"{group}/memory.current": "20\n",
    }
    assert free_memory_bytes(root=machine(tmp_path, files)) == 0


def test_unreadable_system_files_are_passed_over(tmp_path):
    files = MEMINFO | {"proc/self/cgroup": "nonsense\n\n0:\n"}
    assert free_memory_bytes(root=machine(tmp_path, files)) == 4000 * 1024
