"""Writes routing.json: what transformers' routers make of drawn logits.

The gate's matrix is the identity, so that hidden states are the logits. Experts stand in descending order of the scores that chose them;
DeepSeek-V3's own order is not defined. Switch's dropped tokens have expert -1.

    python test/golden/routing.py          # writes routing.json beside this file
"""

import json
import pathlib

import numpy
import torch
from transformers import DeepseekV3Config, Qwen3MoeConfig, SwitchTransformersConfig
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeTopKRouter
from transformers.models.switch_transformers.modeling_switch_transformers import SwitchTransformersTop1Router

ROWS = 6
entries = []


def shortest(values):
    """Decimals that round to the same f32."""
    return [json.loads(numpy.format_float_scientific(x, trim="-")) for x in values.numpy().astype(numpy.float32).ravel()]


def draw(seed, *shape, scale=1.5):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def add(name, router, options, logits, experts, weights, **more):
    entries.append(
        {
            "name": name,
            "router": router,
            "options": options,
            "shape": list(logits.shape),
            "logits": shortest(logits),
            **more,
            "experts": experts.ravel().tolist(),
            "weights": shortest(weights),
        }
    )


def qwen3(seed, num_experts, k, norm):
    config = Qwen3MoeConfig(hidden_size=num_experts, num_experts=num_experts, num_experts_per_tok=k, norm_topk_prob=norm)
    router = Qwen3MoeTopKRouter(config)
    router.weight.data = torch.eye(num_experts)
    logits = draw(seed, ROWS, num_experts)
    _, weights, experts = router(logits)
    name = f"Qwen3-MoE, {k} of {num_experts}, {'normalised' if norm else 'as they are'}"
    add(name, "qwen3_moe", {"numExpertsPerTok": k, "normTopkProb": norm}, logits[None], experts, weights)


def deepseek(seed, num_experts, k, groups, top_groups, norm, factor, bias_scale):
    config = DeepseekV3Config(
        hidden_size=num_experts,
        n_routed_experts=num_experts,
        num_experts_per_tok=k,
        n_group=groups,
        topk_group=top_groups,
        norm_topk_prob=norm,
        routed_scaling_factor=factor,
    )
    router = DeepseekV3TopkRouter(config)
    router.weight.data = torch.eye(num_experts)
    bias = draw(seed + 1, num_experts, scale=bias_scale)
    router.e_score_correction_bias.copy_(bias)
    logits = draw(seed, ROWS, num_experts)
    _, weights, experts = router(logits)
    order = (logits.sigmoid() + bias).gather(1, experts).argsort(-1, descending=True)
    options = {"numExpertsPerTok": k, "normTopkProb": norm, "routedScalingFactor": factor, "nGroup": groups, "topkGroup": top_groups}
    name = f"DeepSeek-V3, {k} of {num_experts}, {top_groups} of {groups} groups, {'normalised' if norm else 'as they are'}, times {factor}"
    add(name, "deepseek_v3", options, logits[None], experts.gather(1, order), weights.gather(1, order), bias=shortest(bias))


def switch(seed, num_experts, capacity, shape):
    config = SwitchTransformersConfig(hidden_size=num_experts, num_experts=num_experts, expert_capacity=capacity, router_jitter_noise=0)
    router = SwitchTransformersTop1Router(config).eval()
    router.classifier.weight.data = torch.eye(num_experts)
    logits = draw(seed, *shape, num_experts)
    kept, probs, _ = router(logits)[:3]
    # The one-hot mask of kept tokens, whatever the version calls its outputs.
    if kept.shape[-1] != num_experts:
        raise ValueError(kept.shape)
    any_kept = kept.sum(-1) > 0
    experts = torch.where(any_kept, kept.argmax(-1), -1)
    weights = torch.where(any_kept, probs.squeeze(-1), 0.0)
    name = f"Switch, {num_experts} experts, {capacity} tokens of {shape[1]} each"
    add(name, "switch_transformers", {"capacity": capacity}, logits, experts, weights)


with torch.no_grad():
    for n, (num_experts, k) in enumerate([(8, 2), (8, 1), (5, 5), (128, 8)]):
        for norm in (True, False):
            qwen3(10 * n + norm, num_experts, k, norm)
    deepseek(100, 16, 4, 1, 1, True, 2.5, 0.1)
    deepseek(110, 16, 4, 4, 2, True, 2.5, 0.1)
    deepseek(120, 16, 3, 8, 3, False, 1.0, 0.3)
    deepseek(130, 64, 6, 8, 4, True, 16.0, 0.2)
    deepseek(140, 12, 4, 2, 2, False, 0.5, 1.0)
    deepseek(150, 12, 2, 3, 1, True, 1.0, 0.0)
    switch(200, 4, 2, (2, 9))
    switch(210, 3, 1, (3, 5))
    switch(220, 4, 9, (2, 9))

path = pathlib.Path(__file__).with_name("routing.json")
path.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")
print(f"{len(entries)} routers, {path.stat().st_size} bytes")
