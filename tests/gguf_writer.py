"""Write tiny GGUF files by hand, right ones and wrong ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

F32, Q4_K = 0, 12
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


@dataclass(frozen=True)
class Typed:
    """A value with its GGUF type; `Typed(9, (4, [1, 2]))` is an array of u32."""

    kind: int
    value: Any


def u32(value: int) -> Typed:
    return Typed(4, value)


def text(value: str) -> Typed:
    return Typed(8, value)


def array(kind: int, values: list[Any]) -> Typed:
    return Typed(9, (kind, values))


@dataclass(frozen=True)
class Tensor:
    name: str
    dims: tuple[int, ...]
    kind: int = F32
    offset: int = 0


def llama_values(**changes: Typed | None) -> dict[str, Typed]:
    """The keys of a small llama with a chat template; None in `changes` removes one."""
    values: dict[str, Typed | None] = {
        "general.architecture": text("llama"),
        "general.name": text("Tiny"),
        "llama.context_length": u32(2048),
        "llama.block_count": u32(3),
        "llama.embedding_length": u32(64),
        "llama.attention.head_count": u32(8),
        "llama.attention.head_count_kv": u32(2),
        "tokenizer.ggml.tokens": array(8, ["a", "bc", "def"]),
        "tokenizer.ggml.scores": array(6, [0.5, 1.0, 2.0]),
        "tokenizer.chat_template": text(TEMPLATE),
    }
    values.update(changes)
    return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True)
class Gguf:
    """A file that says what it is told to say."""

    values: dict[str, Typed] = field(default_factory=llama_values)
    tensors: tuple[Tensor, ...] = (Tensor("w", (8, 4)),)
    data_bytes: int = 128
    version: int = 3
    magic: bytes = b"GGUF"
    claimed_tensors: int | None = None
    claimed_values: int | None = None

    def encode(self) -> bytes:
        head = bytearray(self.magic + struct.pack("<I", self.version))
        head += struct.pack("<Q", _or(self.claimed_tensors, len(self.tensors)))
        head += struct.pack("<Q", _or(self.claimed_values, len(self.values)))
        for key, typed in self.values.items():
            head += _string(key) + struct.pack("<I", typed.kind) + _value(typed)
        for tensor in self.tensors:
            head += _string(tensor.name) + struct.pack("<I", len(tensor.dims))
            head += struct.pack(f"<{len(tensor.dims)}Q", *tensor.dims)
            head += struct.pack("<IQ", tensor.kind, tensor.offset)
        head += bytes(-len(head) % 32)
        return bytes(head) + bytes(self.data_bytes)

    def write(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.encode())
        return path


_FORMATS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}


def _or(claimed: int | None, real: int) -> int:
    return real if claimed is None else claimed


def _string(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(typed: Typed) -> bytes:
    if isinstance(typed.value, bytes):  # raw, for what is wrong on purpose
        return typed.value
    if typed.kind == 8:
        return _string(typed.value)
    if typed.kind == 9:
        kind, values = typed.value
        head = struct.pack("<IQ", kind, len(values))
        return head + b"".join(_value(Typed(kind, value)) for value in values)
    return struct.pack(f"<{_FORMATS[typed.kind]}", typed.value)
