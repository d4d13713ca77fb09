"""Writes qwen3-next-attention.json: what transformers' Qwen3NextAttention makes of one batch, with every gradient.

An output gate per query head, a quarter of the head turned, biases, and norms whose weights are stored less 1. Numbers are run in
f32 and in f64; the f64 values are stored, and for each tensor the distance between the runs. Weights and inputs are multiples of
1/64, so that they are exact in f32.

    python test/golden/qwen3_next.py          # writes qwen3-next-attention.json beside this file
"""

import json
import pathlib

import torch
from make import F32, F64, precision
from transformers import Qwen3NextConfig
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextAttention, Qwen3NextRotaryEmbedding

ROWS, TOKENS = 2, 5
CONFIG = dict(
    hidden_size=6, num_attention_heads=4, num_key_value_heads=2, head_dim=8, attention_bias=True, rms_norm_eps=1e-6,
    max_position_embeddings=64,
    rope_parameters=dict(rope_type="default", rope_theta=100.0, partial_rotary_factor=0.25),
)  # fmt: skip


def drawn(generator, *shape):
    return torch.round(64 * 0.5 * torch.randn(shape, generator=generator)) / 64


def run(dtype, weights, x, dy):
    with precision(dtype):
        config = Qwen3NextConfig(**json.loads(json.dumps(CONFIG)), attn_implementation="eager")
        block = Qwen3NextAttention(config, 0).to(dtype).eval()
        block.load_state_dict({name: weight.to(dtype) for name, weight in weights.items()})
        x = x.to(dtype, copy=True).requires_grad_()
        turns = Qwen3NextRotaryEmbedding(config).to(dtype)(x, torch.arange(TOKENS)[None].expand(ROWS, -1))
        mask = torch.full((TOKENS, TOKENS), float("-inf"), dtype=dtype).triu(1)[None, None]
        y, _ = block(x, position_embeddings=turns, attention_mask=mask)
        y.backward(dy.to(dtype))
        return {"y": y.detach(), "x": x.grad} | {name: parameter.grad for name, parameter in block.named_parameters()}


def main():
    generator = torch.Generator().manual_seed(7)
    shapes = {n: p.shape for n, p in Qwen3NextAttention(Qwen3NextConfig(**json.loads(json.dumps(CONFIG))), 0).named_parameters()}
    weights = {name: drawn(generator, *shape) for name, shape in shapes.items()}
    x, dy = drawn(generator, ROWS, TOKENS, CONFIG["hidden_size"]), drawn(generator, ROWS, TOKENS, CONFIG["hidden_size"])
    near, true = run(F32, weights, x, dy), run(F64, weights, x, dy)
    listed = lambda tensor: tensor.flatten().tolist()
    golden = {
        "config": CONFIG,
        "rows": ROWS,
        "tokens": TOKENS,
        "weights": {name: listed(weight) for name, weight in weights.items()},
        "x": listed(x),
        "dy": listed(dy),
        # Of y, and of dy · y by x and by each weight.
        "expected": {
            name: {"value": [float(f"{v:.11g}") for v in listed(true[name])], "distance": float((true[name] - near[name]).abs().max())}
            for name in true
        },
    }
    path = pathlib.Path(__file__).with_name("qwen3-next-attention.json")
    path.write_text(json.dumps(golden, separators=(",", ":")).replace('],"', '],\n"') + "\n")


main()
