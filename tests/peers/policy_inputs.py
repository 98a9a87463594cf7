# SPDX-License-Identifier: MIT
"""Batches of tokens for the comparison of policy-gradient losses: realistic ones, random with a fixed seed, and extreme ones, mildest first.

A batch is a dictionary: rows, columns, the members of attune::tokens as flat lists, row by row ("advantage" is one a row), the sampler's
log-probabilities, "items" (the active tokens of the whole batch, of which this is a micro-batch), and "what", in words. Every number is exact
in float, NaN and infinities in masked places apart.
"""
import math
import random

from inputs import f32

REALISTIC = 20
ROWS, COLUMNS = 4, 6
TINY = (1e-2, 1e-4, 1e-6, 1e-9)                 # |log pi - log pi_ref| of the KL term, at a log-probability that resolves it
SIZES = (0.0, 1e-3, 5.0, 20.0, 60.0, 80.0, 100.0, 300.0, 1000.0)  # |log-ratio|
GARBAGE = ((0.0, -1000.0, "log-ratio 1000"), (math.nan, math.nan, "NaN"), (-math.inf, 0.0, "-inf"), (0.0, -math.inf, "log-ratio inf"))


def batch(rows, columns, what, **members):
    x = {"rows": rows, "columns": columns, "what": what, **{name: list(values) for name, values in members.items()}}
    x["items"] = sum(x["mask"]) + 5
    return x


def active(x, row):
    return [t for t in range(row * x["columns"], (row + 1) * x["columns"]) if x["mask"][t]]


def realistic(spread):
    """spread: standard deviation of a token's log-ratio. Lengths 1 to COLUMNS, garbage behind; now and then a token in the middle is not
    the policy's own (a tool's)."""
    rng = random.Random(f"tokens {spread}")
    for k in range(REALISTIC):
        n = ROWS * COLUMNS
        old = [-10 ** rng.uniform(-2, 1) for _ in range(n)]
        logp = [f32(p + rng.gauss(0, spread)) for p in old]
        mask = []
        for _ in range(ROWS):
            length = rng.randint(1, COLUMNS)
            mask += [1] * length + [0] * (COLUMNS - length)
            if length > 2 and rng.random() < 0.25:
                mask[-COLUMNS + 1] = 0
        yield batch(ROWS, COLUMNS, f"realistic {k}", logp=logp, old_logp=map(f32, old), mask=mask,
                    ref_logp=[f32(p + rng.gauss(0, 0.3)) for p in logp], sampler_logp=[f32(p + rng.gauss(0, 0.25)) for p in old],
                    entropy=[f32(rng.uniform(0, 3)) for _ in range(n)], advantage=[f32(rng.gauss(0, 1)) for _ in range(ROWS)])


def small(what, ratios=(0.125, -0.0625, 0.03125), refs=(0.25, -0.125, 0.0625), advantage=1.0, mask=(1, 1, 1, 1, 1, 1), logp=None):
    """Two rows of three tokens: the first as given, the second is ordinary."""
    ratios, refs = [*ratios, 0.0625, 0.125, -0.25], [*refs, 0.125, -0.25, 0.5]
    logp = logp or [min(r, 0.0) or -0.25 for r in ratios[:3]]
    logp = [f32(p) for p in logp] + [-0.5, -2.0, -1.0]
    return batch(2, 3, what, logp=logp, old_logp=[f32(p - r) for p, r in zip(logp, ratios)], ref_logp=[f32(p - u) for p, u in zip(logp, refs)],
                 sampler_logp=[f32(p - r + 0.125) for p, r in zip(logp, ratios)], entropy=[0.5, 1.0, 1.5, 0.25, 2.0, 0.75],
                 advantage=[advantage, -0.75], mask=mask)


def extreme():
    for size in SIZES:
        for ratio in dict.fromkeys((size, -size)):
            for advantage in (1.0, -1.0, 0.0):
                first = (ratio, -0.0625, 0.03125)
                yield small(f"one log-ratio {ratio:g}, advantage {advantage:g}", first, advantage=advantage)
                yield small(f"all log-ratios {ratio:g}, advantage {advantage:g}", (ratio,) * 3, advantage=advantage)
    for size in TINY:
        for u in (size, -size):
            yield small(f"log pi - log ref {u:g}", refs=(u, u, u), logp=(-abs(u),) * 3)
    for size in SIZES[2:]:
        for u in (size, -size):
            yield small(f"log pi - log ref {u:g}", refs=(u, -0.125, 0.0625))
    for logp, old, what in GARBAGE:
        x = small(f"masked: {what}", mask=(1, 1, 0, 1, 1, 1))
        x["logp"][2], x["old_logp"][2], x["ref_logp"][2], x["sampler_logp"][2] = logp, old, old, old
        yield x
    yield small("an empty row", mask=(0, 0, 0, 1, 1, 1))
    yield small("empty rows only", mask=(0,) * 6)


def batches(spread):
    return list(realistic(spread)), list(extreme())
