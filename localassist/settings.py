"""Settings: one frozen value. An argument beats `LOCALASSIST_*`, which beats the default."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

ApiVersion = Literal["v1", "v2"]
CodeInterpreter = Literal[
    "sandboxed",
    "sandboxed:ns",
    "sandboxed:bwrap",
    "sandboxed:landlock",
    "sandboxed:seatbelt",
    "unsandboxed-i-accept-the-risk",
]
_PREFIX = "LOCALASSIST_"
_AT_LEAST = {
    "n_ctx": 256, "kv_ram_mb": 0, "kv_disk_mb": 0, "max_concurrent_runs": 1, "run_ttl_s": 1
}  # fmt: skip


def _user_data_dir() -> Path:
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "localassist"
        )
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "localassist"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "localassist"


def _default_models() -> Path:
    """The checkout's `models/` when running from one, else a folder beside the user's data."""
    checkout = Path(__file__).parents[1]
    if (checkout / "pyproject.toml").is_file() and (
        checkout / "models" / "manifest.toml"
    ).is_file():
        return checkout / "models"
    return _user_data_dir() / "models"


def _describe(text: str) -> Any:
    return {"description": text}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, here or by the environment variable `LOCALASSIST_<FIELD>`."""

    home: Path = field(
        default_factory=_user_data_dir, metadata=_describe("Folder that holds all data.")
    )
    models: Path = field(
        default_factory=_default_models, metadata=_describe("Folder that holds the weights.")
    )
    model: str | None = field(
        default=None,
        metadata=_describe(
            "Default chat model: a name, or a path to a GGUF. None: the manifest's."
        ),
    )
    api_version: ApiVersion = field(
        default="v1",
        metadata=_describe("Shape in which objects print: `v1` as in November 2023, or `v2`."),
    )
    http_version: ApiVersion | None = field(
        default=None,
        metadata=_describe(
            "Shape for HTTP requests that do not say theirs. None: they are refused, as OpenAI did."
        ),
    )
    n_ctx: int | None = field(
        default=None,
        metadata=_describe(
            "Tokens of context, shared by the conversations that run at once. None: 8192, or what "
            "the model was trained for if that is less."
        ),
    )
    n_threads: int | None = field(
        default=None, metadata=_describe("CPU threads of the engine. None: the physical cores.")
    )
    even_split: bool = field(
        default=True,
        metadata=_describe(
            "Each thread gets an equal part of a matrix, where the cores are alike. The first "
            "model that a process loads decides."
        ),
    )
    repack: bool = field(
        default=True,
        metadata=_describe(
            "llama.cpp lays weights out anew where it has kernels for that, AMX's among them. "
            "False: they stay as they are in the file; some processors read prompts faster so."
        ),
    )
    n_gpu_layers: int | None = field(
        default=None,
        metadata=_describe("Layers computed on a GPU. None: all, if llama.cpp was built for one."),
    )
    kv_ram_mb: int = field(
        default=512, metadata=_describe("Megabytes of memory for idle conversations.")
    )
    kv_disk_mb: int = field(
        default=4096, metadata=_describe("Megabytes of the data folder for idle conversations.")
    )
    deterministic: bool = field(
        default=False,
        metadata=_describe("Same prompt and seed, same answer; costs doing one at a time."),
    )
    code_interpreter: CodeInterpreter = field(
        default="sandboxed",
        metadata=_describe(
            "Where code runs: in the best sandbox of this machine, or in one by its name."
        ),
    )
    max_concurrent_runs: int = field(default=8, metadata=_describe("Runs executed at once."))
    run_ttl_s: int = field(
        default=600, metadata=_describe("Seconds after which an unfinished run expires.")
    )
    busy_timeout_s: float = field(
        default=10.0, metadata=_describe("Seconds to wait for another process's write lock.")
    )
    lease_s: float = field(
        default=15.0,
        metadata=_describe("Seconds without a heartbeat after which a run may be taken over."),
    )

    def __post_init__(self) -> None:
        for name in ("home", "models"):
            object.__setattr__(self, name, Path(getattr(self, name)).expanduser().absolute())
        if self.api_version not in get_args(ApiVersion):
            raise _invalid("api_version", self.api_version, "'v1' or 'v2'")
        if self.http_version not in (None, *get_args(ApiVersion)):
            raise _invalid("http_version", self.http_version, "'v1' or 'v2'")
        if self.code_interpreter not in get_args(CodeInterpreter):
            known = ", ".join(repr(each) for each in get_args(CodeInterpreter))
            raise _invalid("code_interpreter", self.code_interpreter, f"one of {known}")
        for name, low in _AT_LEAST.items():
            value = getattr(self, name)
            if value is None and name == "n_ctx":
                continue
            if not isinstance(value, int) or value < low:
                raise _invalid(name, value, f"a whole number of at least {low}")
        if self.n_threads is not None and self.n_threads < 1:
            raise _invalid("n_threads", self.n_threads, "a whole number of at least 1")

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """Build settings from `given` (None counts as not given), then `env`, then the defaults.

        Raises:
            BadRequestError: an unknown name in `given`, or a value of the wrong kind.
        """
        env = os.environ if env is None else env
        known = {f.name for f in fields(cls)}
        if unknown := sorted(given.keys() - known):
            raise _invalid(unknown[0], given[unknown[0]], f"one of the settings {sorted(known)}")
        values = {name: value for name, value in given.items() if value is not None}
        for name in known - values.keys():
            if text := env.get(_PREFIX + name.upper()):
                values[name] = _parse(name, text)
        return cls(**values)


_INTEGERS = frozenset(
    {
        "n_ctx", "n_threads", "n_gpu_layers", "kv_ram_mb", "kv_disk_mb", "max_concurrent_runs",
        "run_ttl_s",
    }
)  # fmt: skip
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_FLAGS = frozenset({"deterministic", "even_split", "repack"})
_FLOATS = frozenset({"busy_timeout_s", "lease_s"})


def _parse(name: str, text: str) -> str | int | float | bool:
    if name in _FLAGS:
        if text.lower() not in _BOOLEANS:
            raise _invalid(name, text, "'true' or 'false'", source=_PREFIX + name.upper())
        return _BOOLEANS[text.lower()]
    try:
        if name in _INTEGERS:
            return int(text)
        return float(text) if name in _FLOATS else text
    except ValueError:
        raise _invalid(name, text, "a number", source=_PREFIX + name.upper()) from None


def _invalid(name: str, value: object, wanted: str, *, source: str = "settings") -> BadRequestError:
    return BadRequestError(
        f"Invalid setting '{name}' ({source}): expected {wanted}, but got {value!r}.",
        code="invalid_setting",
        param=name,
    )
