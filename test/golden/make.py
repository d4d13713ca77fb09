"""Writes the golden fixtures: tiny random Qwen3 models and every number of their forward and backward pass.

The numbers come from transformers, run once in f32 and once in f64. The f64 values are stored, and for each tensor the
distance between the two runs, which says how far plain f32 arithmetic strays from the truth on this very model.
README.md beside this file describes what is written.
"""

import argparse
import contextlib
import json
import pathlib
import re

import torch
import transformers
from safetensors.torch import save_file
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.models.qwen3 import modeling_qwen3
from transformers.models.qwen3_moe import modeling_qwen3_moe

F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
IGNORED = -100
MIN_GAP = 1e-3
ROWS, TOKENS, PADDING = 2, 7, 3

DENSE = dict(
    model_type="qwen3", vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, initializer_range=0.25, tie_word_embeddings=False, max_position_embeddings=64,
)
# The coefficient is far above the usual 0.001 so that the auxiliary loss is visible in the gradients.
MOE = DENSE | dict(
    model_type="qwen3_moe", num_experts=6, num_experts_per_tok=2, moe_intermediate_size=16, norm_topk_prob=True,
    router_aux_loss_coef=0.1,
)
YARN = dict(rope_type="yarn", rope_theta=1e6, factor=4.0, original_max_position_embeddings=32768)

# padding: the side on which the last row is padded. fused: expert weights as [E, out, in], not one matrix an expert.
# old_config: config.json with the keys that transformers wrote before version 5.
CASES = {
    "moe-norm": dict(config=MOE, padding="right"),
    "moe-raw": dict(config=MOE | dict(norm_topk_prob=False, tie_word_embeddings=True), padding="left", old_config=True),
    "moe-mixed": dict(
        config=MOE | dict(
            num_hidden_layers=3, mlp_only_layers=[1], intermediate_size=24, attention_bias=True,
            tie_word_embeddings=True,
        ),
        padding="left", fused=True,
    ),
    "moe-yarn": dict(
        config=MOE | dict(
            norm_topk_prob=False, decoder_sparse_step=2, rope_parameters=YARN, max_position_embeddings=131072
        ),
        padding="right",
    ),
    "dense": dict(config=DENSE | dict(tie_word_embeddings=True), padding="right", dtype=F32),
}


# ---- the model and its inputs ----


def draw_weights(model, generator, dtype):
    """Norm weights lie around 1, not at 1, so that a forgotten or swapped one shows."""
    std = model.config.initializer_range
    weights = {}
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator) * std
        weights[name] = (1 + noise if "norm" in name else noise).to(dtype)
    return weights


def draw_inputs(vocab, padding, generator):
    """The last row is padded. Tokens under the padding are drawn too: they must not matter."""
    input_ids = torch.randint(vocab, (ROWS, TOKENS), generator=generator)
    mask = torch.ones_like(input_ids)
    mask[-1, slice(0, PADDING) if padding == "left" else slice(TOKENS - PADDING, None)] = 0
    labels = input_ids.clone()
    labels[mask == 0] = IGNORED
    # The logits of position t - 1 are scored against labels[t], so the first real token after left padding would be
    # predicted from a padded row.
    labels[:, 0] = IGNORED
    labels[:, 1:][mask[:, :-1] == 0] = IGNORED
    # One real token that is not scored, as in a prompt.
    labels[0, 2] = IGNORED
    position_ids = (mask.cumsum(-1) - 1).clamp(min=0)
    return dict(input_ids=input_ids, attention_mask=mask, position_ids=position_ids, labels=labels)


# ---- one run ----


class RefuseF32(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            assert getattr(value, "dtype", None) != F32, f"{func} rounded to f32 in the f64 run"
        return result


@contextlib.contextmanager
def precision(dtype):
    """In the f64 run every up-cast to f32 that the modules make on purpose has to stay in f64."""
    if dtype == F32:
        yield
        return
    cast = torch.Tensor.float
    torch.set_default_dtype(F64)
    torch.float32 = torch.float = F64
    torch.Tensor.float = torch.Tensor.double
    try:
        with RefuseF32():
            yield
    finally:
        torch.float32 = torch.float = F32
        torch.Tensor.float = cast
        torch.set_default_dtype(F32)


def watch(model, stages):
    """Hooks that keep each stage, in the order in which it is computed."""

    def keep(name, pick=lambda output: output):
        def hook(module, args, output):
            stages[name] = pick(output).detach()

        return hook

    inner = model.model
    inner.embed_tokens.register_forward_hook(keep("stage.embed"))
    for i, layer in enumerate(inner.layers):
        at = f"stage.layers.{i}."
        for part in ("input_layernorm", "post_attention_layernorm"):
            getattr(layer, part).register_forward_hook(keep(at + part))
        for part in ("q_norm", "k_norm", "o_proj"):
            getattr(layer.self_attn, part).register_forward_hook(keep(f"{at}self_attn.{part}"))
        gate = getattr(layer.mlp, "gate", None)
        if gate is not None:
            gate.register_forward_hook(keep(at + "mlp.gate", lambda output: output[0]))
            gate.register_forward_hook(keep(at + "mlp.routing_weights", lambda output: output[1]))
            gate.register_forward_hook(keep(at + "mlp.experts", lambda output: output[2]))
        layer.mlp.register_forward_hook(keep(at + "mlp.output"))
        layer.register_forward_hook(keep(at + "output"))
    inner.norm.register_forward_hook(keep("stage.norm"))
    model.lm_head.register_forward_hook(keep("stage.logits"))


@contextlib.contextmanager
def watched_attention(stages):
    """What goes into the attention function, after RoPE, and what comes out, is no module's output."""

    def wrap(attend):
        def watched(module, query, key, value, *args, **kwargs):
            context, scores = attend(module, query, key, value, *args, **kwargs)
            at = f"stage.layers.{module.layer_idx}.self_attn."
            for name, heads in (("q_rope", query), ("k_rope", key), ("v", value)):
                stages[at + name] = heads.detach().transpose(1, 2)
            stages[at + "context"] = context.detach()
            return context, scores

        return watched

    files = (modeling_qwen3, modeling_qwen3_moe)
    before = [file.eager_attention_forward for file in files]
    for file, attend in zip(files, before):
        file.eager_attention_forward = wrap(attend)
    try:
        yield
    finally:
        for file, attend in zip(files, before):
            file.eager_attention_forward = attend


def run(config, weights, inputs, dtype):
    """Stages, losses, and gradients in the order in which the backward pass finishes them."""
    stages, gradients = {}, {}
    with precision(dtype), watched_attention(stages):
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name].to(dtype))
        watch(model, stages)
        for name, parameter in model.named_parameters():
            parameter.register_post_accumulate_grad_hook(lambda p, name=name: gradients.setdefault(name))
        is_moe = config.model_type == "qwen3_moe"
        output = model(**inputs, use_cache=False, **(dict(output_router_logits=True) if is_moe else {}))
        output.loss.backward()
        gradients = {name: model.get_parameter(name).grad for name in gradients}
        cross_entropy = model.loss_function(output.logits, inputs["labels"], config.vocab_size)
    assert gradients.keys() == weights.keys(), "a parameter without a gradient"
    losses = {"loss.cross_entropy": cross_entropy}
    if is_moe:
        losses["loss.aux"] = output.aux_loss
    losses["loss.total"] = output.loss
    return stages, {name: value.detach() for name, value in losses.items()}, gradients


# ---- what is written ----


def per_expert(tensors):
    """In memory the experts are fused, gate rows above up rows; published checkpoints hold one matrix an expert."""
    out = {}
    for name, value in tensors.items():
        if name.endswith("experts.gate_up_proj"):
            for e, (gate, up) in enumerate(matrix.chunk(2) for matrix in value):
                prefix = name.replace("gate_up_proj", str(e))
                out[prefix + ".gate_proj.weight"], out[prefix + ".up_proj.weight"] = gate, up
        elif name.endswith("experts.down_proj"):
            for e, down in enumerate(value):
                out[name.replace("down_proj", f"{e}.down_proj.weight")] = down
        else:
            out[name] = value
    return out


def real_rows(stages, mask):
    """[B, T, ...] with padded rows set to 0: what stands in them depends on how the mask hides, not on the model."""
    out = {}
    for name, value in stages.items():
        # The router works on flattened rows.
        value = value.unflatten(0, mask.shape) if value.shape[0] == mask.numel() else value
        padded = mask.reshape(*mask.shape, *[1] * (value.dim() - 2)) == 0
        out[name] = value.masked_fill(padded, 0)
    return out


def measure(config, weights, inputs, dtype, fused):
    stages, losses, gradients = run(config, weights, inputs, dtype)
    gradients = gradients if fused else per_expert(gradients)
    stages = real_rows(stages, inputs["attention_mask"])
    return stages | losses | {f"grad.{name}": value for name, value in gradients.items()}


def split(name, value):
    """48 bits instead of 64, to save room: the nearest f32, and what is left as bf16, whose exponent reaches as far."""
    if not value.is_floating_point():
        return {name: value.to(torch.int32)}
    high = value.to(F32)
    return {name: high, name + ".lo": (value - high.to(F64)).to(BF16)}


def distance(a, b):
    return (a.to(F64) - b.to(F64)).abs().max().item()


def write_json(path, value):
    """Spelled as the project's formatter wants it: short lists and objects on one line, exponents without zeros."""

    def flat(match):
        line = " ".join(match[0].split()).replace("[ ", "[").replace(" ]", "]")
        return line if len(line) <= 104 else match[0]

    text = re.sub(r"(?<=\de)-0", "-", json.dumps(value, indent=2))
    path.write_text(re.sub(r"[\[{][^\[\]{}]*[\]}]", flat, text) + "\n")


def old_config(config):
    """The keys that version 4 wrote; the rest is common to both."""
    out = {key: value for key, value in config.items() if key not in ("rope_parameters", "num_local_experts", "dtype")}
    rope = config["rope_parameters"]
    assert rope["rope_type"] == "default", "the older keys are written for plain RoPE only"
    return out | dict(
        num_experts=config["num_local_experts"], rope_theta=rope["rope_theta"], rope_scaling=None,
        torch_dtype=config["dtype"], transformers_version="4.57.6",
    )


# ---- checks on what was computed ----


def router_gap(values, mask, k):
    """The smallest step between neighbours among a row's k + 1 largest probabilities: keeps both set and order safe."""
    smallest = 1.0
    for name, logits in values.items():
        if name.endswith("mlp.gate"):
            p = logits[mask.bool()].softmax(-1).sort(-1, descending=True).values
            smallest = min([smallest, *(p[:, :-1] - p[:, 1:])[:, :k].flatten().tolist()])
    return smallest


def check_losses(values, inputs, config):
    """Both losses again from their definitions, so that the stored stages are known to belong to the stored losses."""
    log_p = values["stage.logits"].log_softmax(-1)
    scored = [(b, t) for b in range(ROWS) for t in range(1, TOKENS) if inputs["labels"][b, t] != IGNORED]
    by_hand = -sum(log_p[b, t - 1, inputs["labels"][b, t]] for b, t in scored) / len(scored)
    assert distance(by_hand, values["loss.cross_entropy"]) < 1e-12
    total = values["loss.cross_entropy"]
    if "loss.aux" in values:
        mask = inputs["attention_mask"].bool()
        logits = torch.cat([v[mask] for name, v in values.items() if name.endswith("mlp.gate")])
        chosen = torch.cat([v[mask] for name, v in values.items() if name.endswith("mlp.experts")])
        share = F.one_hot(chosen, config.num_experts).sum(1).to(F64).mean(0)
        by_hand = config.num_experts * (share * logits.softmax(-1).mean(0)).sum()
        assert distance(by_hand, values["loss.aux"]) < 1e-12
        total = total + config.router_aux_loss_coef * values["loss.aux"]
    assert distance(total, values["loss.total"]) < 1e-12


def check_padding(values, config, weights, inputs, fused):
    """Other tokens under the padding may change nothing at all."""
    mask = inputs["attention_mask"]
    other = torch.where(mask.bool(), inputs["input_ids"], (inputs["input_ids"] + 1) % config.vocab_size)
    again = measure(config, weights, inputs | dict(input_ids=other), F64, fused)
    for name, value in values.items():
        assert distance(value, again[name]) < 1e-12, f"{name} depends on padding"


def check_folder(folder, weights):
    """transformers itself must read the folder back, to the last bit."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=F32)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, weights[name].to(F32)), f"{folder}: {name} was not read back"


# ---- one fixture ----


def make(folder, config, seed, padding, fused=False, dtype=BF16, old=False):
    config = AutoConfig.for_model(**config)
    config._attn_implementation = config._experts_implementation = "eager"
    # Otherwise the models would be built in the type that the file was saved in.
    config.dtype = None
    while True:
        generator = torch.Generator().manual_seed(seed)
        weights = draw_weights(AutoModelForCausalLM.from_config(config), generator, dtype)
        inputs = draw_inputs(config.vocab_size, padding, generator)
        truth = measure(config, weights, inputs, F64, fused)
        gap = router_gap(truth, inputs["attention_mask"], getattr(config, "num_experts_per_tok", 0))
        if gap >= MIN_GAP:
            break
        seed += 1
    single = measure(config, weights, inputs, F32, fused)
    check_losses(truth, inputs, config)
    check_padding(truth, config, weights, inputs, fused)

    folder.mkdir(parents=True, exist_ok=True)
    saved = json.loads(config.to_json_string(use_diff=True)) | dict(
        architectures=[MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type]], dtype=str(dtype).split(".")[1]
    )
    write_json(folder / "config.json", dict(sorted((old_config(saved) if old else saved).items())))

    stored = weights if fused else per_expert(weights)
    stored = {name: value.contiguous() for name, value in stored.items()}
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    check_folder(folder, weights)

    parts = {name: value.to(torch.int32) for name, value in inputs.items()}
    for name, value in truth.items():
        parts |= split(name, value.contiguous())
    save_file(parts, folder / "golden.safetensors")
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)

    about = dict(
        format="qwen-blocks-golden", version=1, seed=seed, padding=padding, torch=torch.__version__.split("+")[0],
        transformers=transformers.__version__, routerAuxLossCoef=getattr(config, "router_aux_loss_coef", 0),
    )
    if "loss.aux" in truth:
        about |= dict(routerGap=gap)
    order = [dict(name=name, distance=distance(single[name], value)) for name, value in truth.items()]
    write_json(folder / "golden.json", about | dict(tensors=order))
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder.name}: seed {seed}, router gap {gap:.4f}, {len(order)} tensors, {size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = pathlib.Path(__file__).parent
    parser.add_argument("--out", type=pathlib.Path, default=here, help="where the folders go")
    parser.add_argument("--only", choices=CASES, help="make one folder")
    parser.add_argument("--seed", type=int, default=1, help="the first seed that is tried")
    parser.add_argument("--config", type=pathlib.Path, help="make a folder, named after the file, from a config.json")
    parser.add_argument("--padding", choices=("left", "right"), default="right", help="with --config")
    parser.add_argument("--fused", action="store_true", help="with --config: expert weights as [E, out, in]")
    options = parser.parse_args()

    transformers.utils.logging.disable_progress_bar()
    # One thread, so that sums are taken in one order and the files come out the same every time.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if options.config:
        config = json.loads(options.config.read_text())
        make(options.out / options.config.stem, config, options.seed, options.padding, options.fused)
        return
    for name, case in CASES.items():
        if options.only in (None, name):
            case = dict(case)
            make(options.out / name, seed=options.seed, old=case.pop("old_config", False), **case)


if __name__ == "__main__":
    main()
