"""Models of a few thousand weights, all zero, that llama.cpp loads."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from gguf_writer import Gguf, Tensor, Typed, array, llama_values, text, u32

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEADS, INNER = 64, 4, 128
_BYTES = [chr(code) for code in range(33, 127)]
_VOCABULARY = {
    "tokenizer.ggml.model": text("gpt2"),
    "tokenizer.ggml.pre": text("default"),
    "tokenizer.ggml.tokens": array(8, ["<end>", *_BYTES]),
    "tokenizer.ggml.token_type": array(5, [3] + [1] * len(_BYTES)),
    "tokenizer.ggml.scores": None,
    "tokenizer.ggml.merges": array(8, ["a b"]),
    "tokenizer.ggml.eos_token_id": u32(0),
}
_NUM_TOKENS = 1 + len(_BYTES)
_FLOAT32 = 6


def _model(path: Path, values: dict[str, Typed | None], shapes: dict[str, tuple[int, ...]]) -> Path:
    shapes = {
        "token_embd.weight": (WIDTH, _NUM_TOKENS),
        "output_norm.weight": (WIDTH,),
        **shapes,
    }
    tensors, size = [], 0
    for name, dims in shapes.items():
        tensors.append(Tensor(name, dims, offset=size))
        size += -(-4 * prod(dims) // 32) * 32
    return Gguf(llama_values(**_VOCABULARY, **values), tuple(tensors), data_bytes=size).write(path)


def llama(path: Path, **values: Typed | None) -> Path:
    """A llama of one layer."""
    wanted = {
        "llama.block_count": u32(1),
        "llama.embedding_length": u32(WIDTH),
        "llama.feed_forward_length": u32(INNER),
        "llama.attention.head_count": u32(HEADS),
        "llama.attention.head_count_kv": u32(HEADS),
        "llama.attention.layer_norm_rms_epsilon": Typed(_FLOAT32, 1e-5),
    }
    square = dict.fromkeys(
        (f"blk.0.attn_{name}.weight" for name in ("q", "k", "v", "output")), (WIDTH, WIDTH)
    )
    return _model(path, wanted | values, {
        "blk.0.attn_norm.weight": (WIDTH,),
        **square,
        "blk.0.ffn_norm.weight": (WIDTH,),
        "blk.0.ffn_gate.weight": (WIDTH, INNER),
        "blk.0.ffn_up.weight": (WIDTH, INNER),
        "blk.0.ffn_down.weight": (INNER, WIDTH),
    })  # fmt: skip


def mamba(path: Path) -> Path:
    """A recurrent model of one layer."""
    inner, conv, state, rank = 2 * WIDTH, 4, 16, 4
    values = {name: None for name in llama_values() if name.startswith("llama.")} | {
        "general.architecture": text("mamba"),
        "mamba.context_length": u32(2048),
        "mamba.block_count": u32(1),
        "mamba.embedding_length": u32(WIDTH),
        "mamba.feed_forward_length": u32(0),
        "mamba.attention.head_count": u32(0),
        "mamba.attention.layer_norm_rms_epsilon": Typed(_FLOAT32, 1e-5),
        "mamba.ssm.conv_kernel": u32(conv),
        "mamba.ssm.inner_size": u32(inner),
        "mamba.ssm.state_size": u32(state),
        "mamba.ssm.time_step_rank": u32(rank),
    }
    return _model(path, values, {
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.ssm_in.weight": (WIDTH, 2 * inner),
        "blk.0.ssm_conv1d.weight": (conv, inner),
        "blk.0.ssm_conv1d.bias": (inner,),
        "blk.0.ssm_x.weight": (inner, rank + 2 * state),
        "blk.0.ssm_dt.weight": (rank, inner),
        "blk.0.ssm_dt.bias": (inner,),
        "blk.0.ssm_a": (state, inner),
        "blk.0.ssm_d": (inner,),
        "blk.0.ssm_out.weight": (inner, WIDTH),
    })  # fmt: skip
