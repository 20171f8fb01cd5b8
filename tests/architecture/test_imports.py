"""What importing costs, and who may import what heavy package."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import localassist

PACKAGE = Path(localassist.__file__).parent
HEAVY = {
    "llama_cpp", "numpy", "faiss", "zmq", "torch", "sentence_transformers", "jinja2", "onnxruntime",
    "tokenizers", "pypdf", "openai", "httpx2", "starlette",
}  # fmt: skip
HOMES = {
    "llama_cpp": {"engine/llama_library.py"},
    "sqlite3": {f"store/{path.name}" for path in (PACKAGE / "store").glob("*.py")},
    "llguidance": {"engine/constraint.py"},
    "jupyter_client": {f"interpreter/{name}.py" for name in ("session", "provisioner", "targets")},
    "zmq": {"interpreter/session.py", "interpreter/kernel_main.py"},
    "httpx": set(),
    "httpx2": set(),
    "openai": {"http/transport.py"},
    "uvicorn": {"http/server.py"},
    "python_multipart": {"http/body.py"},
    "faiss": {"retrieval/index.py"},
    "torch": {"retrieval/optimize.py", "retrieval/rerank.py"},
    "sentence_transformers": {"retrieval/embed.py", "retrieval/rerank.py"},
    "onnxruntime": {"retrieval/embed.py", "retrieval/optimize.py"},
    "pypdf": {"retrieval/extract/pdf.py"},
    "pypdfium2": {"retrieval/extract/pdf.py"},
}


def modules_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_import_localassist_loads_nothing_of_others():
    added = modules_after("import localassist") - modules_after("")
    assert added - set(sys.stdlib_module_names) == {"localassist"}


@pytest.mark.parametrize("name", ["Client", "OpenAI", "AsyncClient"])
def test_the_client_loads_nothing_heavy(name):
    assert not modules_after(f"from localassist import {name}") & HEAVY


def test_every_public_name_exists_and_no_other_is_told():
    for name in localassist.__all__:
        assert getattr(localassist, name) is not None
    assert localassist.__all__ == sorted(localassist.__all__)
    with pytest.raises(AttributeError):
        _ = localassist.no_such_name


def test_a_heavy_package_is_imported_in_one_place():
    for path in PACKAGE.rglob("*.py"):
        where = path.relative_to(PACKAGE).as_posix()
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "require"
                and isinstance(node.args[0], ast.Constant)
            ):
                names = [str(node.args[0].value)]
            for name in names:
                allowed = HOMES.get(name.partition(".")[0])
                assert allowed is None or where in allowed, f"{where} imports {name}"
