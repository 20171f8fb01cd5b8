"""From the name in a request to a model file, and whether the machine can run it.

Nothing here changes between calls but a cache of headers; any OS thread may call it.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from localassist.engine.control_groups import SYSTEM, control_groups, read_lines
from localassist.engine.gguf import GgufHeader, read_header
from localassist.engine.manifest import ManifestModel, Sampling, load_manifest
from localassist.errors import (
    BadRequestError,
    ContextOverflowError,
    ModelFileError,
    ModelTooLargeError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".gguf"

# Code written against OpenAI's service names its models; here they mean "the default".
_OPENAI_NAME = re.compile(r"(ft:)?gpt-|chatgpt-|o\d", re.IGNORECASE)

# Resident size of a 1117 MB Q4_K_M: 1748 MB, because llama.cpp repacks weights for the CPU.
_RESIDENT_PER_FILE_BYTE = 1.6
_WORKING_BYTES = 150_000_000

DEFAULT_N_CTX = 8192

_FINGERPRINT_HEAD_BYTES = 1 << 20
_FINGERPRINT_SAMPLES = 64
_FINGERPRINT_SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A model that a request can be answered with.

    Attributes:
        name: the manifest's name, or the stem of a file that the manifest does not list.
        path: the GGUF; for an embedding model its folder.
        sampling: how to sample when a request does not say.
        entry: the manifest's entry, or None.
    """

    name: str
    path: Path
    sampling: Sampling
    entry: ManifestModel | None

    @cached_property
    def header(self) -> GgufHeader:
        """The file's header, read at first use.

        Raises:
            ModelFileError: see `read_header`.
        """
        return read_header(self.path)


class ModelFiles:
    """The models of one weights folder."""

    def __init__(self, models_dir: Path, *, default: str | None) -> None:
        """Read the manifest.

        Args:
            models_dir: the weights folder; it need not exist.
            default: name or path of the default chat model; None leaves it to the manifest.

        Raises:
            ModelFileError: code `manifest_invalid`.
        """
        self.models_dir = models_dir
        self.manifest = load_manifest(models_dir)
        self._default = default
        self._headers: dict[tuple[Path, int, int], GgufHeader | None] = {}

    def resolve(self, name: str | None) -> ModelFile:
        """Find the chat model that a request names; None asks for the default.

        In this order: a name or alias of the manifest, a file in the weights folder by its name
        or stem, the path of a `.gguf`, a name of OpenAI's models (the default model).

        Raises:
            BadRequestError: code `model_not_found`.
            ModelFileError: code `model_not_fetched`, a known model without its weights.
        """
        found = self._find_default() if name is None else self._find(name)
        if found is None and name is not None and is_openai_name(name):
            found = self._find_default()
        if found is None:
            raise self._not_found(name)
        return _fetched(found)

    def resolve_embedding(self) -> ModelFile:
        """The manifest's first embedding model; its path is a folder of sentence-transformers.

        Raises:
            ModelFileError: code `model_not_fetched`.
        """
        for entry in self.manifest.models:
            if entry.role == "embedding":
                return _fetched(self._listed(entry))
        raise ModelFileError(
            "The manifest lists no embedding model.",
            code="manifest_invalid",
            hint=f"Correct {self.models_dir / 'manifest.toml'}.",
        )

    def knows(self, name: str) -> bool:
        """Whether `resolve` would find a model of this name, its weights fetched or not."""
        return self._find(name) is not None or is_openai_name(name)

    def available(self) -> list[ModelFile]:
        """The chat models whose weights are here: the manifest's first, then other files."""
        files = self._files()
        listed = [
            self._listed(entry)
            for entry in self.manifest.models
            if entry.role == "chat" and entry.file in files
        ]
        known = {model.path.name for model in listed}
        others = [_unlisted(path) for name, path in files.items() if name not in known]
        return listed + [model for model in others if self._can_chat(model.path)]

    def _find(self, name: str) -> ModelFile | None:
        entry = self.manifest.find(name)
        if entry is not None:
            return self._listed(entry) if entry.role == "chat" else None
        files = self._files()
        path = files.get(name) or next((p for p in files.values() if p.stem == name), None)
        if path is None and name.lower().endswith(SUFFIX):
            path = _existing(name)
        return None if path is None else self._at(path)

    def _find_default(self) -> ModelFile | None:
        found = None if self._default is None else self._find(self._default)
        if found is None and (self._default is None or is_openai_name(self._default)):
            found = self._listed(self.manifest.default)
        return found

    def _at(self, path: Path) -> ModelFile:
        for entry in self.manifest.models:
            if path == self.models_dir / entry.file:
                return self._listed(entry)
        return _unlisted(path)

    def _listed(self, entry: ManifestModel) -> ModelFile:
        return ModelFile(
            name=entry.name,
            path=self.models_dir / entry.file,
            sampling=entry.sampling,
            entry=entry,
        )

    def _files(self) -> dict[str, Path]:
        """The GGUF files directly in the weights folder, by file name."""
        try:
            paths = sorted(self.models_dir.iterdir())
        except OSError:  # no folder yet: nothing was fetched
            return {}
        return {p.name: p for p in paths if p.suffix.lower() == SUFFIX and p.is_file()}

    def _can_chat(self, path: Path) -> bool:
        """Whether the header can be read and has a chat template; embedding models have none."""
        try:
            status = path.stat()
            key = (path, status.st_size, status.st_mtime_ns)
            if key not in self._headers:
                self._headers[key] = read_header(path)
        except OSError:
            return False
        except ModelFileError:
            self._headers[key] = None
        header = self._headers[key]
        return header is not None and header.chat_template is not None

    def _not_found(self, name: str | None) -> BadRequestError:
        here = ", ".join(model.name for model in self.available())
        wanted = f"requested model '{name}'"
        if name is None:
            wanted = f"default model '{self._default}' (setting 'model')"
        return BadRequestError(
            f"The {wanted} does not exist.",
            code="model_not_found",
            param="model",
            hint=f"Available here: {here or 'none yet; run: localassist models fetch'}.",
        )


def is_openai_name(name: str) -> bool:
    """Whether `name` is built like OpenAI's: `gpt-4o`, `o3-mini`, `ft:gpt-4`."""
    return _OPENAI_NAME.match(name) is not None


def check_chat(header: GgufHeader, *, override: str | None = None) -> str:
    """Return the chat template to use: `override` if given, else the file's.

    Raises:
        ModelFileError: code `model_no_chat_template`.
    """
    template = header.chat_template if override is None else override
    if not template:
        raise ModelFileError(
            f"'{header.path.name}' has no chat template, so it cannot hold a conversation.",
            code="model_no_chat_template",
            hint="Choose an instruct or chat variant of the model.",
        )
    return template


def check_memory(header: GgufHeader, *, n_ctx: int, free_bytes: int | None = None) -> None:
    """Refuse a model that would not fit, before llama.cpp is killed while loading it.

    Args:
        header: of the model.
        n_ctx: tokens of context, all conversations together.
        free_bytes: memory that can be had; None asks the system, and where that does not know,
            nothing is checked.

    Raises:
        ModelTooLargeError: code `model_too_large`.
    """
    free = free_memory_bytes() if free_bytes is None else free_bytes
    needed = memory_bytes(header, n_ctx=n_ctx)
    if free is not None and needed > free:
        sizes = f"needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        raise ModelTooLargeError(
            f"'{header.path.name}' {sizes}.",
            code="model_too_large",
            hint=f"Choose a smaller model or lower n_ctx (now {n_ctx}).",
        )


def has_context_room(header: GgufHeader, *, n_ctx: int, free_bytes: int | None = None) -> bool:
    """Whether there is memory for one more context of a loaded model."""
    free = free_memory_bytes() if free_bytes is None else free_bytes
    return free is None or header.kv_bytes_per_token * n_ctx + _WORKING_BYTES <= free


def memory_bytes(header: GgufHeader, *, n_ctx: int) -> int:
    """Estimate of the memory that the loaded model takes, with a float16 KV cache."""
    weights = int(_RESIDENT_PER_FILE_BYTE * header.size_bytes)
    return weights + header.kv_bytes_per_token * n_ctx + _WORKING_BYTES


def free_memory_bytes(*, root: Path = SYSTEM) -> int | None:
    """Memory that this process can still have, or None where the system does not say.

    On Linux the least of what the machine and each control group above the process leave.

    Args:
        root: where `proc` and `sys` are mounted.
    """
    available = _kilobytes(root / "proc" / "meminfo", key="MemAvailable:")
    limits = list(_control_group_room(root))
    if available is not None:
        limits.append(available)
    return min(limits) if limits else _system_free_bytes()


def _fetched(model: ModelFile) -> ModelFile:
    if not model.path.exists():
        raise ModelFileError(
            f"The weights of the model '{model.name}' are not in '{model.path.parent}'.",
            code="model_not_fetched",
            hint=f"Run: localassist models fetch {model.name}",
        )
    return model


def _unlisted(path: Path) -> ModelFile:
    return ModelFile(name=path.stem, path=path, sampling=Sampling(), entry=None)


def _existing(name: str) -> Path | None:
    try:
        path = Path(name).expanduser().absolute()
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, `~nobody`
        return None


def _control_group_room(root: Path) -> Iterator[int]:
    """Bytes that each memory limit above this process leaves."""
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
        2: ("memory.max", "memory.current", ""),
    }
    for version, folder in control_groups("memory", root=root):
        yield from _room(folder, names[version])


def _room(folder: Path, names: tuple[str, str, str]) -> Iterator[int]:
    limit, used = (_number(folder / name) for name in names[:2])
    if limit is not None and used is not None:
        # Cached file pages count as used, but the kernel gives them up when memory is short;
        # the weights that were just fetched are among them.
        cached = sum(
            int(value)
            for key, _, value in (
                line.partition(" ") for line in read_lines(folder / "memory.stat")
            )
            if key in {f"{names[2]}active_file", f"{names[2]}inactive_file"}
        )
        yield max(0, limit - max(0, used - cached))


def _system_free_bytes() -> int | None:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows; macOS
        return None


def _kilobytes(path: Path, *, key: str) -> int | None:
    for line in read_lines(path):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return None


def _number(path: Path) -> int | None:
    """The number in a file of one line; None if there is none, as in 'max'."""
    text = "".join(read_lines(path))
    return int(text) if text.isdecimal() else None


def context_size(header: GgufHeader, wanted: int | None) -> int:
    """Tokens of context for a model: what the setting wants, else DEFAULT_N_CTX or the model's.

    Raises:
        ContextOverflowError: more is wanted than the model was trained for.
    """
    trained = header.context_length
    if wanted is None:
        return min(DEFAULT_N_CTX, trained)
    if wanted > trained:
        raise ContextOverflowError(
            f"'{header.path.name}' was trained for {trained} tokens of context; the setting n_ctx "
            f"is {wanted}.",
            code="context_too_long",
            param="n_ctx",
            hint=f"Set it to {trained} or less: beyond that the model writes nonsense.",
        )
    return wanted


def content_fingerprint(path: Path) -> str:
    """Tells one file's content from another's: a digest of its size, header and samples.

    Reading a gigabyte whole would take longer than loading it; of weights that differ, every
    block of 64 kB differs.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_FINGERPRINT_HEAD_BYTES))
        for sample in range(_FINGERPRINT_SAMPLES):
            file.seek(size * sample // _FINGERPRINT_SAMPLES)
            digest.update(file.read(_FINGERPRINT_SAMPLE_BYTES))
    return digest.hexdigest()
