# SPDX-License-Identifier: MIT
"""TRL's own losses on prescribed log-probabilities, one sample at a time.

The trainers are real: each is made by its own __init__ from its own configuration, on a one-layer model and a data set of six words, so
that options are checked, completed and refused by TRL. What is a stand-in is the policy whose outputs the loss is computed from: it
returns the prescribed log-probabilities. Where a trainer takes logits (CPO, ORPO, TPO, A2PO), the stand-in's "logits" have a single
column, the log-probability of the token, and the two functions that make log-probabilities and cross-entropies of logits hand it on.
A completion's log-probability lies on its first token and the others have 0, so that its sum is exact; every completion token has the
same derivative, and that of the first is read.
"""
import logging
import os
import tempfile
import types
import warnings

os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TRL_EXPERIMENTAL_SILENCE="1")

import datasets  # noqa: E402
import tokenizers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
import trl  # noqa: E402
from trl.experimental import a2po, cpo, orpo, tpo  # noqa: E402
from trl.experimental.a2po import a2po_trainer  # noqa: E402
from trl.experimental.cpo import cpo_trainer  # noqa: E402
from trl.experimental.orpo import orpo_trainer  # noqa: E402
from trl.experimental.tpo import tpo_trainer  # noqa: E402

datasets.disable_progress_bars()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

IGNORED = -100  # the label of a token without a loss


class Replaced:
    """A module with some of its functions replaced."""

    def __init__(self, module, **functions):
        self.module = module
        self.__dict__.update(functions)

    def __getattr__(self, name):
        return getattr(self.module, name)


def only_column(logits, *_, **__):
    return logits[..., 0]


def mean_nll(logits, labels):
    return -logits[labels != IGNORED, 0].mean()


for module in (a2po_trainer, cpo_trainer, orpo_trainer):
    module.selective_log_softmax = only_column
for module in (cpo_trainer, orpo_trainer):
    module.nn = Replaced(torch.nn, CrossEntropyLoss=lambda: mean_nll)
tpo_trainer.selective_log_softmax_and_entropy = lambda logits, *_, **__: (logits[..., 0], torch.zeros_like(logits[..., 0]))
tpo_trainer.F = Replaced(torch.nn.functional, cross_entropy=mean_nll)


# ---- the trainers

WORDS = ["[PAD]", "[EOS]", "[UNK]", "a", "b", "c"]
FOLDER = tempfile.mkdtemp()


def tokenizer():
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", eos_token="[EOS]", bos_token="[EOS]",
                                                unk_token="[UNK]")


def tiny_model(kind, **options):
    return kind(transformers.LlamaConfig(vocab_size=len(WORDS), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                         num_attention_heads=1, num_key_value_heads=1, pad_token_id=0, bos_token_id=1, eos_token_id=1,
                                         **options))


PAIR = {"prompt": "a ", "chosen": "b", "rejected": "c"}
ONE = {"prompt": "a ", "completion": "b"}
CAUSAL, SCORES = transformers.LlamaForCausalLM, transformers.LlamaForSequenceClassification
TRAINERS = {  # trainer, configuration, model, data, options that every one of them gets
    "DPO": (trl.DPOTrainer, trl.DPOConfig, CAUSAL, [PAIR] * 2, {"precompute_ref_log_probs": True}),
    "KTO": (trl.KTOTrainer, trl.KTOConfig, CAUSAL, [{**ONE, "label": True}, {**ONE, "label": False}] * 2,
            {"precompute_ref_log_probs": True, "per_device_train_batch_size": 2}),
    "Reward": (trl.RewardTrainer, trl.RewardConfig, SCORES, [PAIR] * 2, {}),
    "CPO": (cpo.CPOTrainer, cpo.CPOConfig, CAUSAL, [PAIR] * 2, {"remove_unused_columns": False}),
    "ORPO": (orpo.ORPOTrainer, orpo.ORPOConfig, CAUSAL, [PAIR] * 2, {"remove_unused_columns": False}),
    "TPO": (tpo.TPOTrainer, tpo.TPOConfig, CAUSAL, [{**PAIR, "reference": "b"}] * 2, {}),
    "A2PO": (a2po.A2POTrainer, a2po.A2POConfig, CAUSAL, [{"prompt": "a "}] * 2, {}),
}


REWARDED = {"A2PO", "GRPO", "GMPO", "RLOO"}  # trainers that sample, and are given a reward


class Warnings(logging.Handler):
    """The warnings that are given while it is in use."""

    def __enter__(self):
        self.texts = []
        self.loggers = [logging.getLogger(name) for name in ("trl", "transformers")]
        for logger in self.loggers:
            logger.addHandler(self)
        self.python = warnings.catch_warnings(record=True)
        self.caught = self.python.__enter__()
        warnings.simplefilter("always")
        return self

    def emit(self, record):
        self.texts.append(record.getMessage())

    def __exit__(self, *error):
        self.texts += [str(w.message) for w in self.caught]
        self.python.__exit__(*error)
        for logger in self.loggers:
            logger.removeHandler(self)


def make(name, options):
    """The trainer, made by its own __init__, and the warnings that it gave."""
    trainer, configuration, model, data, always = TRAINERS[name]
    with Warnings() as given:
        args = configuration(output_dir=FOLDER, bf16=False, use_cpu=True, report_to="none", disable_tqdm=True, **always, **options)
        rewards = {"reward_funcs": lambda completions, **_: [0.0] * len(completions)} if name in REWARDED else {}
        made = trainer(model=tiny_model(model, **({"num_labels": 1} if model is SCORES else {})), args=args,
                       train_dataset=datasets.Dataset.from_list(data), processing_class=tokenizer(), **rewards)
    made.peer = name
    return made, given.texts


# ---- the losses

def tokens(sums, lengths, dtype, spread):
    """Log-probabilities of tokens, one row a completion. spread: over all tokens alike, not on the first."""
    rows = torch.zeros(len(sums), int(max(lengths)), dtype=dtype)
    for row, total, length in zip(rows, sums, lengths):
        if spread:
            row[:int(length)] = total / length
        else:
            row[0] = total
    return rows.requires_grad_()


def completion_mask(lengths):
    """1 for completion tokens, behind one token of prompt."""
    mask = torch.zeros(len(lengths), int(max(lengths)) + 1, dtype=torch.long)
    for row, length in zip(mask, lengths):
        row[1:1 + int(length)] = 1
    return mask


def as_logits(logps):
    """The single column, and a last position that predicts nothing."""
    return torch.cat([logps, torch.zeros_like(logps[:, :1])], dim=1).unsqueeze(-1)


def fused(logps):
    """What TRL's fused head returns of a policy."""
    zeros = torch.zeros_like(logps, requires_grad=False)
    return types.SimpleNamespace(log_probs=logps, entropy=zeros, log_sum_sq_probs=zeros - 1, mean_logits=zeros, is_top1=zeros.bool())


def dpo_loss(trainer, x, dtype, spread):
    lengths = x["chosen_length"], x["rejected_length"]
    logps, mask = tokens((x["chosen"], x["rejected"]), lengths, dtype, spread), completion_mask(lengths)
    inputs = {"input_ids": torch.zeros_like(mask), "attention_mask": mask, "completion_mask": mask,
              "ref_chosen_logps": torch.tensor([x["ref_chosen"]], dtype=dtype),
              "ref_rejected_logps": torch.tensor([x["ref_rejected"]], dtype=dtype)}
    return trainer.compute_loss(lambda **_: fused(logps), inputs), logps, ("chosen", "rejected")


def kto_loss(trainer, x, dtype, spread):
    lengths = (x["length"],)
    logps, mask = tokens((x["logp"],), lengths, dtype, spread), completion_mask(lengths)
    estimate = torch.tensor([[x.get("kl", 0.0)]], dtype=dtype)  # log-ratio of the one completion that the KL is estimated from
    one = torch.ones(1, 2, dtype=torch.long)
    inputs = {"input_ids": torch.zeros_like(mask), "attention_mask": mask, "completion_mask": mask, "label": torch.tensor([x["label"] > 0]),
              "ref_logps": torch.tensor([x["ref_logp"]], dtype=dtype), "ref_KL_logps": torch.zeros(1, dtype=dtype),
              "KL_input_ids": one, "KL_attention_mask": one, "KL_completion_mask": one}
    return trainer.compute_loss(lambda **call: fused(estimate if call["input_ids"] is one else logps), inputs), logps, ("logp",)


def reward_loss(trainer, x, dtype, spread):
    scores = torch.tensor([[x["chosen"]], [x["rejected"]]], dtype=dtype, requires_grad=True)
    inputs = {"attention_mask": torch.ones(2, 1, dtype=torch.long)}
    if x["margin"]:
        inputs["margin"] = torch.tensor([x["margin"]], dtype=dtype)
    return trainer.compute_loss(lambda **_: types.SimpleNamespace(logits=scores), inputs), scores, ("chosen", "rejected")


def concatenated_loss(trainer, x, dtype, spread):
    """CPO and ORPO."""
    lengths = x["chosen_length"], x["rejected_length"]
    logps, mask = tokens((x["chosen"], x["rejected"]), lengths, dtype, spread), completion_mask(lengths)
    attended = mask.clone()
    attended[:, 0] = 1
    batch = {}
    for k, name in enumerate(("chosen", "rejected")):
        ids = torch.full_like(mask[k:k + 1], 3)
        batch.update({f"{name}_input_ids": ids, f"{name}_attention_mask": attended[k:k + 1],
                      f"{name}_labels": ids.masked_fill(mask[k:k + 1] == 0, IGNORED)})
    return trainer.compute_loss(lambda *_, **__: types.SimpleNamespace(logits=as_logits(logps)), batch), logps, ("chosen", "rejected")


def tpo_loss(trainer, x, dtype, spread):
    names = ("chosen", "rejected", "target")[:3 if trainer.tpo_alpha else 2]
    lengths = [x[f"{name}_length"] for name in names]
    logps, mask = tokens([x[name] for name in names], lengths, dtype, spread), completion_mask(lengths)
    inputs = {"input_ids": torch.zeros_like(mask), "attention_mask": mask, "completion_mask": mask}
    return trainer.compute_loss(lambda **_: types.SimpleNamespace(logits=as_logits(logps)), inputs), logps, names


def a2po_loss(trainer, x, dtype, spread):
    logps = tokens((x["logp"],), (x["length"],), dtype, spread)
    mask = torch.ones(1, logps.shape[1] + 1, dtype=torch.long)
    inputs = {"input_ids": mask, "attention_mask": mask, "logits_to_keep": logps.shape[1],
              "ref_logps": torch.tensor([x["ref_logp"]], dtype=dtype), "rewards": torch.tensor([x["reward"]], dtype=dtype),
              "v_star": torch.zeros(1, dtype=dtype)}
    return trainer.compute_loss(lambda **_: types.SimpleNamespace(logits=as_logits(logps)), inputs), logps, ("logp",)


LOSSES = {"DPO": dpo_loss, "KTO": kto_loss, "Reward": reward_loss, "CPO": concatenated_loss, "ORPO": concatenated_loss, "TPO": tpo_loss,
          "A2PO": a2po_loss}


def run(trainer, x, dtype, spread=False):
    """The loss of one sample and its derivatives, {"loss": ..., "d_chosen": ...}; with spread, all derivatives of all tokens."""
    loss, leaf, names = LOSSES[trainer.peer](trainer, x, dtype, spread)
    loss.backward()
    if spread:
        return [loss.item(), *leaf.grad.flatten().tolist()]
    return {"loss": loss.item(), **{f"d_{name}": row[0].item() for name, row in zip(names, leaf.grad)}}
