# SPDX-License-Identifier: MIT
"""Which of its options each TRL loss makes use of: one is changed, and loss and gradients of a few samples are compared, bit by bit."""
import torch

import policy_inputs
import policy_trl
import trl_losses

PAIRS = [{"chosen": w, "rejected": l, "ref_chosen": w - d, "ref_rejected": l + d, "chosen_length": 12.0, "rejected_length": 7.0,
          "target": -9.0, "target_length": 6.0} for w, l, d in ((-20.0, -12.0, 1.5), (-9.0, -21.0, -2.25), (-15.0, -14.0, 0.5))]
SINGLES = [{"logp": p, "ref_logp": p - 1.5, "length": 5.0, "label": label, "kl": 0.25} for p, label in ((-9.0, 1.0), (-7.0, -1.0))]

# trainer: the losses it offers, the options common to all, and for each option tried another value of it
TRIED = {
    "DPO": (["sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero",
             "apo_down", "discopop", "sft", "sigmoid_norm"], {"label_smoothing": 0.0625},
            {"beta": 0.25, "label_smoothing": 0.25, "f_divergence_type": "forward_kl", "discopop_tau": 0.5, "ld_alpha": 0.5,
             "use_weighting": True}),
    "KTO": (["kto", "apo_zero_unpaired"], {}, {"beta": 0.25, "desirable_weight": 0.5, "undesirable_weight": 0.5}),
    "CPO": (["sigmoid", "hinge", "ipo", "simpo", "alphapo"], {"alpha": 0.125},
            {"beta": 0.25, "label_smoothing": 0.25, "cpo_alpha": 0.5, "simpo_gamma": 0.25, "alpha": 0.25}),
    "TPO": (["sigmoid", "hinge", "ipo", "tpo-l"], {}, {"beta": 0.25, "label_smoothing": 0.25, "tpo_alpha": 0.5, "tpo_l_gamma": 0.25}),
}


# The same of policy gradient. RLOOConfig has none of GRPO's options of the loss but epsilon.
CHANGED = {"importance_sampling_level": "sequence", "epsilon": 0.0625, "epsilon_high": 0.0625, "delta": 1.0625, "use_bias_correction_kl": False,
           "off_policy_mask_threshold": 0.001, "top_entropy_quantile": 0.5, "entropy_coef": 0.125, "max_completion_length": 16,
           "sapo_temperature_pos": 2.0, "vespo_k_pos": 4.0, "vllm_importance_sampling_mode": "token_mask"}
SAMPLED = {"beta": 0.0625, "sampler": True, "vllm_importance_sampling_mode": "token_truncate", "vllm_importance_sampling_clip_max": 1.125}
POLICY = {
    "GRPO": (["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"], SAMPLED, CHANGED),
    "GMPO": (["grpo"], {**SAMPLED, "epsilon": 0.125, "epsilon_high": 0.125}, {**CHANGED, "loss_type": "dapo"}),
}
TRIED_ALL = {**TRIED, **POLICY}
BATCHES = list(policy_inputs.realistic(0.25))[:4]


def make(name, settings):
    return (policy_trl if name in POLICY else trl_losses).make(name, settings)


def numbers(trainer, samples):
    if trainer.peer in POLICY:
        return [policy_trl.run(trainer, x, torch.float64) for x in samples]
    return [trl_losses.run(trainer, x, torch.float64, spread=True) for x in samples]


def outcome(name, before, option, value):
    """refused, fails (accepted, but no gradient comes), ignored (with a warning?) or used."""
    samples = BATCHES if name in POLICY else SINGLES if name == "KTO" else PAIRS
    base, _ = make(name, before)
    try:
        changed, warnings = make(name, {**before, option: value})
    except (ValueError, NotImplementedError) as error:
        return f"refused ({type(error).__name__})"
    try:
        if numbers(base, samples) != numbers(changed, samples):
            return "used"
    except RuntimeError as error:
        return f"fails ({type(error).__name__})"
    return "ignored, warns" if any(option in text for text in warnings) else "ignored"


def table(name):
    """Rows of the table of one trainer, the heading first."""
    losses, common, options = TRIED_ALL[name]
    yield [f"{name}Trainer", *(f"`{option}`" for option in options)]
    for loss in losses:
        yield [f"`{loss}`", *(outcome(name, {"loss_type": loss, **common}, option, value) for option, value in options.items())]
