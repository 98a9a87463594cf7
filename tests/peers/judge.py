# SPDX-License-Identifier: MIT
"""What counts as rounding, what as off, NaN, infinite or lost; and whether whatever is not rounding has a known reason."""
import sys

import mpmath
from mpmath import mpf

EPSILON = {"f32": 2.0**-23, "f64": 2.0**-52}
SMALLEST = {"f32": 2.0**-126, "f64": 2.0**-1022}
LARGEST = {"f32": (2 - 2.0**-23) * 2.0**127, "f64": sys.float_info.max}
ROUNDING = 16       # ulp x (1 + condition number) that count as rounding
NEGLIGIBLE = 1e-6   # of the largest loss or derivative over the realistic inputs


def finite(x):
    return abs(x) < float("inf")


def relative_error(got, truth, smallest):
    """|got - right| / (|right| (1 + condition number)); what is below the smallest number that counts is rounding."""
    with mpmath.workdps(40):
        value, scale = truth
        error = max(abs(mpf(got) - value) - mpf(smallest), mpf(0))
        return float(error / scale) if scale else float("inf") if error else 0.0


class Tally:
    """What one system made of all inputs of one peer in one arithmetic."""

    def __init__(self, wants_overflow, smallest):
        self.smallest = smallest  # size of an error that counts as rounding
        self.wants_overflow = wants_overflow  # whether a derivative of 0 is lost also where the right one is no finite number of the type
        self.worst = {"loss": 0.0, "gradient": 0.0}
        self.cases = {"NaN": [], "inf": [], "lost": [], "off": [], "matters": []}  # (relative error, which sample, quantity)

    def count(self, kind):
        return len({k for _, k, _ in self.cases[kind]})

    def is_clean(self):
        return not any(self.cases.values())

    def add(self, k, name, got, truth, arithmetic, negligible):
        if got != got:
            return self.cases["NaN"].append((0.0, k, name))
        if truth is None:
            return None  # there is nothing to compare with
        if abs(truth[0]) > LARGEST[arithmetic]:
            return self.cases["lost"].append((0.0, k, name)) if self.wants_overflow and name != "loss" and got * truth[0] <= 0 else None
        if not finite(got):
            return self.cases["inf"].append((0.0, k, name))
        error = relative_error(got, truth, self.smallest)
        if name != "loss" and abs(truth[0]) > negligible and got * truth[0] <= 0:
            self.cases["lost"].append((error, k, name))
        elif error > ROUNDING * EPSILON[arithmetic]:
            self.cases["off"].append((error, k, name))
            if abs(mpf(got) - truth[0]) > negligible:
                self.cases["matters"].append((error, k, name))
        kind = "loss" if name == "loss" else "gradient"
        self.worst[kind] = max(self.worst[kind], error)
        return None


class Result:
    """One peer: its samples, the right values, and what each system gives in each arithmetic."""
    wants_overflow = False
    smallest = SMALLEST

    def __init__(self, peer, samples, realistic, truths):
        self.peer, self.samples, self.realistic, self.truths = peer, samples, realistic, truths
        self.got, self.tally = {}, {}
        largest = {}
        for name in truths[0]:
            sizes = [abs(t[name][0]) for t in truths[:realistic] if t[name]]
            largest[self.quantity(name)] = max([largest.get(self.quantity(name), 0), *sizes])
        self.largest = {kind: max(NEGLIGIBLE * value, mpf(SMALLEST["f32"])) for kind, value in largest.items()}

    def quantity(self, name):
        """What is of one size."""
        return name

    def shown(self, k):
        """A sample, as a message names it."""
        return self.samples[k]

    def judge(self, system, arithmetic, rows):
        self.got[system, arithmetic] = rows
        if isinstance(rows, str):
            return
        tally = self.tally[system, arithmetic] = Tally(self.wants_overflow, self.smallest[arithmetic])
        for k, (row, truth) in enumerate(zip(rows, self.truths)):
            for name in truth:
                tally.add(k, name, row[name], truth[name], arithmetic, self.largest[self.quantity(name)])

    def summary(self):
        return "\n".join(" ".join([self.peer.name(), *key, str({k: f"{v:.1e}" for k, v in tally.worst.items()}),
                                   str({kind: tally.count(kind) for kind in tally.cases})]) for key, tally in sorted(self.tally.items()))


def unexplained(results, known):
    """Failures that no entry of `known` gives a reason for, and entries that nothing needs any more."""
    complaints, needed = [], set()
    for r in results:
        for (system, arithmetic), tally in r.tally.items():
            for kind in ("off", "NaN", "inf", "lost"):
                for error, k, name in tally.cases[kind]:
                    reason = next((n for n in known if n.explains(system, kind, r.peer, arithmetic, name, r.samples[k])), None)
                    needed.add(id(reason))
                    if not reason:
                        complaints.append(f"{system} {r.peer.name()} {arithmetic}: {name} {kind}, relative error {error:.1e}, at "
                                          f"{r.shown(k)}: {r.got[system, arithmetic][k][name]!r}, right is "
                                          f"{mpmath.nstr(r.truths[k][name][0], 12) if r.truths[k][name] else 'undefined'}")
    present = {r.peer.unit for r in results}
    complaints += [f"the known difference of {n.system} {' '.join(n.units)} is not needed: {n.reason}" for n in known
                   if present & set(n.units) and id(n) not in needed]
    return complaints
