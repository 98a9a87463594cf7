# SPDX-License-Identifier: MIT
"""What is compared of policy gradient: TRL's options beside attune's composition; what is known to differ, and why; where conventions differ."""
import dataclasses

from objectives import Known


@dataclasses.dataclass
class PolicyPeer:
    """trainer, options: TRL's (option "sampler": an engine of its own samples). lines: attune's, as the program policy reads them; its
    "normalizer" is "rows" (all of them, empty ones too) or "items" (tokens of the whole batch). call: objective and options in C++. spread: of a token's
    log-ratio. old: the member that is attune's old_logp."""
    unit: str
    trainer: str
    options: dict
    lines: dict
    call: str
    spread: float = 0.2
    old: str = "old_logp"

    def name(self):
        return self.unit

    def batch(self, x):
        return {**x, "old_logp": x[self.old]}


def peer(unit, options, objective, call, trainer="GRPO", spread=0.2, old="old_logp", **lines):
    return PolicyPeer(unit, trainer, options, {"objective": objective, **lines}, call, spread, old)


CLIP, LOW_HIGH, CPP = {"epsilon": 0.2, "epsilon_high": 0.28}, "low=0.2 high=0.28", ".low = .2, .high = .28"
NARROW = {"epsilon": 3e-4, "epsilon_high": 4e-4}
NARROW_LINE, NARROW_CPP = "low=0.0003 high=0.0004", ".low = 3e-4, .high = 4e-4"
VLLM = "vllm_importance_sampling_"


def grpo(unit, call, options=None, **lines):
    return peer(unit, {"loss_type": "grpo", **CLIP, **(options or {})}, f"grpo {LOW_HIGH}", call, normalizer="rows", **lines)


def dapo(unit, call, options=None, objective=f"ppo {LOW_HIGH}", **lines):
    return peer(unit, {"loss_type": "dapo", **CLIP, **(options or {})}, objective, call, normalizer="items", **lines)


def sampled(mode, lower, upper, level, outside, call):
    options = {"sampler": True, VLLM + "mode": mode, VLLM + "clip_min": lower or None, VLLM + "clip_max": upper}
    return dapo(f"dapo, {mode}", call, options, sampler=f"{level} {outside} {lower} {upper}")


ROWS, ITEMS = "{.normalizer = B}", "{.normalizer = items}"
PEERS = [
    grpo("grpo", f"grpo{{{CPP}}}, {ROWS}"),
    grpo("grpo, k3", f"penalised{{grpo{{{CPP}}}, kl_penalty<kl::k3>{{.04}}}}, {ROWS}", {"beta": 0.04, "use_bias_correction_kl": False},
         penalty="k3 0.04"),
    grpo("grpo, corrected k3", f"penalised{{grpo{{{CPP}}}, corrected_kl_penalty<kl::k3>{{.04}}}}, {ROWS}", {"beta": 0.04},
         penalty="corrected_k3 0.04"),
    peer("gspo", {"loss_type": "grpo", "importance_sampling_level": "sequence", **NARROW}, f"gspo {NARROW_LINE}",
         f"gspo{{{NARROW_CPP}}}, {ROWS}", spread=5e-4, normalizer="rows"),
    peer("gspo, corrected k3", {"loss_type": "grpo", "importance_sampling_level": "sequence", "beta": 0.04, **NARROW}, f"gspo {NARROW_LINE}",
         f"penalised{{gspo{{{NARROW_CPP}}}, corrected_kl_penalty<kl::k3>{{.04}}}}, {ROWS}", spread=5e-4, normalizer="rows",
         penalty="corrected_k3 0.04"),
    peer("bnpo", {"loss_type": "bnpo", **CLIP}, f"ppo {LOW_HIGH}", f"ppo{{{CPP}}}"),
    peer("bnpo, entropy", {"loss_type": "bnpo", "entropy_coef": 0.01, **CLIP}, f"ppo {LOW_HIGH}", f"penalised{{ppo{{{CPP}}}, no_penalty{{}}, .01}}",
         entropy_coefficient="0.01"),
    peer("dr_grpo", {"loss_type": "dr_grpo", "max_completion_length": 16, **CLIP}, f"dr_grpo {LOW_HIGH}",
         f"dr_grpo{{{CPP}}}, {{.normalizer = B, .constant_length = 16}}", normalizer="rows", constant_length="16"),
    dapo("dapo", f"ppo{{{CPP}}}, {ITEMS}"),
    dapo("dapo, sequence", f"ppo{{{CPP}}}, {{.normalizer = items, .ratio = ratio_level::sequence}}", {"importance_sampling_level": "sequence"},
         ratio="sequence"),
    dapo("dapo, delta 1.5", f"ppo{{{CPP}, .dual = 1.5}}, {ITEMS}", {"delta": 1.5}, f"ppo {LOW_HIGH} dual=1.5"),
    dapo("dapo, delta 1.125", f"ppo{{.low = .2, .high = .125, .dual = 1.28}}, {ITEMS}", {"delta": 1.125}, "ppo low=0.2 high=0.125 dual=1.28"),
    dapo("dapo, top entropy", f"ppo{{{CPP}}}, {ITEMS}; correction = top_entropy_mask", {"top_entropy_quantile": 0.5}, top_entropy="0.5"),
    peer("cispo", {"loss_type": "cispo", "epsilon_high": 5.0}, "cispo lower=0 upper=5", f"cispo{{.lower = 0, .upper = 5}}, {ITEMS}",
         normalizer="items"),
    peer("sapo", {"loss_type": "sapo"}, "sapo", f"sapo{{}}, {ROWS}", normalizer="rows"),
    peer("luspo", {"loss_type": "luspo", "importance_sampling_level": "sequence", **NARROW}, f"luspo {NARROW_LINE}",
         f"luspo{{{NARROW_CPP}}}, {ROWS}", spread=5e-4, normalizer="rows"),
    peer("luspo, token", {"loss_type": "luspo", **CLIP}, f"luspo {LOW_HIGH}",
         f"luspo{{{CPP}}}, {{.normalizer = B, .ratio = ratio_level::token}}", normalizer="rows", ratio="token"),
    peer("vespo", {"loss_type": "vespo"}, "vespo", f"vespo{{}}, {ITEMS}", normalizer="items"),
    peer("vespo, token_truncate", {"loss_type": "vespo", "sampler": True, VLLM + "mode": "token_truncate", VLLM + "clip_max": 1e6}, "vespo",
         f"vespo{{}}, {ITEMS}; old_logp = the sampler's", old="sampler_logp", normalizer="items"),
    sampled("token_truncate", 0, 1.25, "token", "truncate", f"ppo{{{CPP}}}, {ITEMS}; correction = weights({{level::token, {{0, 1.25}}, truncate}})"),
    sampled("token_mask", 0.75, 1.25, "token", "mask", f"ppo{{{CPP}}}, {ITEMS}; correction = weights({{level::token, {{.75, 1.25}}, mask}})"),
    sampled("sequence_truncate", 0.5, 1.5, "sequence_sum", "truncate",
            f"ppo{{{CPP}}}, {ITEMS}; correction = weights({{level::sequence_sum, {{.5, 1.5}}, truncate}})"),
    sampled("sequence_mask", 0, 1.5, "sequence_sum", "mask",
            f"ppo{{{CPP}}}, {ITEMS}; correction = weights({{level::sequence_sum, {{0, 1.5}}, mask}})"),
    grpo("grpo, off-policy mask", f"grpo{{{CPP}}}, {ROWS}; correction = off_policy_mask(.0625)", {"off_policy_mask_threshold": 0.0625},
         off_policy="0.0625"),
    peer("gmpo", {}, "gmpo", f"gmpo{{}}, {ROWS}", "GMPO", 0.4, normalizer="rows"),
    peer("gmpo, k3", {"beta": 0.04}, "gmpo", f"penalised{{gmpo{{}}, kl_penalty<kl::k3>{{.04}}}}, {ROWS}", "GMPO", 0.4, normalizer="rows",
         penalty="k3 0.04"),
    peer("rloo", {}, "rloo", f"rloo{{}}, {ROWS}", "RLOO", normalizer="rows"),
]

def at(*beginnings):
    """Batches whose description begins so."""
    return lambda peer, name, x: x["what"].startswith(beginnings)


UNITS = tuple(p.unit for p in PEERS)
WEIGHTED = ("cispo", "vespo", "vespo, token_truncate")  # their ratio has no derivative
SHARED = ("gspo", "gspo, corrected k3", "dapo, sequence", "luspo", "gmpo", "gmpo, k3", "rloo")
CORRECTED = ("grpo, corrected k3", "gspo, corrected k3")
BAD_RATIO, BAD_REF = at("one log-ratio", "all log-ratios"), at("log pi - log ref")

KNOWN = [
    Known("TRL", tuple(u for u in UNITS if u not in WEIGHTED), "the ratio overflows, and is multiplied by 0: by the advantage 0, or, in the "
          "derivative, where it is clipped, capped (delta, sapo's sigmoid) or its token masked (top entropy)", where=BAD_RATIO, kinds=("NaN",)),
    Known("TRL", UNITS, "what is masked is multiplied by 0, not left out: a NaN, an infinity or a ratio that overflows behind the mask is NaN "
          "in the loss, or in derivatives", where=at("masked"), kinds=("NaN",)),
    Known("TRL", WEIGHTED[1:], "a NaN behind the mask becomes a weight of 0 (nan_to_num): all its sequence silently has no gradient",
          where=at("masked: NaN"), kinds=("lost",)),
    Known("TRL", WEIGHTED[1:], "log-ratios are clamped, of tokens to [-20, 20], of sequences to [log 1e-8, 20]", where=BAD_RATIO),
    Known("TRL", ("grpo, k3", "gmpo, k3", *CORRECTED), "k3 as e^-u + u - 1, and its derivative as 1 - e^-u: differences of nearly equal "
          "numbers where u is small", where=at("realistic", *(f"log pi - log ref {s}{u}" for s in ("", "-") for u in ("0.0", "1e-")))),
    Known("TRL", CORRECTED[:1], "the derivative r k3(u) + r k3'(u) is r u, but the two terms are of size e^-u", where=BAD_REF,
          kinds=("off", "lost")),
    Known("TRL", CORRECTED, "e^-u overflows: infinity less infinity", where=BAD_REF, kinds=("NaN",)),
    Known("attune", ("gspo, corrected k3", "gmpo, k3"), "e^-u overflows: the loss is infinite, the report counts it, and of a sequence that shares "
          "its ratio all derivatives are NaN", where=BAD_REF, kinds=("NaN",)),
    Known("TRL", ("sapo",), "the temperatures pass through a float tensor, also where all else is double; and sigmoid(x) (1 - sigmoid(x)) "
          "is 0 where sigmoid(x) rounds to 1", ("f64",)),
    Known("TRL", ("gmpo", "gmpo, k3", "rloo"), "a row without tokens counts with ratio 1: -A in the loss (it has no gradient)",
          where=at("an empty row", "empty rows")),
    Known("attune", SHARED, "the ratio of the sequence overflows where nothing bounds it (A < 0): the derivative is NaN where infinite is right; "
          "the loss is infinite, and the report counts it", where=BAD_RATIO, kinds=("NaN",)),
    Known("attune", ("bnpo, entropy", *CORRECTED), "the ratio of the token overflows where nothing bounds it (A < 0, or the penalty): loss and "
          "derivatives are infinite, the entropy's, or where two infinities meet, NaN", where=BAD_RATIO, kinds=("NaN",)),
]

CONVENTIONS = [
    "**Denominators.** attune's default is the batch's own: active tokens, or sequences that have some. TRL's `grpo`, `sapo`, `luspo`, GMPO and "
    "RLOO divide by all rows, empty ones too (`normalizer = B`), `dr_grpo` by rows times max_completion_length, `dapo`, `cispo`, `vespo` by the "
    "tokens of the whole generation batch (`normalizer = items`, scaled by processes and accumulation steps), `bnpo` by the tokens of the "
    "micro-batch, so that its gradient depends on how a batch is split. `report.loss()` divides by the own denominator: TRL's number is "
    "`loss_sum / normalizer`.",
    "**CISPO.** TRL's epsilon_high is the cap itself, without a lower end: `cispo{.lower = 0, .upper = epsilon_high}`. Its default, epsilon = "
    "0.2, caps every weight at 0.2. MiniMax, verl and NeMo-RL mean 1 - epsilon and 1 + epsilon, attune's default.",
    "**A ratio of the sequence with a mean over tokens.** `dapo`, `bnpo`, `dr_grpo` and `cispo` with importance_sampling_level='sequence' weigh a "
    "sequence by its length (TRL warns). attune has it only where token_options.ratio says so; `gspo` has the paper's mean.",
    "**LUSPO.** With TRL's default importance_sampling_level='token' its `luspo` is a sum of token losses (TRL warns), not the paper's: "
    "`luspo{}` with ratio_level::token.",
    "**delta** from 1 + epsilon_high on is `dual`. A smaller one caps ratios of good tokens at delta and of bad ones at 1 + epsilon_high: "
    "`ppo{.high = delta - 1, .dual = 1 + epsilon_high}`.",
    "**KL term.** TRL's default multiplies k3 by the ratio (use_bias_correction_kl): corrected_kl_penalty. GMPO does not.",
    "**Entropy bonus.** TRL's is a mean over the tokens of the micro-batch with every loss, attune's is reduced as the loss is: the same with a "
    "local mean over tokens (`bnpo`), compared here.",
    "**Masks of tokens.** top_entropy_quantile and the corrections multiply the surrogate and leave the KL term and denominators alone in both; "
    "in GMPO TRL's takes the others out of the geometric mean (in attune: the mask of the batch).",
    "**VESPO with a sampler.** TRL multiplies the corrected (truncated, masked) ratios of tokens into the weight; attune takes the ratio to the "
    "sampler, untruncated, with its log-probabilities as old_logp. The same where nothing is truncated, compared here. A token that TRL masks "
    "enters with 1e-8.",
    "**Sampler's log-probabilities that are missing.** TRL takes NaN for a ratio of 1; in attune an active NaN stays visible (mask it).",
    "**Ratios that overflow.** Where a bound holds attune's derivative is exactly 0 and the loss finite, where none holds loss and derivative are "
    "not finite and the report counts them.",
]

NOT_COMPARED = [
    "A critic's value loss and GSPO-token: TRL 1.16 has no PPO trainer and no `gspo_token` any more. (GSPO-token is `gspo_token`, the value "
    "loss `value_loss`.)",
    "Advantages, rewards and the KL in RLOO's reward, which are made before the loss; the adaptive entropy coefficient; auxiliary router losses.",
    "Gradient accumulation and several processes: each loss is that of one micro-batch of one process.",
]
