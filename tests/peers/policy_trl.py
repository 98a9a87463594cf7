# SPDX-License-Identifier: MIT
"""TRL's own policy-gradient losses on prescribed log-probabilities of tokens.

As in trl_losses.py the trainers are made by their own __init__. What is a stand-in is the method that computes log-probabilities and entropies
of a model: it returns the prescribed ones. Where a sampler is corrected for, TRL's own _generate_and_score_completions makes the ratios, of a
generation that is prescribed too; its log-probabilities pass through torch.tensor, so that for f64 the default type is double.
"""
import torch

import trl_losses  # before trl: it says how trl is to behave

import trl
from trl.experimental import gmpo
from trl.trainer import grpo_trainer

grpo_trainer.create_model_from_path = lambda *_, **__: trl_losses.tiny_model(trl_losses.CAUSAL)  # the reference: never called
PROMPTS = [{"prompt": "a "}] * 2
ALWAYS = {"num_generations": 2, "per_device_train_batch_size": 2, "steps_per_generation": 1, "gradient_accumulation_steps": 1}
trl_losses.TRAINERS.update({
    "GRPO": (trl.GRPOTrainer, trl.GRPOConfig, trl_losses.CAUSAL, PROMPTS, ALWAYS),
    "GMPO": (gmpo.GMPOTrainer, gmpo.GMPOConfig, trl_losses.CAUSAL, PROMPTS, ALWAYS),
    "RLOO": (trl.RLOOTrainer, trl.RLOOConfig, trl_losses.CAUSAL, PROMPTS, {**ALWAYS, "beta": 0.0}),
})


def make(name, options):
    """The trainer; the option "sampler" says that an engine of its own samples (use_vllm, which needs vLLM at __init__)."""
    options = dict(options)
    sampler = options.pop("sampler", False)
    made, warnings = trl_losses.make(name, options)
    made.use_vllm = sampler
    made.current_gradient_accumulation_steps = 1
    return made, warnings


def table(x, member, dtype):
    return torch.tensor(x[member], dtype=dtype).reshape(x["rows"], -1)


def inputs_of(trainer, x, dtype):
    """What the trainer's loss reads of a batch: completions end behind their last active token, tokens among them are masked as a tool's."""
    mask = torch.tensor(x["mask"]).reshape(x["rows"], x["columns"])
    ends = [max([t + 1 for t in range(x["columns"]) if row[t]], default=1) for row in mask.tolist()]
    completion = torch.tensor([[int(t < end) for t in range(x["columns"])] for end in ends])
    one = torch.ones(x["rows"], 1, dtype=torch.long)
    inputs = {"prompt_ids": one, "prompt_mask": one, "completion_ids": completion, "completion_mask": completion, "tool_mask": mask,
              "old_per_token_logps": table(x, "old_logp", dtype), "ref_per_token_logps": table(x, "ref_logp", dtype),
              "advantages": torch.tensor(x["advantage"], dtype=dtype), "num_items_in_batch": torch.tensor(x["items"])}
    if trainer.peer == "RLOO":  # has no tool_mask; its sums are formed as in its _generate_and_score_completions
        inputs.update(completion_mask=mask, old_logps=(inputs["old_per_token_logps"] * mask).sum(1))
    if trainer.use_vllm:
        inputs.update(corrections(trainer, x, inputs, ends, dtype))
    return inputs


def corrections(trainer, x, inputs, ends, dtype):
    """The ratios to the sampler, by TRL's own code."""
    rows, width = x["rows"], max(ends)
    cut = {name: inputs[name][:, :width] for name in ("old_per_token_logps", "ref_per_token_logps")}
    sampled = [table(x, "sampler_logp", dtype)[row, :end].tolist() for row, end in enumerate(ends)]
    masks = [inputs["tool_mask"][row, :end].tolist() for row, end in enumerate(ends)]
    ids = [[3] * end for end in ends]
    trainer._generate = lambda prompts: ([[3]] * rows, ids, masks, ["b"] * rows, sampled, {}, None, None)
    trainer._get_per_token_logps_and_entropies = lambda model, *_, **__: (
        cut["ref_per_token_logps" if model is trainer.ref_model else "old_per_token_logps"], None, None)
    torch.set_default_dtype(dtype)
    try:
        made = trainer._generate_and_score_completions([{"prompt": "a "}] * rows)
    finally:
        torch.set_default_dtype(torch.float32)
    filled = {"sampling_per_token_logps": pad(made["sampling_per_token_logps"], x["columns"], 0.0)}
    ratios = made["importance_sampling_ratio"]  # one a row in the modes of sequences
    single = trainer.vllm_importance_sampling_mode.startswith("token")
    return {**filled, "importance_sampling_ratio": pad(ratios, x["columns"], 1.0) if single else ratios}


def pad(values, columns, value):
    return torch.nn.functional.pad(values, (0, columns - values.shape[1]), value=value)


def run(trainer, x, dtype):
    """{"loss": ..., "d row,column": ..., "h row,column": ...}: the loss, its derivatives by log-probabilities and by entropies."""
    logps, entropies = table(x, "logp", dtype).requires_grad_(), table(x, "entropy", dtype).requires_grad_()
    inputs = inputs_of(trainer, x, dtype)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logps, entropies, None)
    loss = trainer.compute_loss(None, inputs)
    loss.backward()
    found = {"loss": loss.item()}
    for name, leaf in (("d", logps), ("h", entropies)):
        found.update((f"{name} {r},{t}", 0.0 if leaf.grad is None else leaf.grad[r, t].item()) for r in range(x["rows"]) for t in range(x["columns"]))
    return found
