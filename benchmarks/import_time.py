"""What `import localassist` costs, and what it must not load."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.harness import ROOT, Target, interleave, report, timed_ms

REPEAT = 20
HEAVY = frozenset({"llama_cpp", "numpy", "faiss", "zmq", "torch", "sentence_transformers", "rich"})
_LIST_MODULES = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _packages(code: str) -> set[str]:
    """Top-level names that `code` loads beyond what a bare Python has loaded."""
    return set(_python(f"{code}; {_LIST_MODULES}").split()) - set(_python(_LIST_MODULES).split())


def _cost(code: str, *, target: Target | None = None) -> None:
    """The time that `code` adds to a bare Python."""
    bare, loaded = interleave(
        lambda: timed_ms(lambda: _python("pass")),
        lambda: timed_ms(lambda: _python(code)),
        warmup=2,
        repeat=REPEAT,
    )
    added = [b - a for a, b in zip(bare, loaded, strict=True)]
    report(f"{code} - bare Python", added, unit="ms", target=target)


def main() -> None:
    """Measure; end with an error if something is loaded that must not be."""
    standard = set(sys.stdlib_module_names) | {"localassist"}
    if third_party := _packages("import localassist") - standard:
        sys.exit(f"import localassist loads {sorted(third_party)}")
    loaded = _packages("from localassist import Client") - standard
    if heavy := loaded & HEAVY:
        sys.exit(f"from localassist import Client loads {sorted(heavy)}")
    print("import localassist: nothing third-party is loaded")
    print("from localassist import Client loads:", *sorted(n for n in loaded if n[0] != "_"))
    _cost("import localassist", target=Target(30))
    _cost("from localassist import Client")


if __name__ == "__main__":
    main()
