"""Writes mixtures.json: what transformers computes for mixtures with a shared expert, forward and backward.

Each entry is one feed-forward block, alone: its weights, an input, the output, and the gradients of sum(output * direction). As in
make.py the values are those of a run in f64, each with its distance to the same run in f32.

    python test/golden/mixtures.py          # writes mixtures.json beside this file
"""

import json
import pathlib

import torch
from make import F32, F64, MIN_GAP, distance, precision
from transformers import DeepseekV3Config, Qwen2MoeConfig
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeSparseMoeBlock

BATCH, TOKENS, HIDDEN, EXPERTS = 2, 3, 8, 5
COMMON = dict(hidden_size=HIDDEN, moe_intermediate_size=4, num_experts_per_tok=2, experts_implementation="eager")
QWEN2 = dict(num_experts=EXPERTS, shared_expert_intermediate_size=6)
DEEPSEEK = dict(n_routed_experts=EXPERTS, n_shared_experts=2, n_group=1, topk_group=1, routed_scaling_factor=2.5)
CASES = {
    "Qwen2-MoE": (Qwen2MoeSparseMoeBlock, Qwen2MoeConfig, QWEN2 | dict(norm_topk_prob=False)),
    "Qwen2-MoE, weights normalised": (Qwen2MoeSparseMoeBlock, Qwen2MoeConfig, QWEN2 | dict(norm_topk_prob=True)),
    "DeepSeek-V3, one group": (DeepseekV3MoE, DeepseekV3Config, DEEPSEEK | dict(norm_topk_prob=True)),
}


def drawn(generator, *shape):
    """Multiples of 1/64: f32 has them, and they are short to write."""
    return (torch.randn(*shape, generator=generator) * 48).round() / 64


def state(block):
    return {**dict(block.named_parameters()), **dict(block.named_buffers())}


def run(make, weights, x, direction, dtype):
    with precision(dtype):
        block = make().eval()
        with torch.no_grad():
            for name, value in state(block).items():
                value.copy_(weights[name].to(dtype))
        x = x.to(dtype).requires_grad_()
        output = block(x)
        (output * direction.to(dtype)).sum().backward()
        found = {"output": output.detach(), "grad.x": x.grad}
        return found | {f"grad.{name}": parameter.grad for name, parameter in block.named_parameters()}


def gap(weights, x, k):
    """By how much the chosen experts are preferred, at least, on the scale of scores."""
    logits = (x.reshape(-1, HIDDEN) @ weights["gate.weight"].T).to(F64)
    bias = weights.get("gate.e_score_correction_bias")
    scores = logits.softmax(-1) if bias is None else logits.sigmoid() + bias
    best = scores.sort(-1, descending=True).values
    return (best[:, k - 1] - best[:, k]).min().item()


def entry(name, seed=1):
    block, config, options = CASES[name]
    config = config(**COMMON, **options)
    config._experts_implementation = "eager"
    make = lambda: block(config)
    while True:
        generator = torch.Generator().manual_seed(seed)
        weights = {key: drawn(generator, *value.shape) for key, value in state(make()).items()}
        x, direction = (drawn(generator, BATCH, TOKENS, HIDDEN) for _ in range(2))
        if gap(weights, x, config.num_experts_per_tok) >= MIN_GAP:
            break
        seed += 1
    truth, single = (run(make, weights, x, direction, dtype) for dtype in (F64, F32))
    listed = lambda tensors: {key: dict(shape=list(value.shape), data=value.flatten().tolist()) for key, value in tensors.items()}
    expected = listed(truth)
    for key, value in expected.items():
        value["data"] = [float(f"{number:.11g}") for number in value["data"]]
        value["distance"] = distance(truth[key], single[key])
    chosen = {key: options[key] for key in ("norm_topk_prob", "routed_scaling_factor") if key in options}
    return dict(name=name, config=COMMON | chosen, weights=listed(weights), inputs=listed(dict(x=x, direction=direction)), expected=expected)


torch.set_num_threads(1)
entries = [entry(name) for name in CASES]
path = pathlib.Path(__file__).with_name("mixtures.json")
path.write_text("[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in entries) + "\n]\n")
print(f"{path.name}: {len(entries)} blocks, {path.stat().st_size / 1e3:.0f} KB")
