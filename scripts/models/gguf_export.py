"""Writes a transformers Llama folder as a GGUF file for llama.cpp.

Names and layout follow llama.cpp's own converter, read from its gguf package (0.19).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, LlamaFileType, TokenType
from numpy.typing import NDArray
from safetensors.numpy import load_file

from chat_tokenizer import SPECIAL

LAYER_TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path: Path, folder: Path) -> None:
    """Writes the model in `folder` to `path`. Raises KeyError for a tensor that has no name."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = GGUFWriter(str(path), "llama")
    _write_shape(writer, config)
    _write_tokenizer(writer, folder, config)
    for name, tensor in sorted(load_file(folder / "model.safetensors").items()):
        writer.add_tensor(gguf_name(name), _layout(name, tensor, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """llama.cpp's name for a tensor of transformers' Llama."""
    fixed = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
    }
    if name in fixed:
        return fixed[name]
    index, _, rest = name.removeprefix("model.layers.").partition(".")
    return f"blk.{index}.{LAYER_TENSORS[rest.removesuffix('.weight')]}.weight"


def _layout(name: str, tensor: NDArray[np.float16], config: dict[str, int]) -> NDArray[np.generic]:
    """llama.cpp wants norms in full precision, and rotary pairs side by side in q and k."""
    if tensor.ndim == 1:
        return tensor.astype(np.float32)
    if name.endswith("q_proj.weight"):
        return _pair_rotary(tensor, config["num_attention_heads"])
    if name.endswith("k_proj.weight"):
        return _pair_rotary(tensor, config["num_key_value_heads"])
    return tensor


def _pair_rotary(tensor: NDArray[np.float16], heads: int) -> NDArray[np.float16]:
    """Transformers rotates i with i + half, llama.cpp 2i with 2i + 1."""
    rows, columns = tensor.shape
    halves = tensor.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def _write_shape(writer: GGUFWriter, config: dict[str, int]) -> None:
    head_size = config["hidden_size"] // config["num_attention_heads"]
    writer.add_name("Solar Tiny")
    writer.add_license("mit")
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(_rope_base(config))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _rope_base(config: Mapping[str, object]) -> float:
    """transformers 5 nests it, 4 does not."""
    nested = config.get("rope_parameters")
    value = nested.get("rope_theta") if isinstance(nested, dict) else config.get("rope_theta")
    if not isinstance(value, (int, float)):
        raise ValueError("config.json names no rope_theta")
    return float(value)


def _write_tokenizer(writer: GGUFWriter, folder: Path, config: dict[str, int]) -> None:
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [TokenType.CONTROL if token in SPECIAL else TokenType.NORMAL for token in tokens]
    )
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))
