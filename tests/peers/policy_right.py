# SPDX-License-Identifier: MIT
"""The right loss and derivatives of a batch of tokens: the catalogue's formula of a token at high precision, with ratios, means, penalty and
multipliers written out here, from the same lines that the program policy reads.

Every number comes with its scale, |x| + sum |y dx/dy| over the log-ratios, log-probabilities, advantages and multipliers y of its sequence
(and with the terms of a sum in place of |x|): what an error of one ulp in each of them changes. A log-ratio is a variable of its own, since
the difference of two log-probabilities is rounded once.
"""
import generate
import mpmath
from mpmath import mpf

from policy_inputs import active

DIGITS, DEEP, STEP, NUDGE = 180, 1000, mpf(10) ** -30, mpf(10) ** -20
# objective of the program: unit of the catalogue, whose ratio, which mean
RECIPES = {"ppo": ("ppo", "token", "token_mean"), "grpo": ("ppo", "token", "sequence_mean_token_mean"),
           "dr_grpo": ("ppo", "token", "constant_length"), "gspo": ("ppo", "sequence", "sequence_mean_token_mean"),
           "luspo": ("ppo", "sequence", "sequence_mean_token_sum"), "rloo": ("ppo", "sequence_sum", "sequence_mean_token_mean"),
           "cispo": ("cispo", "token", "token_mean"), "sapo": ("sapo", "token", "sequence_mean_token_mean"),
           "gmpo": ("gmpo", "sequence", "sequence_mean_token_mean"), "vespo": ("vespo", "sequence_sum", "token_mean")}


class Right:
    """The composition that some lines describe."""

    def __init__(self, units, lines):
        words = lines["objective"].split()
        name, level, reduction = RECIPES[words[0]]
        unit = units[name]
        self.parameters = {p["name"]: mpf("inf") if p["default"] is None else mpf(p["default"]) for p in unit["parameters"]}
        self.parameters.update((key, mpf(float(value))) for key, value in (word.split("=") for word in words[1:]))
        self.value = generate.evaluator(unit, unit["formula"])
        self.level, self.reduction = lines.get("ratio", level), lines.get("reduction", reduction)
        self.penalty, self.coefficient = (lines["penalty"].split() + [0])[:2] if "penalty" in lines else (None, 0)
        self.coefficient, self.entropy = mpf(float(self.coefficient)), mpf(float(lines.get("entropy_coefficient", 0)))
        self.range = (-self.parameters["low"], self.parameters["high"]) if name == "gmpo" else (-mpf("inf"), mpf("inf"))
        self.lines = lines

    # -- one sequence, as a function of its variables y: (name, token) -> number

    def token(self, y, t, ratio):
        """Surrogate, its derivatives by log pi and by the ratio, and the same of the penalty."""
        x = {**self.parameters, "logp": y["logp", t], "log_ratio": ratio, "advantage": y["advantage", 0]}

        def partial(name):
            h = STEP * (abs(x[name]) or 1)
            return (self.value({**x, name: x[name] + h}, x) - self.value({**x, name: x[name] - h}, x)) / (2 * h)

        surrogate = [self.value(x), partial("logp"), partial("log_ratio")]
        if not self.penalty:
            return surrogate, [mpf(0)] * 3
        u = y["ref", t]
        k3, slope = mpmath.exp(-u) - 1 + u, 1 - mpmath.exp(-u)
        if self.penalty == "k3":
            return surrogate, [self.coefficient * k3, self.coefficient * slope, mpf(0)]
        r = self.coefficient * mpmath.exp(ratio)
        return surrogate, [r * k3, r * slope, r * k3]

    def sequence(self, y, n):
        """The sum of the tokens' losses, its derivatives by their log-probabilities, and the sizes of the terms of each."""
        lower, upper = self.range
        advantage = y["advantage", 0]
        upper, lower = upper if advantage > 0 else mpf("inf"), lower if advantage < 0 else -mpf("inf")
        held = [min(max(y["ratio", t], lower), upper) for t in range(n)]
        shared = sum(held) / (n if self.level == "sequence" else 1)
        parts = [self.token(y, t, y["ratio", t] if self.level == "token" else shared) for t in range(n)]
        terms, by_logp, by_ratio = [], [], []
        for t, (surrogate, penalty) in enumerate(parts):
            c = y["multiplier", t]
            terms += [c * surrogate[0], penalty[0], -self.entropy * y.get(("entropy", t), 0)]
            by_logp.append([c * surrogate[1], penalty[1]])
            by_ratio.append([c * surrogate[2], penalty[2]])
        total, size = sum(terms), sum(map(abs, terms))
        values, sizes = [], []
        for t in range(n):
            if self.level == "token":  # r k3 + r k3' = r u: no sum that rounding has to suffer from
                among = [by_logp[t][0], by_ratio[t][0], by_logp[t][1] + by_ratio[t][1]]
            else:
                free = held[t] == y["ratio", t]
                share = mpf(1) / (n if self.level == "sequence" else 1) if free else mpf(0)
                among = by_logp[t] + [share * d for pair in by_ratio for d in pair]
            values.append(sum(among))
            sizes.append(sum(map(abs, among)))
        return [total, *values], [size, *sizes]

    def with_scale(self, y, n, condition):
        values, scales = self.sequence(y, n)
        scales = list(scales)
        for key, x in y.items():
            if x:
                moved, _ = self.sequence({**y, key: x * (1 + NUDGE)}, n)
                for i, (after, before) in enumerate(zip(moved, values)):
                    scales[i] += abs(after - before) / NUDGE * condition.get(key, 1)
        return values, scales

    # -- the batch

    def variables(self, x, row, tokens):
        y = {("advantage", 0): mpf(x["advantage"][row])}
        for t, (i, multiplier) in enumerate(tokens):
            logp = mpf(x["logp"][i])
            y.update({("logp", t): logp, ("ratio", t): logp - mpf(x["old_logp"][i]), ("multiplier", t): multiplier})
            if self.entropy:
                y["entropy", t] = mpf(x["entropy"][i])
            if self.penalty:
                y["ref", t] = logp - mpf(x["ref_logp"][i])
        return y

    def multipliers(self, x, row, tokens):
        """Of the tokens of a row, and by how many ulp more than one each may be off."""
        values, ulps = [mpf(1)] * len(tokens), mpf(1)
        if "sampler" in self.lines:
            level, otherwise, lower, upper = self.lines["sampler"].split()
            ratios = [mpf(x["old_logp"][i]) - mpf(x["sampler_logp"][i]) for i in tokens]
            ulps += sum(map(abs, ratios))
            logs = ratios if level == "token" else [sum(ratios)] * len(tokens)
            lower, upper = mpf(float(lower)), mpf(float(upper))
            for t, l in enumerate(logs):
                r = mpmath.exp(l)
                values[t] *= r if lower <= r <= upper else 0 if otherwise == "mask" else min(max(r, lower), upper)
        if "off_policy" in self.lines:
            by = x["sampler_logp" if "sampler" in self.lines else "old_logp"]
            mean = sum((mpf(by[i]) - mpf(x["logp"][i]) for i in tokens), mpf(0)) / max(len(tokens), 1)
            if x["advantage"][row] < 0 and mean > float(self.lines["off_policy"]):
                values = [mpf(0)] * len(tokens)
        if "top_entropy" in self.lines:
            everyone = sorted(x["entropy"][i] for r in range(x["rows"]) for i in active(x, r))
            place = (1 - float(self.lines["top_entropy"])) * (len(everyone) - 1)
            values = [v if x["entropy"][i] >= everyone[-int(-place // 1)] else mpf(0) for v, i in zip(values, tokens)]
        return values, ulps

    def weight(self, n):
        return {"sequence_mean_token_mean": mpf(1) / max(n, 1), "constant_length": mpf(1) / float(self.lines.get("constant_length", 1))}.get(self.reduction, mpf(1))

    def of(self, x):
        """{"loss": (value, scale), "d row,column": ...}"""
        far = self.penalty and any(abs(x["logp"][i] - x["ref_logp"][i]) > 300 for row in range(x["rows"]) for i in active(x, row))
        with mpmath.workdps(DEEP if far else DIGITS):  # r k3 and r k3' cancel down to r u
            return self.numbers(x)

    def numbers(self, x):
        found = {"loss": [mpf(0), mpf(0)]}
        count, rows, columns = sum(x["mask"]), x["rows"], x["columns"]
        denominator = {"rows": rows, "items": x["items"], "": count}[self.lines.get("normalizer", "")] or 1
        for name in ("d", "h") if self.entropy else ("d",):
            found.update((f"{name} {i // columns},{i % columns}", (mpf(0), mpf(0))) for i in range(rows * columns))
        for row in range(rows):
            tokens = active(x, row)
            if not tokens:
                continue
            multipliers, ulps = self.multipliers(x, row, tokens)
            weight = self.weight(len(tokens)) / denominator
            of_all = list(zip(tokens, multipliers))
            for some in [[one] for one in of_all] if self.level == "token" else [of_all]:  # tokens that share nothing, one at a time
                values, scales = self.with_scale(self.variables(x, row, some), len(some), {("multiplier", t): ulps for t in range(len(some))})
                found["loss"] = [a + weight * b for a, b in zip(found["loss"], (values[0], scales[0]))]
                for (i, _), value, scale in zip(some, values[1:], scales[1:]):
                    found[f"d {i // columns},{i % columns}"] = (weight * value, weight * scale)
            for i in tokens if self.entropy else []:
                found[f"h {i // columns},{i % columns}"] = (-weight * self.entropy, weight * self.entropy)
        with mpmath.workdps(40):
            return {name: tuple(+number for number in pair) for name, pair in found.items()}
