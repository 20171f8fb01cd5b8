"""Worker: a process with another openai SDK, which runs the scenarios that it is told to."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faces.faces import Scenario

TESTS = Path(__file__).parents[1]
SDKS = TESTS.parent / ".venv" / "sdk"


class Worker:
    """The process, from outside."""

    def __init__(self, name: str) -> None:
        version = name.removeprefix("openai-")
        path = os.pathsep.join(map(str, (SDKS / version, TESTS)))
        self._name = name
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "faces.worker", version],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )

    def run(self, scenario: Scenario, home: Path) -> None:
        """Run a scenario there; its failure is one here."""
        function = scenario.function
        asked = [inspect.getsourcefile(function), function.__name__, self._name, str(home)]
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the process of {self._name} has ended"
        trouble = json.loads(answer)
        assert trouble is None, trouble

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def main(version: str) -> None:
    """Run what the lines of the input name, and answer each with its trouble or null."""
    import openai

    assert openai.__version__ == version, openai.__file__
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        file, function, name, home = json.loads(line)
        try:
            getattr(_module(file), function).scenario.run(name, Path(home))
        except Exception:  # noqa: BLE001 - whatever it was, the test is told
            trouble = traceback.format_exc()
        else:
            trouble = None
        print(json.dumps(trouble), file=answers, flush=True)


@cache
def _module(file: str) -> Any:
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1])
