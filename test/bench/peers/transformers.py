"""A training step or greedy decoding of a random model in transformers, taking turns with the library.

The last argument is a JSON object, and so is each answer: see player.ts and turns.ts beside this folder, whose rules
are kept here. `python transformers.py '{"list": true}'` answers with the experts implementations there are.
"""

import contextlib
import json
import os
import statistics
import sys
import time

# This file has the name of the package that it imports, so its folder must not be searched first.
sys.path = [path for path in sys.path if os.path.abspath(path or ".") != os.path.dirname(os.path.abspath(__file__))]

TURN_SECONDS = 0.3
CHUNK = 512


def say(**answer):
    print(json.dumps(answer), file=ANSWERS, flush=True)


def build(task):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(task["threads"])
    torch.manual_seed(1)
    fields = dict(task["config"])
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    experts = {"experts_implementation": task["experts"]} if task["experts"] else {}
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32, **experts)


def training(model, task):
    """Forward, backward, clipping, AdamW, and the loss read back: what Trainer.step does."""
    import torch

    model.train()
    vocab = model.config.vocab_size
    ids = torch.randint(vocab, (task["batch"], task["tokens"] + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    sparse = getattr(model.config, "num_experts", 0) > 0
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-9, betas=(0.9, 0.95), fused=True)
    router = {"output_router_logits": True} if sparse else {}

    def run():
        optimizer.zero_grad(set_to_none=True)
        out = model(input_ids=inputs, labels=targets, shift_labels=targets, use_cache=False, **router)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return out.loss.item()

    return run


def decoding(model, task):
    """Greedy, one token at a time behind `tokens` of context, each read back before the next."""
    import torch
    from transformers import DynamicCache

    model.eval()
    prompt = torch.randint(model.config.vocab_size, (1, task["tokens"]))
    before = task["tokens"] - 1
    cache = DynamicCache(config=model.config)

    def forward(ids):
        with torch.inference_mode():
            return model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits

    for start in range(0, before, CHUNK):
        forward(prompt[:, start : min(start + CHUNK, before)])

    def run():
        last = prompt[:, before:]
        for _ in range(task["decoded"]):
            chosen = forward(last)[0, -1].argmax().item()
            last = torch.tensor([[chosen]])
        cache.crop(-task["decoded"])
        assert cache.get_seq_length() == before

    return run


def turn(run):
    run()
    times = []
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < TURN_SECONDS:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def implementations():
    """Every way that this version can compute the experts, its own loop first."""
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    return ["eager", *sorted(ALL_EXPERTS_FUNCTIONS.keys())]


def main(task):
    try:
        import torch
        import transformers

        info = {"torch": torch.__version__, "transformers": transformers.__version__}
        if task.get("list"):
            return say(info=info | {"experts": ",".join(implementations())})
        model = build(task)
        run = {"training": training, "decode": decoding}[task["phase"]](model, task)
        run()
    except Exception as error:
        return say(failed=f"{type(error).__name__}: {error}".split("\n")[0])
    attention = model.config._attn_implementation
    say(info=info | {"threads": torch.get_num_threads(), "attention": attention})
    wall, processor = time.perf_counter(), time.process_time()
    for _ in sys.stdin:
        idle = (time.process_time() - processor) / (time.perf_counter() - wall)
        say(milliseconds=turn(run), idle=idle)
        wall, processor = time.perf_counter(), time.process_time()


if __name__ == "__main__":
    ANSWERS = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        main(json.loads(sys.argv[-1]))
