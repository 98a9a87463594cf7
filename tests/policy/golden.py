#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Losses and gradients of what docs/policy.md says the options of TRL, verl, OpenRLHF and NeMo-RL are, from the definitions of these
systems, on one small batch:

    python3 tests/policy/golden.py > tests/data/policy_golden.txt

One line a row: name; loss; d loss / d log pi of each active token, sequence by sequence. Needs mpmath. `lp` are the log-probabilities that
vary, `at` the same numbers held constant (a stop-gradient); derivatives are central differences at 60 digits.
"""
from mpmath import exp, log, mp, mpf

mp.dps = 60
STEP = mpf(10) ** -25


def numbers(rows):
    return [[mpf(x) for x in row] for row in rows]


# Exact in double. Two sequences, of three tokens and of two.
LOGP = numbers([[-0.875, -1.75, -0.34375], [-2.25, -0.5]])
OLD = numbers([[-1.25, -1.5, -0.359375], [-1.5, -0.875]])
REF = numbers([[-1.0, -1.25, -0.8125], [-2.0, -0.1875]])
SAMPLER = numbers([[-1.0, -1.9375, -0.375], [-1.75, -0.3125]])
ENTROPY = numbers([[1.5, 0.25, 0.75], [2.0, 0.5]])
SELECTED = [[0, 1, 0], [1, 0]]
A = [mpf("0.8125"), mpf("-1.3125")]
BETA = mpf("0.25")


def flat(rows):
    return [x for row in rows for x in row]


def shaped(x):
    return [x[:3], x[3:]]


def clip(x, low, high):
    return min(max(x, low), high)


# ---- a token's loss, given its log-ratio l and the sequence's number s

def ppo(low, high, dual=None):
    def loss(l, s, **_):
        r, a = exp(l), A[s]
        x = max(-r * a, -clip(r, 1 - low, 1 + high) * a)
        return min(x, -dual * a) if dual and a < 0 else x
    return loss


def weighted_reinforce(weight):
    """-sg(w(r)) A log pi"""
    return lambda l, s, lp, fixed_l, at, old, **_: -weight(fixed_l, A[s], at, old) * A[s] * lp


# ---- whose ratio

def token_ratio(lp, old):
    return [p - q for p, q in zip(lp, old)]


def mean_ratio(lp, old):
    l = token_ratio(lp, old)
    return [sum(l) / len(l)] * len(l)


def sum_ratio(lp, old):
    l = token_ratio(lp, old)
    return [sum(l)] * len(l)


# ---- which mean

def token_mean(rows):
    return sum(flat(rows)) / len(flat(rows))


def sequence_mean_token_mean(rows):
    return sum(sum(row) / len(row) for row in rows) / len(rows)


def sequence_mean_token_sum(rows):
    return sum(sum(row) for row in rows) / len(rows)


def objective(token_loss, mean, ratio=token_ratio, extra=None, correction=None, old=OLD):
    def loss(lp, at):
        rows = []
        for s in (0, 1):
            l, fixed = ratio(lp[s], old[s]), ratio(at[s], old[s])
            row = []
            for t in range(len(lp[s])):
                x = token_loss(l[t], s, lp=lp[s][t], fixed_l=fixed[t], at=at[s][t], old=old[s][t], selected=SELECTED[s][t])
                x *= correction[s][t] if correction else 1
                x += extra(lp[s][t], at[s][t], l[t], s, t) if extra else 0
                row.append(x)
            rows.append(row)
        return mean(rows)
    return loss


PPO = ppo(mpf("0.2"), mpf("0.2"))


def gspo_token(lp, at):
    """value of the sequence's ratio, derivative of the token's: s = sg(mean) + lp - sg(lp)"""
    rows = []
    for s in (0, 1):
        shared = mean_ratio(at[s], OLD[s])
        rows.append([PPO(shared[t] + lp[s][t] - at[s][t], s) for t in range(len(lp[s]))])
    return sequence_mean_token_mean(rows)


def gmpo(eps):
    def loss(lp, at):
        result = []
        for s in (0, 1):
            l = token_ratio(lp[s], OLD[s])
            l = [min(x, eps) if A[s] > 0 else max(x, -eps) for x in l]
            result.append(-exp(sum(l) / len(l)) * A[s])
        return sum(result) / 2
    return loss


def vespo_weight(l, a, at, old):
    k, lam = (2, 3) if a >= 0 else (3, 2)
    return exp(lam + k * l - lam * exp(l))


def dppo_tv(l, a, at, old):
    moved = exp(at) - exp(old)
    masked = moved > mpf("0.1") if a > 0 else -moved > mpf("0.1")
    return 0 if masked else min(exp(l), 20)


def dppo_kl(l, a, at, old):
    p, q = exp(at), exp(old)
    kl = q * log(q / p) + (1 - q) * log((1 - q) / (1 - p))
    masked = (kl > mpf("0.05") and p > q) if a > 0 else (kl > mpf("0.05") and p < q)
    return 0 if masked else min(exp(l), 20)


# ---- KL terms: x = ref - lp as the systems write it

def k3(x):
    return exp(x) - 1 - x


def kl_term(f):
    return lambda lp, at, l, s, t: BETA * f(REF[s][t] - lp, REF[s][t] - at, l, lp, at)


def clamped(x, f):
    """a clamp of the value: no gradient outside"""
    return clip(f, -x, x)


# ---- importance weights of the sampler: w = old / sampler

def corrections(kind, low, high):
    result = []
    for s in (0, 1):
        l = token_ratio(OLD[s], SAMPLER[s])
        if kind == "sequence":
            l = [sum(l)] * len(l)
        w = [exp(x) for x in l]
        if kind == "geometric":  # sequences whose geometric mean lies outside are dropped, the others keep their tokens' own weights
            inside = low <= exp(sum(l) / len(l)) <= high
            result.append([x if inside else mpf(0) for x in w])
        else:
            result.append(w)
    return result


def truncate(rows, low, high):
    return [[clip(w, low, high) for w in row] for row in rows]


def mask(rows, low, high):
    return [[w if low <= w <= high else mpf(0) for w in row] for row in rows]


off_policy = [[mpf(0) if A[s] < 0 and sum(q - p for q, p in zip(SAMPLER[s], LOGP[s])) / len(LOGP[s]) > mpf("0.25") else mpf(1) for _ in LOGP[s]] for s in (0, 1)]
threshold = sorted(flat(ENTROPY))[-3]  # the top three of five
high_entropy = [[mpf(h >= threshold) for h in row] for row in ENTROPY]


def top_entropy(lp, at):
    x = [PPO(lp[s][t] - OLD[s][t], s) for s in (0, 1) for t in range(len(lp[s])) if high_entropy[s][t]]
    return sum(x) / len(x)


d2, d28 = mpf("0.2"), mpf("0.28")
seven = lambda rows: sum(flat(rows)) / 7
ROWS = {
    "trl grpo": objective(PPO, sequence_mean_token_mean),
    "trl bnpo": objective(PPO, token_mean),
    "trl dapo": objective(ppo(d2, d28), seven),
    "trl dr_grpo": objective(PPO, lambda rows: sum(flat(rows)) / (2 * 4)),
    "verl seq-mean-token-sum": objective(PPO, sequence_mean_token_sum),
    "verl token-sum": objective(PPO, lambda rows: sum(flat(rows))),
    "gspo": objective(PPO, sequence_mean_token_mean, mean_ratio),
    "gspo_token": gspo_token,
    "trl dapo with a sequence ratio": objective(PPO, token_mean, mean_ratio),
    "luspo": objective(PPO, sequence_mean_token_sum, mean_ratio),
    "dual clip": objective(ppo(d2, d2, mpf("1.3125")), token_mean),
    "trl cispo": objective(weighted_reinforce(lambda l, a, at, old: min(exp(l), mpf("1.25"))), token_mean),
    "verl cispo": objective(weighted_reinforce(lambda l, a, at, old: clip(exp(l), 1 - d2, 1 + d28)), token_mean),
    "sapo": objective(lambda l, s, **_: -(4 / (t := mpf(1) if A[s] > 0 else mpf("1.05"))) / (1 + exp(-t * (exp(l) - 1))) * A[s], sequence_mean_token_mean),
    "vespo": objective(weighted_reinforce(vespo_weight), token_mean, sum_ratio),
    "trl gmpo": gmpo(mpf("0.4")),
    "verl geo_mean": gmpo(mpf("0.2")),
    "verl gpg": objective(lambda l, s, lp, **_: -A[s] * lp, token_mean),
    "verl clip_cov": objective(lambda l, s, selected, **_: 0 if selected else PPO(l, s), token_mean),
    "verl kl_cov": objective(lambda l, s, selected, **_: -exp(l) * A[s] + (abs(l) if selected else 0), token_mean),
    "verl dppo_tv": objective(weighted_reinforce(dppo_tv), token_mean),
    "verl dppo_kl": objective(weighted_reinforce(dppo_kl), token_mean),
    "verl dro": objective(lambda l, s, lp, **_: -(A[s] * lp - mpf("0.5") * BETA * l * l), token_mean),
    "awr": objective(lambda l, s, lp, **_: -min(exp(A[s] / 2), mpf("1.25")) * lp, token_mean),
    "topr": objective(weighted_reinforce(lambda l, a, at, old: 1 if a > 0 else min(exp(l), 1)), sequence_mean_token_sum, sum_ratio),
    "trl rloo": objective(PPO, lambda rows: sum(row[0] for row in rows) / 2, sum_ratio),
    "trl beta": objective(PPO, token_mean, extra=kl_term(lambda x, fx, l, lp, at: exp(l) * k3(x))),
    "trl beta without correction": objective(PPO, token_mean, extra=kl_term(lambda x, fx, l, lp, at: k3(x))),
    "openrlhf k1": objective(PPO, token_mean, extra=kl_term(lambda x, fx, l, lp, at: clamped(mpf("0.4375"), -x))),
    "openrlhf k2": objective(PPO, token_mean, extra=kl_term(lambda x, fx, l, lp, at: clamped(mpf("0.0625"), x * x / 2))),
    "openrlhf k3": objective(PPO, token_mean, extra=kl_term(lambda x, fx, l, lp, at: clamped(mpf("0.0625"), k3(x)))),
    "verl abs": objective(PPO, token_mean, extra=kl_term(lambda x, fx, l, lp, at: abs(x))),
    "verl k3+": objective(PPO, token_mean, extra=kl_term(lambda x, fx, l, lp, at: k3(fx) + x * x / 2 - fx * fx / 2)),
    "nemo k3": objective(PPO, token_mean, extra=kl_term(lambda x, fx, l, lp, at: exp(lp - at) * k3(x))),
    "nemo k2": objective(PPO, token_mean, extra=kl_term(lambda x, fx, l, lp, at: exp(lp - at) * x * x / 2)),
    "entropy bonus": objective(PPO, token_mean, extra=lambda lp, at, l, s, t: -mpf("0.125") * ENTROPY[s][t]),
    "token_truncate": objective(PPO, token_mean, correction=truncate(corrections("token", 0, 0), mpf("0.875"), mpf("1.25"))),
    "token_mask": objective(PPO, token_mean, correction=mask(corrections("token", 0, 0), mpf("0.875"), mpf("1.25"))),
    "sequence_truncate": objective(PPO, token_mean, correction=truncate(corrections("sequence", 0, 0), 0, mpf("1.125"))),
    "sequence_mask": objective(PPO, token_mean, correction=mask(corrections("sequence", 0, 0), 0, mpf("1.125"))),
    "seq-mask-tis": objective(PPO, token_mean, correction=corrections("geometric", mpf("0.875"), mpf("1.25"))),
    "off_policy_mask": objective(PPO, token_mean, correction=off_policy),
    "top_entropy, as a mask": top_entropy,
    "trl top_entropy_quantile": objective(PPO, token_mean, correction=high_entropy),
}


def moved(k, by):
    x = flat(LOGP)
    x[k] += by
    return shaped(x)


def main():
    for name, loss in ROWS.items():
        value = loss(LOGP, LOGP)
        gradient = [(loss(moved(k, STEP), LOGP) - loss(moved(k, -STEP), LOGP)) / (2 * STEP) for k in range(5)]
        print("; ".join([name] + [mp.nstr(x, 17, min_fixed=-3, max_fixed=3) for x in [value] + gradient]))


if __name__ == "__main__":
    main()
