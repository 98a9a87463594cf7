# SPDX-License-Identifier: MIT
"""Policy gradient in the comparison: the right values of all batches, and what both systems make of them."""
import subprocess

from judge import EPSILON, SMALLEST, Result
from policy_inputs import batches
from policy_peers import KNOWN, PEERS  # noqa: F401
from policy_right import Right

MEMBERS = "logp", "old_logp", "ref_logp", "sampler_logp", "entropy", "advantage"


class PolicyResult(Result):
    wants_overflow = True
    smallest = {**SMALLEST, "f64": 1e-100}  # the digits of the right values do not reach further

    def quantity(self, name):
        return name[0]

    def shown(self, k):
        return self.samples[k]["what"]


def right(job):
    units, lines, batch = job
    return Right(units, lines).of(batch)


def is_relevant(peer, x):
    return "penalty" in peer.lines or "log ref" not in x["what"]


def right_values(units, only, pool):
    """One result of every peer, with the right values."""
    units = {name: unit for name, unit in units.items() if unit["kind"] == "token"}
    results = []
    for peer in PEERS:
        if only and peer.unit not in only and "policy" not in only:
            continue
        realistic, extreme = batches(peer.spread)
        samples = [x for x in realistic + extreme if is_relevant(peer, x)]
        jobs = [(units, peer.lines, peer.batch(x)) for x in samples]
        results.append(PolicyResult(peer, samples, len(realistic), pool.map(right, jobs, chunksize=4)))
        print("right values:", peer.name(), flush=True)
    return results


def text_of(peer, x, arithmetic):
    """A batch as the program reads it."""
    lines = {"type": arithmetic, **peer.lines, "shape": f"{x['rows']} {x['columns']}", "mask": " ".join(map(str, x["mask"]))}
    if "normalizer" in lines:
        lines["normalizer"] = {"rows": x["rows"], "items": x["items"]}[lines["normalizer"]]
    lines.update((name, " ".join(map(repr, x[name]))) for name in MEMBERS if name != "ref_logp" or "penalty" in lines)
    return "".join(f"{key} {value}\n" for key, value in lines.items()) + "end\n"


def attune(program, peer, samples, arithmetic):
    text = "".join(text_of(peer, peer.batch(x), arithmetic) for x in samples)
    done = subprocess.run([program], input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{program}, {peer.name()}: {done.stderr.strip()}")
    rows = []
    for x, line in zip(samples, done.stdout.splitlines()):
        loss, *derivatives = map(float, line.split())
        n, columns = x["rows"] * x["columns"], x["columns"]
        names = [f"{'dh'[i // n]} {i % n // columns},{i % columns}" for i in range(len(derivatives))]
        rows.append({"loss": loss, **dict(zip(names, derivatives))})
    return rows


def trl(peer, samples, arithmetic):
    import torch
    import policy_trl
    trainer, _ = policy_trl.make(peer.trainer, peer.options)
    dtype = {"f32": torch.float32, "f64": torch.float64}[arithmetic]
    return [policy_trl.run(trainer, x, dtype) for x in samples]


def judge(results, program):
    for r in results:
        for arithmetic in EPSILON:
            r.judge("attune", arithmetic, attune(program, r.peer, r.samples, arithmetic))
            r.judge("TRL", arithmetic, trl(r.peer, r.samples, arithmetic))
        print(r.summary(), flush=True)
