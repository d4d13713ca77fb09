"""Writes rope.json: what transformers computes for RoPE, for every rope type and its options.

Each entry is the part of a config.json that concerns RoPE, spelled as transformers 4 or 5 spells it, and what the model class
that knows this form makes of it, all in f32: inverse frequencies, attention factor, and cosines and sines of some pairs at some
positions, computed in one forward pass of `length` tokens.

    python test/golden/rope.py          # writes rope.json beside this file
"""

import json
import math
import pathlib

import numpy
import torch
from transformers import Qwen2VLTextConfig, Qwen3_5TextConfig, Qwen3Config, Qwen3NextConfig, Qwen3VLTextConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLRotaryEmbedding
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5TextRotaryEmbedding
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextRotaryEmbedding
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRotaryEmbedding

POSITIONS = [0, 1, 100, 4095, 32768, 131071, 262143]
CLASSES = {
    "qwen3": (Qwen3Config, Qwen3RotaryEmbedding),
    "qwen3_next": (Qwen3NextConfig, Qwen3NextRotaryEmbedding),  # the one that has a part of the head in its default type
    "qwen2_vl": (Qwen2VLTextConfig, Qwen2VLRotaryEmbedding),  # sections
    "qwen3_vl": (Qwen3VLTextConfig, Qwen3VLTextRotaryEmbedding),  # interleaved
    "qwen3_5": (Qwen3_5TextConfig, Qwen3_5TextRotaryEmbedding),  # interleaved, in a part of the head
}

entries = []


def add(name, head_dim, rope, *, model="qwen3", context=4096, length=262144, places=None, **top):
    """`rope` is rope_parameters, or, if it lacks rope_theta, rope_scaling beside a rope_theta in `top`."""
    key = "rope_parameters" if rope and "rope_theta" in rope else "rope_scaling"
    config = {"head_dim": head_dim, "max_position_embeddings": context, key: rope, **top}
    config_class, rotary_class = CLASSES[model]
    # Some classes put defaults into the dictionary they are given.
    rotary = rotary_class(config_class(**json.loads(json.dumps(config))))
    positions = [p for p in POSITIONS if p < length]
    if positions[-1] != length - 1:
        positions.append(length - 1)
    ids = torch.tensor(places if places else [positions])
    if model in ("qwen2_vl", "qwen3_vl", "qwen3_5"):
        ids = (ids if places else ids.expand(3, -1))[:, None, :]
    cos, sin = rotary(torch.zeros(1, dtype=torch.float32), ids)
    pairs = len(rotary.inv_freq)
    shown = sorted({0, 1, pairs // 3, pairs // 2, (3 * pairs) // 4, pairs - 1} & set(range(pairs)))
    if places:
        shown = list(range(pairs))
    entries.append(
        {
            "name": name,
            "config": config,
            "length": length,
            "attentionFactor": float(rotary.attention_scaling),
            "inverseFrequencies": shortest(rotary.inv_freq),
            "pairs": shown,
            **({"places": places} if places else {"positions": positions}),
            "cos": [shortest(row[shown]) for row in cos[0]],
            "sin": [shortest(row[shown]) for row in sin[0]],
        }
    )


def shortest(values):
    """Decimals that round to the same f32."""
    return [json.loads(numpy.format_float_scientific(x, trim="-")) for x in values.numpy().astype(numpy.float32)]


def default():
    add("Qwen3, as transformers 4 writes it", 128, None, rope_theta=1e6, context=40960)
    add("Qwen3, as transformers 5 writes it", 128, {"rope_type": "default", "rope_theta": 1e6}, context=40960)
    add("theta 1e4", 32, None, rope_theta=1e4)
    add("theta 5e6, 96 wide", 96, {"rope_type": "default", "rope_theta": 5e6})
    add("a theta that f32 does not have", 64, {"rope_type": "default", "rope_theta": 10000.1})
    add("a theta of nine digits", 64, {"rope_type": "default", "rope_theta": 123456789})
    add("two components", 2, {"rope_type": "default", "rope_theta": 1e4})
    add("a quarter of the head", 128, {"rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25}, model="qwen3_next")
    add("0.4 of 80", 80, None, rope_theta=1e4, partial_rotary_factor=0.4, model="qwen3_next")


def linear():
    add("linear 4", 64, {"type": "linear", "factor": 4.0}, rope_theta=1e4)
    add("linear 2.5", 48, {"rope_type": "linear", "factor": 2.5, "rope_theta": 5e5})
    add("linear 8, half of the head", 64, {"rope_type": "linear", "factor": 8, "rope_theta": 1e6, "partial_rotary_factor": 0.5})


def dynamic():
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    add("dynamic 2", 64, rope)
    add("dynamic 2, within the context", 64, rope, length=4096)
    add("dynamic 2, one token more", 64, rope, length=4097)
    add("dynamic 4, Qwen3", 128, {"type": "dynamic", "factor": 4.0}, rope_theta=1e6, context=32768)
    add("dynamic 1", 32, {"rope_type": "dynamic", "factor": 1.0, "rope_theta": 1e4}, context=1000, length=50000)
    add("dynamic 3.7, half of the head", 96, {"rope_type": "dynamic", "factor": 3.7, "rope_theta": 5e5, "partial_rotary_factor": 0.5})
    add("dynamic, four components", 4, {"rope_type": "dynamic", "factor": 8.0, "rope_theta": 1e4}, context=2048)


def yarn():
    def rope(**more):
        return {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 32768, **more}

    add("yarn, the recipe of Qwen3's model cards", 128, {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, rope_theta=1e6, context=131072)
    add("yarn 8 for a quarter of a million tokens", 128, rope(factor=8.0), context=262144)
    add("yarn, attention factor given", 64, rope(attention_factor=1.25))
    add("yarn, attention factor 1", 64, rope(attention_factor=1.0))
    add("yarn, mscale pair", 64, rope(factor=40.0, mscale=0.707, mscale_all_dim=1.0, original_max_position_embeddings=4096))
    add("yarn, equal mscale pair", 32, rope(mscale=1.0, mscale_all_dim=1.0))
    add("yarn, mscale alone", 32, rope(mscale=0.707))
    add("yarn, betas", 64, rope(beta_fast=16.0, beta_slow=2.0))
    add("yarn, not truncated", 64, rope(truncate=False))
    add("yarn, betas, not truncated", 128, rope(truncate=False, beta_fast=8, beta_slow=0.5, factor=2.5))
    add("yarn, factor 1", 32, rope(factor=1.0))
    add("yarn, half of the head", 64, rope(partial_rotary_factor=0.5))
    add("yarn, ramp from the first pair", 32, rope(rope_theta=1e4, original_max_position_embeddings=64))
    add("yarn, ramp of no width", 16, rope(beta_fast=1.0, beta_slow=1.0, truncate=False))


def longrope():
    def lists(pairs, slope):
        return {
            "short_factor": [round(1 + 0.01 * i, 4) for i in range(pairs)],
            "long_factor": [round(1 + slope * i * i / pairs, 4) for i in range(pairs)],
        }

    def rope(pairs, **more):
        return {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 4096, **lists(pairs, 0.7), **more}

    add("longrope, as Phi-3", 96, {"type": "longrope", **lists(48, 1.3)}, rope_theta=1e4, context=131072, original_max_position_embeddings=4096)
    add("longrope, short texts", 32, rope(16, factor=32.0), length=4096)
    add("longrope, one token more", 32, rope(16, factor=32.0), length=4097)
    add("longrope, factor", 64, rope(32, factor=16.0), context=131072)
    add("longrope, attention factor", 32, rope(16, attention_factor=1.19), context=131072)
    add("longrope, context not extended", 32, rope(16), context=4096)
    add("longrope, half of the head", 64, rope(16, factor=8.0, partial_rotary_factor=0.5))


def llama3():
    def rope(**more):
        return {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "original_max_position_embeddings": 8192, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **more}

    add("llama 3.1", 128, rope(), context=131072)
    add("llama 3.2", 64, rope(factor=32.0), context=131072)
    add("llama3, other ends", 64, rope(rope_theta=1e4, low_freq_factor=2, high_freq_factor=16), context=131072)
    add("llama3, half of the head", 64, rope(partial_rotary_factor=0.5), context=131072)


def proportional():
    add("proportional, Gemma 4", 256, {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25})
    add("proportional, an odd share", 32, {"rope_type": "proportional", "rope_theta": 1e4, "partial_rotary_factor": 0.35})
    add("proportional, divided", 32, {"rope_type": "proportional", "rope_theta": 1e4, "partial_rotary_factor": 0.5, "factor": 3.0})
    add("proportional, whole head", 32, {"rope_type": "proportional", "rope_theta": 1e4})
    add("proportional, nothing turns", 16, {"rope_type": "proportional", "rope_theta": 1e4, "partial_rotary_factor": 0.0})


def mrope():
    """Text, an image of 2 by 3 patches, text: as the processors of the Qwen-VL models place them; and one token far out."""
    time = [0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 262143]
    height = [0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 131071]
    width = [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 32768]
    places = [time, height, width]
    sectioned = {"mrope_section": [4, 6, 6]}
    interleaved = {"mrope_section": [6, 5, 5], "mrope_interleaved": True}
    add("sections, as Qwen2-VL", 32, {"type": "mrope", **sectioned}, rope_theta=1e6, model="qwen2_vl", places=places)
    add("sections under yarn", 32, {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768, **sectioned}, rope_theta=1e6, model="qwen2_vl", places=places)
    add("interleaved, as Qwen3-VL", 32, {"rope_type": "default", "rope_theta": 5e6, **interleaved}, model="qwen3_vl", places=places)
    add("interleaved, fewer turns for height", 32, {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [9, 2, 5], "mrope_interleaved": True}, model="qwen3_vl", places=places)
    add("interleaved, part of the head, as Qwen3.5", 64, {"rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25, "mrope_section": [3, 3, 2], "mrope_interleaved": True}, model="qwen3_5", places=places)
    add("sections, text alone", 32, {"rope_type": "default", "rope_theta": 1e6, **sectioned}, model="qwen2_vl")


for rule in (default, linear, dynamic, yarn, longrope, llama3, proportional, mrope):
    rule()
path = pathlib.Path(__file__).with_name("rope.json")
path.write_text("[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries) + "\n]\n")
print(f"{path.name}: {len(entries)} configurations, {path.stat().st_size / 1e3:.0f} KB")
