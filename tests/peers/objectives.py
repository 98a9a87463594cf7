# SPDX-License-Identifier: MIT
"""What is compared: attune's units beside TRL's options; what is known to differ, and why; where conventions differ."""
import dataclasses
import typing

import inputs
from inputs import f32, shown


@dataclasses.dataclass
class Peer:
    """A unit of attune and the TRL trainer with the options that mean the same. prepare: what has to be changed of the trainer or of the
    sample for TRL, from one sample to the next."""
    unit: str
    parameters: dict
    trainer: str
    options: dict
    inputs: typing.Callable = inputs.ratios
    prepare: typing.Callable = lambda trainer, x: x

    def name(self):
        return self.unit + "".join(f" {name}={shown(value)}" for name, value in self.parameters.items() if name in ("alpha", "center"))


def per_token(weight):
    """CPO's likelihood is a mean over tokens and attune's a sum: the weight of one pair's is multiplied by its length."""
    def prepare(trainer, x):
        trainer.cpo_alpha = weight * x["chosen_length"]
        return x
    return prepare


def one_token(trainer, x):
    """TRL's IPO divides by the length, `ipo` does not: the whole log-probability is that of one token."""
    return {**x, "chosen_length": 1.0, "rejected_length": 1.0}


def with_kl(trainer, x):
    """TRL estimates KTO's KL from the log-ratio of another completion."""
    return {**x, "kl": KL}


def dpo(unit, loss_type, parameters=None, beta=f32(0.1), prepare=Peer.prepare, **options):
    options = {"loss_type": loss_type, "beta": beta, **options}
    return Peer(unit, {"beta": beta, **(parameters or {})}, "DPO", options, inputs.ratios, prepare)


def alpha_t(alpha):
    return dpo("f_dpo_alpha_t", "sigmoid", {"alpha": alpha}, f_divergence_type="alpha_divergence", f_alpha_divergence_coef=alpha)


def alpha_po(alpha):
    return Peer("alpha_po", {"beta": 2.5, "gamma": 0.25, "alpha": alpha}, "CPO",
                {"loss_type": "alphapo", "beta": 2.5, "simpo_gamma": 0.25, "alpha": alpha}, inputs.means)


def bradley_terry(center):
    return Peer("bradley_terry", {"label_smoothing": 0.0, "center": center}, "Reward", {"center_rewards_coefficient": center or None},
                inputs.scores)


# Every parameter is exact in float. TRL takes an alpha for 1 that is closer to it than 1e-6, as 1 - 2^-20 and 1 + 2^-20 are.
BETA, SMOOTHING, ODDS, TAU, TPO, EXO, SPPO, A_STAR = map(f32, (0.1, 0.1, 0.1, 0.05, 0.01, 1e-3, 1e-3, 1e-3))
KL = 2.0
MIXTURE = {"preference_weight": 0.75, "quality_weight": 0.25, "nll_weight": 1.0}
UNPAIRED = {"beta": BETA, "desirable_weight": 1.0, "undesirable_weight": 1.25}
PEERS = [
    dpo("dpo", "sigmoid"),
    dpo("cdpo", "aot", {"label_smoothing": SMOOTHING}, label_smoothing=SMOOTHING),
    dpo("robust_dpo", "robust", {"label_smoothing": SMOOTHING}, label_smoothing=SMOOTHING),
    dpo("hinge_dpo", "hinge"),
    dpo("ipo", "ipo", prepare=one_token),
    dpo("ipo_mean", "ipo"),
    dpo("dpo_per_token", "sigmoid_norm", beta=5.0),
    dpo("exo_pref", "exo_pair", {"label_smoothing": EXO}, label_smoothing=EXO),
    dpo("nca_pair", "nca_pair"),
    dpo("bco_pair", "bco_pair"),
    dpo("sppo_hard", "sppo_hard", beta=SPPO),
    dpo("apo_zero", "apo_zero"),
    dpo("apo_down", "apo_down"),
    dpo("discopop", "discopop", {"tau": TAU}, discopop_tau=TAU),
    dpo("dpo_nll", ["sigmoid", "sft"], {"nll_weight": 0.5}, loss_weights=[1.0, 0.5]),
    dpo("mpo", ["sigmoid", "bco_pair", "sft"], MIXTURE, loss_weights=[0.75, 0.25, 1.0]),
    dpo("f_dpo_reverse_kl", "sigmoid", f_divergence_type="reverse_kl"),
    dpo("f_dpo_forward_kl", "sigmoid", f_divergence_type="forward_kl"),
    dpo("f_dpo_jensen_shannon", "sigmoid", f_divergence_type="js_divergence"),
    *map(alpha_t, (0.0, 0.5, 1 - 2.0**-17, 1 - 2.0**-20, 1 + 2.0**-20, 1 + 2.0**-17, 1.5, 2.0)),
    Peer("cpo", {"beta": BETA, "label_smoothing": SMOOTHING, "nll_weight": 0.5}, "CPO",
         {"loss_type": "sigmoid", "beta": BETA, "label_smoothing": SMOOTHING}, inputs.means, per_token(0.5)),
    Peer("slic_hf", {"beta": BETA, "delta": 1.0, "nll_weight": 0.125}, "CPO", {"loss_type": "hinge", "beta": BETA}, inputs.means,
         per_token(0.125)),
    Peer("simpo", {"beta": 2.0, "gamma": 0.5}, "CPO", {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0},
         inputs.means),
    *map(alpha_po, (-0.25, 2.0**-10, 0.25)),
    Peer("orpo", {"odds_weight": ODDS}, "ORPO", {"beta": ODDS}, inputs.means),
    Peer("tpo", {"beta": TPO, "label_smoothing": SMOOTHING, "target_weight": 0.5}, "TPO",
         {"loss_type": "sigmoid", "beta": TPO, "label_smoothing": SMOOTHING, "tpo_alpha": 0.5}, inputs.means),
    Peer("tpo_l", {"beta": TPO, "gamma": 0.5, "target_weight": 0.5}, "TPO",
         {"loss_type": "tpo-l", "beta": TPO, "tpo_l_gamma": 0.5, "tpo_alpha": 0.5}, inputs.means),
    *map(bradley_terry, (0.0, f32(0.01))),
    Peer("kto", {**UNPAIRED, "kl": KL}, "KTO", {"loss_type": "kto", **UNPAIRED}, inputs.singles, with_kl),
    Peer("apo_zero_unpaired", {"beta": BETA}, "KTO", {"loss_type": "apo_zero_unpaired", "beta": BETA}, inputs.singles),
    Peer("a_star_po", {"beta": A_STAR}, "A2PO", {"beta2": A_STAR}, inputs.singles),
]


@dataclasses.dataclass
class Known:
    """A failure that is known and has a reason. kinds: as in compare.py's Tally; where: for which peer, quantity and sample."""
    system: str
    units: tuple
    reason: str
    arithmetics: tuple = ("f32", "f64")
    where: typing.Callable = lambda peer, name, x: True
    kinds: tuple = ("off",)

    def explains(self, system, kind, peer, arithmetic, name, x):
        return (system == self.system and kind in self.kinds and peer.unit in self.units and arithmetic in self.arithmetics
                and self.where(peer, name, x))


def beyond(limit):
    """Samples with a log-ratio, or without a reference a mean log-probability, larger than that."""
    def where(peer, name, x):
        if peer.inputs is inputs.singles:
            sizes = [x["logp"] - x["ref_logp"]]
        elif peer.inputs is inputs.means:
            sizes = [x["chosen"] / x["chosen_length"], x["rejected"] / x["rejected_length"]]
        else:
            sizes = [x["chosen"] - x["ref_chosen"], x["rejected"] - x["ref_rejected"]]
        return max(map(abs, sizes)) > limit
    return where


def alpha_from_1(lower, upper):
    return lambda peer, name, x: lower < abs(peer.parameters["alpha"] - 1) < upper


def near_certainty(peer, name, x):
    return max(x["chosen"] / x["chosen_length"], x["rejected"] / x["rejected_length"]) > -1e-7


def small_alpha(peer, name, x):
    return abs(peer.parameters["alpha"]) < 0.01


KNOWN = [
    Known("TRL", ("kto", "apo_zero_unpaired", "apo_zero", "apo_down"),
          "1 - sigmoid(x), and the derivative sigmoid(x) (1 - sigmoid(x)) where sigmoid(x) is near 1, are differences of nearly equal "
          "numbers: right to a rounding of 1, not of themselves", where=beyond(30)),
    Known("TRL", ("apo_down",), "the derivative by the chosen completion is a difference of two terms that are equal at the reference",
          where=lambda peer, name, x: name == "d_chosen"),
    Known("TRL", ("exo_pref",), "the derivative is summed from terms that cancel where the loss is flat",
          where=lambda peer, name, x: name != "loss"),
    Known("TRL", ("exo_pref",), "label_smoothing passes through a float tensor, also where all else is double", ("f64",)),
    Known("TRL", ("f_dpo_alpha_t",), "|alpha - 1| < 1e-6 is taken for 1", where=alpha_from_1(0, 1e-6)),
    Known("TRL", ("f_dpo_alpha_t",), "exp(x) - 1 loses the digits of a small x = (alpha - 1) log-ratio", ("f32",),
          alpha_from_1(1e-6, 1e-4)),
    Known("TRL", ("f_dpo_alpha_t",), "the exponent is cut at 80: beyond it score and loss are constant", ("f32",), beyond(80),
          ("off", "lost")),
    Known("TRL", ("alpha_po",), "1 - p^-alpha loses the digits of a small alpha log p", where=small_alpha),
    Known("TRL", ("alpha_po",), "p = exp(mean log-probability) is subnormal, or 0: then p^-alpha or its derivative is 0 times infinity",
          ("f32",), beyond(87), ("off", "NaN", "inf")),
    Known("TRL", ("alpha_po",), "as in f32, where p is 0", ("f64",), beyond(745), ("NaN", "inf")),
    Known("TRL", ("discopop",), "exp(-z) overflows where its weight, sigmoid(z/tau), is 0", where=beyond(800), kinds=("NaN",)),
    Known("TRL", ("f_dpo_forward_kl",), "exp(-log-ratio) overflows: the score is infinite, a difference of two such is NaN, and the "
          "derivative is 0 times infinity", where=beyond(88.7), kinds=("NaN", "inf")),
    Known("TRL", ("orpo",), "log(1 - e^x) chooses between two forms, but both are differentiated: that of log1p(-e^x) is infinite where "
          "e^x rounds to 1, and is multiplied by 0", where=near_certainty, kinds=("NaN",)),
    Known("TRL", ("orpo",), "the odds ratio is computed in float, also for double inputs", ("f64",)),
    Known("attune", ("f_dpo_forward_kl", "f_dpo_alpha_t"), "documented: the score stays at a quarter of the largest float, which it "
          "reaches at a log-ratio of -87.3 (alpha = 2: 87.3); TRL's forward KL is right down to -88.7", ("f32",), beyond(87)),
]

CONVENTIONS = [
    "**IPO.** TRL's averages log-ratios over the tokens (`ipo_mean`); the paper's sum is `ipo`, compared here on completions of one token.",
    "**Label smoothing of DPO.** TRL's `sigmoid` has none; `cdpo` is compared with `aot` and label_smoothing, which for one pair is the "
    "same. For more pairs `aot` sorts them, and is another objective.",
    "**Alpha divergence.** attune's `f_dpo_alpha_t` and TRL's code have the same alpha: 1 is the reverse KL, 0 the forward KL. TRL's help "
    "text speaks of u^-alpha, which is f-DPO's own convention (`f_dpo_alpha_u`), where 0 is the reverse KL; the two agree at 1/2, TRL's "
    "default. TRL has it for float and 16-bit types only.",
    "**SimPO, AlphaPO, TPO-L.** gamma is the target margin itself in both; the SimPO authors' configuration files hold gamma/beta.",
    "**CPO, SLiC-HF.** TRL's likelihood term is a mean over the chosen tokens of the batch, attune's a sum over each completion, as in the "
    "paper (`cpo_token_mean` is TRL's); compared with cpo_alpha = nll_weight times the length. TRL's `hinge` has delta = 1.",
    "**ORPO.** TRL's likelihood term covers the prompt too (`orpo_with_prompt`), attune's `orpo` the response, as in the paper; compared "
    "with a prompt whose one token has no loss. TRL's beta is odds_weight.",
    "**Likelihood terms of DPO and TPO.** TRL's is a mean over all tokens of the batch, attune's a mean over pairs of means over tokens: "
    "the same for one pair.",
    "**KTO.** TRL estimates the KL from the log-ratios of mismatched completions of the batch, cut at 0; in attune it is given (`kl`). "
    "Here both have 2.",
    "**A\\*-PO.** attune's reward is TRL's reward less V\\*.",
    "**Margins.** attune takes a margin for every pair; TRL does for reward models only. It is 0 here but for those.",
]

NOT_COMPARED = [
    "`aot` and `aot_unpaired` of several pairs: attune has them as a call on a batch.",
    "`ld_alpha` and `use_weighting`: attune has them between tokens and sequences, not as objectives.",
    "`hinge` and `ipo` of TRL's TPO trainer and `ipo` of its CPO trainer: no unit of that name.",
    "Groups, distillation.",
    "16-bit types: attune's losses take float and double.",
]
