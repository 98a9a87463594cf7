#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The oracle: reference values of every unit of the catalogue, from its textbook formula at high precision.

    explore list --json | python3 tests/oracle/generate.py > tests/data/oracle.txt
    (cd tests/data && sha256sum oracle.txt > oracle.txt.sha256)

Needs mpmath (Debian: python3-mpmath); gmpy2 makes it ten times faster. The formula is evaluated as it stands, never rearranged: with 800 digits no form is unstable.
Partial derivatives are central differences at that precision; with a step of 1e-170, relative to the argument's size, their error is below
the smallest double.

One line a sample; all numbers are exact inputs of a float as well, so that float and double are held to the same truth:

    unit; parameter=value ...; member=value ...; value VALUE SCALE; d_member DERIVATIVE SCALE; ...

(of a group, one of each member for each completion, completion by completion). A derivative is left out where the value has a kink.
SCALE is |f| (1 + condition number) = |f| + sum_j |x_j df/dx_j| over all inputs and parameters x_j: what an error of one ulp in each of
them changes. An implementation with error k ulp x (1 + condition number) is within k eps SCALE of the value.
The first line holds the digest of the catalogue that the file was made from.
"""
import hashlib
import itertools
import json
import multiprocessing
import random
import struct
import sys

import mpmath
from mpmath import mp, mpf

mp.dps = 800
STEP = mpf(10) ** -170


def softmax(x):
    terms = [mpmath.exp(a) for a in x]
    total = sum(terms)
    return [a / total for a in terms]


FUNCTIONS = {"log": mpmath.log, "exp": mpmath.exp, "sqrt": mpmath.sqrt, "atan": mpmath.atan, "abs": abs, "softmax": softmax, "sum": sum, "max": max, "min": min,
             "len": len, "range": range}


def f32(x):
    """The float nearest to x, as a Python number."""
    return struct.unpack("f", struct.pack("f", x))[0]


def evaluator(unit, formula):
    """The formula as a function of a dictionary of numbers, and of the one at which what the unit detaches is held: a name fixed_x in the
    formula is the definition x there (the same inputs, unless a partial derivative moves one of them)."""
    definitions = [tuple(part.strip() for part in d.split("=", 1)) for d in unit["where"].split(";") if d.strip()]
    compiled = [(name, compile(text, name, "eval")) for name, text in definitions]
    body = compile(formula, unit["name"], "eval")
    detaches = "fixed_" in unit["where"] + formula

    def defined(inputs, fixed):
        scope = {"__builtins__": {}, **FUNCTIONS, **lists(inputs), **fixed}
        for name, code in compiled:
            scope[name] = eval(code, scope)
            scope.setdefault("fixed_" + name, scope[name])
        return scope

    def evaluate(inputs, held=None):
        fixed = {name: x for name, x in defined(held, {}).items() if name.startswith("fixed_")} if detaches and held else {}
        return mpf(eval(body, defined(inputs, fixed)))

    return evaluate


def lists(inputs):
    """A group's inputs are named "logp 0", "logp 1", ...; a formula sees lists, and their length as K."""
    scope = {}
    for name, x in inputs.items():
        member, _, index = name.partition(" ")
        if index:
            scope.setdefault(member, []).append(x)
            scope["K"] = len(scope[member])
        else:
            scope[name] = x
    return scope


def partial(function, inputs, name):
    x = inputs[name]
    h = STEP * (abs(x) if x else 1)
    return (function({**inputs, name: x + h}) - function({**inputs, name: x - h})) / (2 * h)


def is_kink(function, inputs, name):
    """Whether the slopes on the two sides differ: their difference then does not shrink with the step."""
    x = inputs[name]
    value = function(inputs)

    def jump(h):
        right, left = (function({**inputs, name: x + h}) - value) / h, (value - function({**inputs, name: x - h})) / h
        return abs(right - left), mpf(10) ** -300 * (abs(value) + abs(right) + abs(left))

    h = STEP * (abs(x) if x else 1)
    (coarse, noise), (fine, _) = jump(h), jump(h / 10 ** 10)
    return fine > noise and fine > coarse / 10


def with_scale(function, inputs):
    """Value and |value| + sum |x_j d value / d x_j|. An infinite parameter is no number that rounding moves."""
    value = function(inputs)
    return value, abs(value) + sum(abs(x * partial(function, inputs, name)) for name, x in inputs.items() if x and mpmath.isfinite(x))


def parameter_choices(unit, rng):
    """Defaults, and two other points of the domain."""
    defaults = {p["name"]: float("inf") if p["default"] is None else float(p["default"]) for p in unit["parameters"]}
    yield defaults
    if defaults:
        for kind in (0, 1):
            chosen = {}
            for p in unit["parameters"]:
                lower, upper = (float(p["domain"][k]) for k in ("lower", "upper"))
                if lower == 0 and upper == float("inf"):
                    chosen[p["name"]] = (0.03125, 3.0)[kind]
                elif upper == 0:
                    chosen[p["name"]] = (-1.5, -0.25)[kind]
                elif lower == 1:
                    chosen[p["name"]] = (1.5, 3.0)[kind]
                elif lower == 0:
                    chosen[p["name"]] = (1e-3 if not p["domain"]["includes_lower"] else 0.0, 0.3)[kind] * upper * 2
                else:
                    chosen[p["name"]] = (-1.5, 2.0)[kind]
            yield chosen


LANDMARKS = [0.0, 1e-30, 1e-10, 1e-5, 1e-3, 0.1, 0.5, 0.6931472, 1.0, 2.0, 5.0, 10.0, 17.0, 37.0, 50.0, 87.0, 88.0, 89.0, 103.0, 200.0, 700.0,
             709.0, 745.0, 800.0, 1e4]


def scalar_samples(unit, rng):
    lower, upper = float(unit["domain"]["lower"]), float(unit["domain"]["upper"])
    points = [s * x for x in LANDMARKS for s in (1, -1)] + [rng.uniform(-s, s) for s in (0.01, 1, 10, 100) for _ in range(8)]
    for x in dict.fromkeys(f32(p) for p in points):
        if lower < x < upper:
            yield {unit["argument"]: x}


def pair_samples(unit, rng):
    """Log-ratios over all sizes and signs, with the log-probabilities of short and long completions, and what the data says of them."""
    ratios = [s * x for x in (0.0, 1e-6, 0.01, 0.5, 3.0, 20.0, 37.0, 88.0, 300.0, 800.0, 1e4) for s in (1, -1)]
    plain = [(d, 0.0, 0.0, 0.0) for d in ratios] + [(0.0, d, 0.0, 0.0) for d in ratios[2:]]
    for _ in range(24):
        size = 10 ** rng.uniform(-1, 3)
        reference = [-size * rng.random() - 0.1 for _ in range(2)]
        gap = 10 ** rng.uniform(-3, 2)
        plain.append((reference[0] + gap * rng.uniform(-1, 1), reference[1] + gap * rng.uniform(-1, 1), reference[0], reference[1]))
    lowest, highest = (float(unit["domain"][end]) for end in ("lower", "upper"))
    data = random.Random(unit["name"] + " data")  # beside rng, so that a unit's log-probabilities do not depend on what else it reads
    for k, (chosen, rejected, ref_chosen, ref_rejected) in enumerate(plain):
        log_ratios = (chosen - ref_chosen, rejected - ref_rejected)
        if min(log_ratios) <= lowest or 0 < highest <= max(log_ratios):
            continue
        sample = {"chosen": chosen, "rejected": rejected, "ref_chosen": ref_chosen, "ref_rejected": ref_rejected,
                  "chosen_length": float(rng.randint(1, 400)), "rejected_length": float(rng.randint(1, 400)),
                  "margin": 0.0 if k % 2 else rng.uniform(-2, 2)}
        sample["rejected_reward"], sample["chosen_reward"] = sorted((data.uniform(0.01, 0.99), data.uniform(0.01, 0.99)))
        sample.update(chosen_kl=data.choice((0.0, data.uniform(0, 1), data.uniform(0, 50))), rejected_kl=data.uniform(0, 50),
                      target=-10 ** data.uniform(-8, 3), target_length=float(data.randint(1, 400)))
        if highest == 0:  # probabilities below 1, some of them by very little: a log-probability per token of -1e-8
            for name in ("chosen", "rejected"):
                sample[name] = -abs(sample[name]) or -1e-8 * sample[name + "_length"]
        yield {name: f32(sample[name]) for name in unit["reads"]}


def single_samples(unit, rng):
    """The log-ratios of pair_samples on one completion, desirable and undesirable."""
    lowest = float(unit["domain"]["lower"])
    ratios = [s * x for x in (0.0, 1e-6, 0.01, 0.5, 3.0, 20.0, 37.0, 88.0, 300.0, 800.0, 1e4) for s in (1, -1)]
    plain = [(d, 0.0) for d in ratios]
    for _ in range(16):
        reference = -10 ** rng.uniform(-1, 3)
        plain.append((min(reference + 10 ** rng.uniform(-3, 2) * rng.uniform(-1, 1), -1e-3), reference))
    for k, (logp, ref_logp) in enumerate(plain):
        if "ref_logp" not in unit["reads"] and "label" not in unit["reads"]:
            logp = -max(abs(logp), 1e-6)  # a probability below 1
        if logp - ref_logp <= lowest:
            continue
        sample = {"logp": logp, "ref_logp": ref_logp, "length": float(rng.randint(1, 400)), "reward": rng.uniform(-2, 2),
                  "label": 1.0 if k % 2 else -1.0}
        for label in (1.0, -1.0) if "label" in unit["reads"] else (0.0,):
            yield {name: f32(label if name == "label" else sample[name]) for name in unit["reads"]}


def group_samples(unit, rng):
    """Groups of 1 to 4 completions, log-ratios from tiny to large, distinct rewards in [0, 1] and, last, some that are equal."""
    for k in range(18):
        size = (1, 2, 2, 3, 3, 4)[k % 6]
        gap = 10 ** rng.uniform(-2, 2.5)
        rewards = rng.sample([0.0, 0.125, 0.25, 0.4, 0.5, 0.7, 0.875, 1.0], size)
        if k >= 12 and size > 2:
            rewards[1] = rewards[0]
        sample = {}
        for i in range(size):
            reference = -10 ** rng.uniform(-1, 2.5)
            of_one = {"logp": reference + gap * rng.uniform(-1, 1), "ref_logp": reference, "length": float(rng.randint(1, 100)), "reward": rewards[i]}
            sample.update({f"{name} {i}": f32(of_one[name]) for name in unit["reads"]})
        yield sample


def token_samples(unit, rng):
    """Log-ratios of a token from tiny to large, advantages of both signs, probabilities from tiny to nearly 1."""
    ratios = [s * x for x in (0.0, 1e-6, 0.01, 0.15, 0.25, 0.7, 3.0, 20.0, 60.0) for s in (1, -1)] + [rng.uniform(-1, 1) for _ in range(24)]
    for k, log_ratio in enumerate(ratios):
        old = -10 ** rng.uniform(-3, 1.5)
        sample = {"logp": min(old + rng.uniform(-1, 1) * 10 ** rng.uniform(-2, 0.5), -1e-3), "log_ratio": log_ratio, "old_logp": old, "ref_logp": old + rng.uniform(-1, 1),
                  "advantage": (1, -1)[k % 2] * 10 ** rng.uniform(-2, 1), "correction": rng.uniform(0, 2), "entropy": rng.uniform(0, 5), "selected": float(k // 2 % 2)}
        yield {name: f32(sample[name]) for name in unit["reads"]}


def value_samples(unit, rng):
    for _ in range(48):
        old, target = rng.uniform(-2, 2), rng.uniform(-3, 3)
        sample = {"value": old + rng.uniform(-1, 1) * 10 ** rng.uniform(-2, 0.5), "old_value": old, "target": target}
        yield {name: f32(sample[name]) for name in unit["reads"]}


def decimal(x):
    return mpmath.nstr(x, 20, min_fixed=-3, max_fixed=3)


def lines(unit):
    rng = random.Random(unit["name"])  # a unit's samples do not depend on the others
    value = evaluator(unit, unit["formula"])
    draw = {"pair": pair_samples, "detailed_pair": pair_samples, "single": single_samples, "group": group_samples,
            "token": token_samples, "value": value_samples}.get(unit["kind"], scalar_samples)
    samples = draw(unit, rng)
    outputs = unit.get("differentiable") or [unit["argument"]]
    slope = evaluator(unit, unit["slope"]) if unit["slope"] else None
    samples = list(samples)
    for parameters in parameter_choices(unit, rng):
        for sample in samples:
            inputs = {name: mpf(x) for name, x in itertools.chain(parameters.items(), sample.items())}
            cells = [unit["name"],
                     " ".join(f"{name}={x!r}" for name, x in parameters.items()),
                     " ".join(f"{name.partition(' ')[0]}={x!r}" for name, x in sample.items())]
            cells.append("value " + " ".join(map(decimal, with_scale(value, inputs))))
            for name in [x for x in sample if x.partition(" ")[0] in outputs]:
                if unit["kind"] in ("pair", "detailed_pair", "token", "value") and is_kink(value, inputs, name):
                    continue
                derivative = slope or (lambda i, n=name: partial(lambda moved: value(moved, i), i, n))
                cells.append(f"d_{name.partition(' ')[0]} " + " ".join(map(decimal, with_scale(derivative, inputs))))
            yield "; ".join(cells)


def rows_of(unit):
    return list(lines(unit))


def main():
    text = sys.stdin.read()
    print("catalogue sha256", hashlib.sha256(text.encode()).hexdigest())
    with multiprocessing.Pool() as pool:
        for rows in pool.imap(rows_of, [unit for unit in json.loads(text) if unit["kind"] != "operation"]):
            print("\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
