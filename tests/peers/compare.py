# SPDX-License-Identifier: MIT
"""attune beside TRL's own loss code, on the same inputs; see run.sh. Writes the page, and fails where one of the two is wrong, and so where
they disagree, without a known reason."""
import argparse
import csv
import io
import json
import multiprocessing
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "oracle"))

import generate  # noqa: E402  # the oracle: formulas at high precision
import mpmath  # noqa: E402
from mpmath import mpf  # noqa: E402

import policy_compare  # noqa: E402
from judge import EPSILON, Result, unexplained  # noqa: E402
from objectives import KNOWN, PEERS  # noqa: E402

BEYOND = 1000.0     # a log-ratio outside a unit's domain, up to which there still is a right value


# ---- the right values

def reads(unit, x):
    return {name: x[name] for name in unit["reads"] if name in x}


def log_ratios(unit, x):
    return [x[y] - x["ref_" + y] for y in ("chosen", "rejected", "logp") if "ref_" + y in unit["reads"]]


def right(job):
    """Of one sample: {"loss": (value, scale), "d_chosen": ...}; None where the formula has no value, the value has a kink, or the
    log-ratios are so far outside the unit's domain that an exponential of an exponential is beyond the oracle too."""
    unit, parameters, x = job
    found = numbers_of(unit, parameters, x)
    if any(number and not number[0] for number in found.values()):  # 0, or lost behind 800 digits
        with mpmath.workdps(3000):
            found = numbers_of(unit, parameters, x)
    return found


def numbers_of(unit, parameters, x):
    value = generate.evaluator(unit, unit["formula"])
    numbers = {name: mpf(number) for name, number in {"margin": 0.0, **parameters, **reads(unit, x)}.items()}
    found = dict.fromkeys(["loss", *(f"d_{member}" for member in unit["differentiable"])])
    lower, upper = (float(unit["domain"][end]) for end in ("lower", "upper"))
    if any(abs(d) > BEYOND and not lower <= d <= upper for d in log_ratios(unit, x)):
        return found
    for name in found:
        try:
            function, member = value, name.removeprefix("d_")
            if name != "loss":
                if generate.is_kink(value, numbers, member):
                    continue
                function = lambda moved, m=member: generate.partial(lambda n: value(n, moved), moved, m)  # noqa: E731
            with_scale = generate.with_scale(function, numbers)
            with mpmath.workdps(40):
                found[name] = tuple(+number for number in with_scale)
        except (ZeroDivisionError, ValueError):
            pass
    return found


class PreferenceResult(Result):
    def __init__(self, peer, unit, *rest):
        self.unit = unit
        super().__init__(peer, *rest)

    def shown(self, k):
        return reads(self.unit, self.samples[k])


# ---- the two systems

def run(command, text=""):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def attune(explore, peer, unit, samples, arithmetic):
    """What the program explore prints, row by row."""
    text = io.StringIO()
    rows = [reads(unit, x) for x in samples]
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    settings = [word for name, value in peer.parameters.items() for word in ("--set", f"{name}={value!r}")]
    out = run([explore, "eval", peer.unit, "--type", arithmetic, *settings], text.getvalue())
    return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(out))]


def refusal(explore):
    """What attune says to a parameter that the objective does not have."""
    try:
        return run([explore, "eval", "dpo", "--set", "label_smoothing=0.1"], "chosen,rejected,ref_chosen,ref_rejected\n-1,-2,-1,-2\n")
    except RuntimeError as error:
        return str(error).split(": ", 1)[1]


def trl(peer, samples, arithmetic):
    """TRL's numbers, or the name of the error that it refuses with."""
    import torch
    import trl_losses
    trainer, _ = trl_losses.make(peer.trainer, peer.options)
    dtype = {"f32": torch.float32, "f64": torch.float64}[arithmetic]
    try:
        return [trl_losses.run(trainer, peer.prepare(trainer, x), dtype) for x in samples]
    except (KeyError, RuntimeError) as error:
        return type(error).__name__


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--explore", required=True, help="the program explore")
    parser.add_argument("--policy", required=True, help="the program made of policy.cpp")
    parser.add_argument("--page", required=True, help="the page to be written")
    parser.add_argument("--only", nargs="+", metavar="UNIT", help="these only (\"policy\": of policy gradient all); no page is written")
    arguments = parser.parse_args()
    units = {unit["name"]: unit for unit in json.loads(run([arguments.explore, "list", "--json"]))}
    wanted = [peer for peer in PEERS if not arguments.only or peer.unit in arguments.only]
    absent = list(dict.fromkeys(peer.unit for peer in wanted if peer.unit not in units))
    if absent:
        print("not in this catalogue, left out:", *absent)
    results = []
    with multiprocessing.Pool() as pool:
        for peer in [p for p in wanted if p.unit in units]:
            realistic, extreme = peer.inputs()
            jobs = [(units[peer.unit], peer.parameters, x) for x in realistic + extreme]
            results.append(PreferenceResult(peer, units[peer.unit], realistic + extreme, len(realistic), pool.map(right, jobs, chunksize=8)))
            print("right values:", peer.name(), flush=True)
        policies = policy_compare.right_values(units, arguments.only, pool)
    for r in results:
        for arithmetic in EPSILON:
            r.judge("attune", arithmetic, attune(arguments.explore, r.peer, r.unit, r.samples, arithmetic))
            r.judge("TRL", arithmetic, trl(r.peer, r.samples, arithmetic))
        print(r.summary(), sep="\n")
    policy_compare.judge(policies, arguments.policy)
    if not arguments.only:
        import page
        pathlib.Path(arguments.page).write_text(page.text(results, policies, absent, run([arguments.explore, "--version"]).strip(),
                                                          refusal(arguments.explore)))
        print("written:", arguments.page)
    complaints = unexplained(results, KNOWN) + unexplained(policies, policy_compare.KNOWN)
    print(*complaints, f"{len(complaints)} complaints" if complaints else "every failure has its reason", sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
