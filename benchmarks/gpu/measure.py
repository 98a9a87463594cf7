# SPDX-License-Identifier: MIT
"""attune on a GPU beside PyTorch (eager and compiled) and Liger, in one interleaved run. Started by run.sh.

An operation is timed on inputs that rotate (none is in the cache when it is read again), with events on the device, one contestant after the other in
every round; figures are medians. Beside each: the bytes that have to be moved at least, over the time, as a share of what a copy moves in the same run.
Before it is timed, each of attune's results is compared with torch's in double on some rows.
"""
import argparse
import ctypes
import json
import math
import pathlib
import re
import statistics
import sys

import torch
import torch.nn.functional as F


class Call(ctypes.Structure):
    _fields_ = [("path", ctypes.c_int), ("stream", ctypes.c_void_p), ("workspace", ctypes.c_void_p), ("bytes", ctypes.c_int64)]


class Attune:
    """The functions of attune_gpu.cu on torch's tensors and current stream."""

    PATHS = {"attune": 0, "attune, Thrust": 1}

    def __init__(self, library):
        self.library = ctypes.CDLL(library)
        self.library.attune_workspace.restype = self.library.attune_lm_head_workspace.restype = ctypes.c_int64
        self.scratch = torch.empty(0, dtype=torch.uint8, device="cuda")

    def reserve(self, rows, classes, lm_head=False):
        bytes_of = self.library.attune_lm_head_workspace if lm_head else self.library.attune_workspace
        size = bytes_of(ctypes.c_int64(rows), ctypes.c_int64(classes))
        if size > self.scratch.numel():
            self.scratch = torch.empty(size, dtype=torch.uint8, device="cuda")

    def __call__(self, name, path, *arguments):
        function = getattr(self.library, "attune_" + name)
        function.restype = ctypes.c_char_p
        common = Call(self.PATHS[path], torch.cuda.current_stream().cuda_stream, self.scratch.data_ptr(), self.scratch.numel())

        def plain(x):
            if isinstance(x, torch.Tensor):
                return ctypes.c_void_p(x.data_ptr())
            if isinstance(x, torch.dtype):
                return ctypes.c_int({torch.float32: 0, torch.bfloat16: 1}[x])
            return ctypes.c_double(x) if isinstance(x, float) else ctypes.c_void_p(None) if x is None else ctypes.c_int64(x)

        wrong = function(common, *map(plain, arguments))
        if wrong:
            raise RuntimeError(f"{name}: {wrong.decode()}")


class Operation:
    """A row of the table. contestants: name -> callable of the turn (which inputs to take); check: raises if attune's results are wrong."""

    def __init__(self, name, size, minimum_bytes, contestants, check=None):
        self.name, self.size, self.bytes, self.contestants, self.check = name, size, minimum_bytes, contestants, check


def relative_error(given, expected):
    given, expected = given.double(), expected.double()
    return ((given - expected).norm() / expected.norm()).item()


def require(what, error, bound):
    if not error <= bound:
        raise AssertionError(f"{what} is wrong: error {error:.3g}, expected at most {bound:.3g}")


# ---- what the peers do

def gathered_log_softmax(logits, targets):
    return torch.log_softmax(logits, -1).gather(-1, targets[:, None]).squeeze(-1)


def gathered_logsumexp(logits, targets):
    return logits.gather(-1, targets[:, None]).squeeze(-1) - torch.logsumexp(logits, -1)


def ppo_loss(logps, old, advantages):
    ratio = (logps - old).exp()
    return -torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()


def forward_kl(policy, target):
    p, q = torch.log_softmax(target.float(), -1), torch.log_softmax(policy.float(), -1)
    return (p.exp() * (p - q)).sum(-1)


def jensen_shannon(policy, target):
    p, q = torch.log_softmax(target.float(), -1), torch.log_softmax(policy.float(), -1)
    m = torch.logaddexp(p, q) - math.log(2)
    return 0.5 * ((p.exp() * (p - m)).sum(-1) + (q.exp() * (q - m)).sum(-1))


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected):
    return -F.logsigmoid(0.1 * ((chosen - rejected) - (ref_chosen - ref_rejected))).mean()


def liger():
    """Liger's functions that have an equal here; none where it is not installed."""
    found = {}
    try:
        from liger_kernel.transformers.functional import liger_cross_entropy
        found["cross_entropy"] = liger_cross_entropy
    except ImportError:
        pass
    try:
        from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy
        found["linear_cross_entropy"] = liger_fused_linear_cross_entropy
    except ImportError:
        pass
    try:
        from liger_kernel.ops.grpo_loss import fused_selective_log_softmax
        found["selective_log_softmax"] = fused_selective_log_softmax
    except ImportError:
        pass
    return found


# ---- the operations

class Inputs:
    def __init__(self, rows, classes, dtype, copies=2):
        def logits(seed):
            generator = torch.Generator(device="cuda").manual_seed(seed)
            return torch.randn(rows, classes, generator=generator, device="cuda", dtype=torch.float32).mul_(3).to(dtype)

        self.rows, self.classes, self.dtype = rows, classes, dtype
        self.logits = [logits(1 + k) for k in range(copies)]
        self.teachers = [logits(11 + k) for k in range(copies)]
        self.targets = torch.randint(classes, (rows,), device="cuda")
        self.logps = torch.empty(rows, device="cuda")
        self.states = torch.empty(rows, 2, dtype=torch.float64, device="cuda")
        self.coefficients = torch.full((rows,), -1.0 / rows, device="cuda")
        self.old = torch.empty(rows, device="cuda")
        self.advantages = torch.randn(rows, device="cuda")
        self.losses = torch.empty(rows, device="cuda")
        self.pass_bytes = rows * classes * self.logits[0].element_size()

    def size(self):
        return f"{str(self.dtype).removeprefix('torch.')} {self.rows} x {self.classes}"

    def exact(self, rows=8):
        return self.logits[0][:rows].double()


def compiled(function):
    return torch.compile(function, dynamic=False)


def logps_operation(attune, x, peers):
    attune.reserve(x.rows, x.classes)
    eager = gathered_log_softmax if x.dtype == torch.bfloat16 else gathered_logsumexp
    fast = compiled(lambda logits, targets: gathered_logsumexp(logits.float(), targets))

    def ours(path):
        return lambda turn: attune("token_logps", path, x.dtype, x.logits[turn % 2], x.rows, x.classes, x.targets, x.logps, x.states)

    def check():
        want = gathered_log_softmax(x.exact(), x.targets[:8])
        for path in Attune.PATHS:
            ours(path)(0)
            require("token_logps by " + path, (x.logps[:8].double() - want).abs().max().item(), 2e-5)

    contestants = {path: ours(path) for path in Attune.PATHS}
    contestants["torch eager"] = lambda turn: eager(x.logits[turn % 2], x.targets)
    contestants["torch.compile"] = lambda turn: fast(x.logits[turn % 2], x.targets)
    if "selective_log_softmax" in peers:
        contestants["Liger selective_log_softmax"] = lambda turn: peers["selective_log_softmax"](x.logits[turn % 2][None], x.targets[None])
    return Operation("logp of the targets", x.size(), x.pass_bytes, contestants, check)


def gradient_operation(attune, x, peers):
    attune.reserve(x.rows, x.classes)
    attune("token_logps", "attune", x.dtype, x.logits[0], x.rows, x.classes, x.targets, x.logps, x.states)
    states = x.states.clone()
    places = [x.teachers[0], x.teachers[1]]  # written over again and again: what is in them does not matter

    def ours(path):
        return lambda turn: attune("logits_gradient", path, x.dtype, places[turn % 2], x.rows, x.classes, x.targets, states, x.coefficients)

    leaf = x.logits[0].detach().requires_grad_()
    outputs = gathered_log_softmax(leaf, x.targets)
    upstream = x.coefficients.to(outputs.dtype)
    fast = compiled(lambda logits, targets: gathered_logsumexp(logits.float(), targets))
    fast_outputs = fast(leaf, x.targets)

    def check():
        want = -torch.softmax(x.exact(), -1)
        want[torch.arange(8, device="cuda"), x.targets[:8]] += 1
        for path in Attune.PATHS:
            places[0].copy_(x.logits[0])
            ours(path)(0)
            require("logits_gradient by " + path, relative_error(places[0][:8], want * x.coefficients[:8, None].double()), 4e-3)

    contestants = {path: ours(path) for path in Attune.PATHS}
    contestants["torch eager"] = lambda turn: torch.autograd.grad(outputs, leaf, upstream, retain_graph=True)
    contestants["torch.compile"] = lambda turn: torch.autograd.grad(fast_outputs, leaf, x.coefficients, retain_graph=True)
    return Operation("gradient in the logits, in place", x.size(), 2 * x.pass_bytes, contestants, check)


def both_operation(attune, x, peers):
    attune.reserve(x.rows, x.classes)

    def ours(path):
        def run(turn):
            logits = x.teachers[turn % 2]
            attune("token_logps", path, x.dtype, logits, x.rows, x.classes, x.targets, x.logps, x.states)
            attune("logits_gradient", path, x.dtype, logits, x.rows, x.classes, x.targets, x.states, x.coefficients)
        return run

    fast = compiled(lambda logits, targets: gathered_logsumexp(logits.float(), targets))

    def torchs(function):
        def run(turn):
            leaf = x.logits[turn % 2].detach().requires_grad_()
            function(leaf, x.targets).mean().backward()
        return run

    contestants = {path: ours(path) for path in Attune.PATHS}
    contestants["torch eager"] = torchs(gathered_log_softmax)
    contestants["torch.compile"] = torchs(fast)
    if "cross_entropy" in peers:
        contestants["Liger cross_entropy"] = torchs(lambda logits, targets: peers["cross_entropy"](logits, targets))
    return Operation("logp, then its gradient", x.size(), 3 * x.pass_bytes, contestants)


def ppo_operation(attune, x, peers):
    x.old.copy_(gathered_logsumexp(x.logits[0].float(), x.targets) + 0.1 * torch.randn(x.rows, device="cuda"))

    def ours(turn, logits=None):
        attune("ppo", "attune", x.dtype, x.teachers[turn % 2] if logits is None else logits, x.rows, x.classes, x.targets, x.old, x.advantages, x.logps, x.losses)

    def torchs(function):
        def run(turn):
            leaf = x.logits[turn % 2].detach().requires_grad_()
            function(leaf).backward()
            return leaf.grad
        return run

    fast = compiled(lambda logits: ppo_loss(gathered_logsumexp(logits.float(), x.targets), x.old, x.advantages))

    def check():
        x.teachers[0].copy_(x.logits[0])
        ours(0)
        rows = 8
        leaf = x.exact(rows).requires_grad_()
        loss = ppo_loss(gathered_logsumexp(leaf, x.targets[:rows]), x.old[:rows].double(), x.advantages[:rows].double()) * rows / x.rows
        loss.backward()
        require("the gradient of PPO", relative_error(x.teachers[0][:rows], leaf.grad), 4e-3)

    return Operation("PPO: logits to their gradient", x.size(), 2 * x.pass_bytes,
                     {"attune": ours, "torch eager": torchs(lambda leaf: ppo_loss(gathered_log_softmax(leaf, x.targets).float(), x.old, x.advantages)),
                      "torch.compile": torchs(fast)}, check)


def divergence_operation(attune, x, which, with_gradient):
    number, title, function = {"forward_kl": (0, "forward KL", forward_kl), "jensen_shannon": (2, "Jensen-Shannon", jensen_shannon)}[which]
    attune.reserve(x.rows, x.classes)
    work = [x.logits[0].clone(), x.logits[1].clone()] if with_gradient else x.logits
    fast = compiled(function)

    def ours(path):
        return lambda turn: attune("row_divergence", path, number, x.dtype, work[turn % 2], x.teachers[turn % 2], x.rows, x.classes, x.logps,
                                   x.coefficients if with_gradient else None)

    def torchs(of):
        def run(turn):
            if not with_gradient:
                return of(x.logits[turn % 2], x.teachers[turn % 2])
            leaf = x.logits[turn % 2].detach().requires_grad_()
            of(leaf, x.teachers[turn % 2]).mean().backward()
        return run

    def check():
        want = function(x.exact(), x.teachers[0][:8].double()) if which != "forward_kl" else forward_kl(x.exact(), x.teachers[0][:8].double())
        for path in Attune.PATHS:
            if with_gradient:
                work[0].copy_(x.logits[0])
            ours(path)(0)
            require(f"{title} by {path}", ((x.logps[:8].double() - want).abs() / (1 + want)).max().item(), 2e-5)

    contestants = {path: ours(path) for path in Attune.PATHS}
    contestants["torch eager"] = torchs(function)
    contestants["torch.compile"] = torchs(fast)
    passes = 3 if with_gradient else 2
    return Operation(title + (", value and gradient" if with_gradient else ", value"), x.size(), passes * x.pass_bytes, contestants, check)


def sequence_operation(attune, pairs):
    """Value and gradients of DPO on sequence log-probabilities, replayed from a graph."""
    attune.reserve(pairs, 1)
    logps = -50 * torch.rand(4, pairs, device="cuda")
    slopes, report = torch.empty(2, pairs, device="cuda"), torch.zeros(12, dtype=torch.float64, device="cuda")

    def graphed(work):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            work()
            work()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return lambda turn: graph.replay()

    leaf = logps.clone().requires_grad_()

    def torchs():
        leaf.grad = None
        dpo_loss(*leaf[:2], *leaf[2:].detach()).backward()

    def ours():
        attune("dpo", "attune", logps, pairs, slopes, report)

    def check():
        ours()
        torchs()
        require("DPO", relative_error(slopes, leaf.grad[:2]), 1e-5)

    fast = compiled(lambda x: dpo_loss(*x[:2], *x[2:].detach()))

    def compiled_torch():
        leaf.grad = None
        fast(leaf).backward()

    return Operation("DPO of sequences, value and gradients, a CUDA graph", f"{pairs} pairs", 0,
                     {"attune": graphed(ours), "torch eager": graphed(torchs), "torch.compile": graphed(compiled_torch)}, check)


def dpo_step_operation(attune, x, length):
    pairs = x.rows // (2 * length)
    attune.reserve(x.rows, x.classes)
    reference, sums, slopes = -50 * torch.rand(2 * pairs, device="cuda"), torch.empty(2 * pairs, device="cuda"), torch.empty(2 * pairs, device="cuda")

    def ours(path):
        return lambda turn: attune("dpo_step", path, x.dtype, x.teachers[turn % 2], pairs, length, x.classes, x.targets, reference, x.logps, x.states, sums, slopes)

    def loss(function, leaf):
        logps = function(leaf, x.targets).float().view(2 * pairs, length).sum(-1)
        return dpo_loss(logps[:pairs], logps[pairs:], reference[:pairs], reference[pairs:])

    def torchs(function):
        def run(turn):
            leaf = x.logits[turn % 2].detach().requires_grad_()
            function(leaf).backward()
        return run

    fast = compiled(lambda leaf: loss(lambda logits, targets: gathered_logsumexp(logits.float(), targets), leaf))
    contestants = {path: ours(path) for path in Attune.PATHS}
    contestants["torch eager"] = torchs(lambda leaf: loss(gathered_log_softmax, leaf))
    contestants["torch.compile"] = torchs(fast)
    return Operation("a step of DPO: logits to their gradient", x.size() + f", {pairs} pairs", 3 * x.pass_bytes, contestants)


def update_operation(attune, size):
    reference, policy = torch.randn(size, device="cuda", dtype=torch.bfloat16), torch.randn(size, device="cuda", dtype=torch.bfloat16)

    def ours(path):
        return lambda turn: attune("soft_update", path, torch.bfloat16, reference, policy, size, 0.01, turn)

    def trl(turn):
        reference.mul_(0.99).add_(policy, alpha=0.01)

    def check():
        before = reference[: 1 << 20].double()
        ours("attune")(3)
        moved = (reference[: 1 << 20].double() - before).mean().item()
        want = (0.01 * (policy[: 1 << 20].double() - before)).mean().item()
        require("soft_update", abs(moved - want), 1e-4)

    contestants = {path: ours(path) for path in Attune.PATHS}
    contestants["torch mul_, add_ (TRL)"] = trl
    contestants["torch._foreach_lerp_"] = lambda turn: torch._foreach_lerp_([reference], [policy], 0.01)
    return Operation("soft update, bf16 (attune: stochastic rounding)", f"{size} parameters", 6 * size, contestants, check)


class Head:
    """Inputs of an LM head: hidden states, the head's weight, and what PPO wants."""

    def __init__(self, rows, width, classes):
        self.rows, self.width, self.classes, self.chunk = rows, width, classes, min(rows, 4096)
        self.hidden = [torch.randn(rows, width, device="cuda", dtype=torch.bfloat16) for _ in range(2)]
        self.weight = (torch.randn(classes, width, device="cuda") * (2 / width ** 0.5)).to(torch.bfloat16)
        self.targets = torch.randint(classes, (rows,), device="cuda")
        self.logps, self.states = torch.empty(rows, device="cuda"), torch.empty(rows, 2, dtype=torch.float64, device="cuda")
        self.old, self.advantages = torch.empty(rows, device="cuda"), torch.randn(rows, device="cuda")

    def size(self):
        return f"bfloat16 {self.rows} x {self.width}, {self.classes} classes"

    def exact(self, rows=8):
        return gathered_log_softmax(self.hidden[0][:rows].double() @ self.weight.double().t(), self.targets[:rows])


def head_forward_operation(attune, x):
    attune.reserve(x.chunk, x.classes, lm_head=True)
    logits = torch.empty(x.rows, x.classes, device="cuda", dtype=torch.bfloat16)
    fast = compiled(lambda hidden, weight: gathered_logsumexp((hidden @ weight.t()).float(), x.targets))

    def ours(path):
        return lambda turn: attune("lm_head_logps", path, x.hidden[turn % 2], x.weight, x.rows, x.width, x.classes, x.chunk, x.targets, x.logps, x.states)

    def check():
        want = x.exact()
        for path in Attune.PATHS:
            ours(path)(0)
            require("lm_head_logps by " + path, (x.logps[:8].double() - want).abs().max().item(), 5e-2)  # logits are rounded to bf16

    contestants = {path: ours(path) for path in Attune.PATHS}
    contestants["bare product"] = lambda turn: torch.mm(x.hidden[turn % 2], x.weight.t(), out=logits)
    contestants["torch eager"] = lambda turn: gathered_log_softmax(x.hidden[turn % 2] @ x.weight.t(), x.targets)
    contestants["torch.compile"] = lambda turn: fast(x.hidden[turn % 2], x.weight)
    return Operation("LM head: hidden states to logp", x.size(), 0, contestants, check)


def head_ppo_operation(attune, x, peers):
    attune.reserve(x.chunk, x.classes, lm_head=True)
    x.old.copy_(gathered_logsumexp((x.hidden[0] @ x.weight.t()).float(), x.targets) + 0.1 * torch.randn(x.rows, device="cuda"))
    d_hidden, d_weight = torch.empty_like(x.hidden[0]), torch.empty(x.classes, x.width, device="cuda")
    logits = torch.randn(x.rows, x.classes, device="cuda", dtype=torch.bfloat16)
    d_weight_16 = torch.empty_like(x.weight)

    def ours(path):
        def run(turn):
            d_weight.zero_()
            attune("lm_head_ppo", path, x.hidden[turn % 2], x.weight, x.rows, x.width, x.classes, x.chunk, x.targets, x.old, x.advantages, x.logps, d_hidden, d_weight)
        return run

    def bare(turn):
        torch.mm(x.hidden[turn % 2], x.weight.t(), out=logits)
        torch.mm(logits, x.weight, out=d_hidden)
        torch.mm(logits.t(), x.hidden[turn % 2], out=d_weight_16)

    def torchs(loss):
        def run(turn):
            hidden, weight = x.hidden[turn % 2].detach().requires_grad_(), x.weight.detach().requires_grad_()
            loss(hidden, weight).backward()
        return run

    def check():
        rows = 8
        hidden = x.hidden[0][:rows].double().requires_grad_()
        loss = ppo_loss(gathered_logsumexp(hidden @ x.weight.double().t(), x.targets[:rows]), x.old[:rows].double(), x.advantages[:rows].double()) * rows / x.rows
        loss.backward()
        for path in Attune.PATHS:
            ours(path)(0)
            require("the LM head's gradient by " + path, relative_error(d_hidden[:rows], hidden.grad), 2e-2)

    fast = compiled(lambda hidden, weight: ppo_loss(gathered_logsumexp((hidden @ weight.t()).float(), x.targets), x.old, x.advantages))
    contestants = {path: ours(path) for path in Attune.PATHS}
    contestants["bare products"] = bare
    contestants["torch eager"] = torchs(lambda hidden, weight: ppo_loss(gathered_log_softmax(hidden @ weight.t(), x.targets).float(), x.old, x.advantages))
    contestants["torch.compile"] = torchs(fast)
    if "linear_cross_entropy" in peers:
        contestants["Liger fused linear cross entropy"] = torchs(lambda hidden, weight: peers["linear_cross_entropy"](hidden, weight, x.targets))
    return Operation("LM head and PPO: hidden states to gradients", x.size(), 0, contestants, check)


# ---- timing

def time_ms(work, turn):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    work(turn)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def copy_bandwidth(rounds=30):
    source = torch.randn(1 << 29, device="cuda")
    target = torch.empty_like(source)
    times = [time_ms(lambda turn: target.copy_(source), k) for k in range(rounds)]
    return 2 * source.numel() * 4 / statistics.median(times[5:]) / 1e6  # GB/s


def measure(operation, rounds, bandwidth):
    if operation.check:
        operation.check()
    live = dict(operation.contestants)
    times = {name: [] for name in live}
    extra = {}
    for turn in range(rounds + 5):
        for name, work in list(live.items()):
            try:
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                took = time_ms(work, turn)
                extra[name] = (torch.cuda.max_memory_allocated() - before) / 2**20
            except Exception as wrong:  # a peer that does not run here is said to, and left out
                if name.startswith("attune"):
                    raise
                print(f"  {name} does not run: {str(wrong).splitlines()[0]}", file=sys.stderr)
                del live[name], times[name]
                continue
            if turn >= 5:
                times[name].append(took)
    rows = []
    for name, all_times in times.items():
        ms = statistics.median(all_times)
        rows.append({"contestant": name, "ms": ms, "spread": (statistics.quantiles(all_times, n=4)[2] - statistics.quantiles(all_times, n=4)[0]) / ms,
                     "of_copy": operation.bytes / ms / 1e6 / bandwidth if operation.bytes else None,
                     "allocated_MiB": extra[name]})  # during the call; attune's workspace is there before
    return rows


def operations(attune, quick):
    """One at a time, so that only one operation's tensors are there."""
    peers = liger()
    big = (1024, 128256) if quick else (8192, 128256)

    def wide():
        return Inputs(*big, torch.bfloat16)

    yield "logp bf16", lambda: logps_operation(attune, wide(), peers)
    yield "logp f32", lambda: logps_operation(attune, Inputs(4096, 32000, torch.float32), peers)
    yield "logp few rows", lambda: logps_operation(attune, Inputs(256, 128256, torch.bfloat16, copies=2), peers)
    yield "gradient", lambda: gradient_operation(attune, wide(), peers)
    yield "logp and gradient", lambda: both_operation(attune, wide(), peers)
    yield "ppo", lambda: ppo_operation(attune, wide(), peers)
    yield "kl value", lambda: divergence_operation(attune, wide(), "forward_kl", False)
    yield "kl gradient", lambda: divergence_operation(attune, wide(), "forward_kl", True)
    yield "js gradient", lambda: divergence_operation(attune, wide(), "jensen_shannon", True)
    yield "dpo sequences", lambda: sequence_operation(attune, 1024)
    yield "dpo step", lambda: dpo_step_operation(attune, wide(), 512)
    yield "lm head", lambda: head_forward_operation(attune, Head(big[0], 4096, 128256))
    yield "lm head ppo", lambda: head_ppo_operation(attune, Head(big[0], 4096, 128256), peers)
    yield "soft update", lambda: update_operation(attune, 1 << 28 if quick else 1 << 30)


def table(results):
    lines = ["| operation | size | | ms | of a copy | attune is faster by |", "|---|---|---|---|---|---|"]
    for r in results:
        ours = next(row["ms"] for row in r["rows"] if row["contestant"] == "attune")
        for k, row in enumerate(r["rows"]):
            share = "" if row["of_copy"] is None else f"{row['of_copy']:.2f}"
            ratio = "" if row["contestant"] == "attune" else f"{row['ms'] / ours:.2f}"
            head = (r["operation"], r["size"]) if k == 0 else ("", "")
            lines.append(f"| {head[0]} | {head[1]} | {row['contestant']} | {row['ms']:.3f} | {share} | {ratio} |")
    return "\n".join(lines)


def chart(results, picture):
    """One bar for each operation: how many times as long the fastest peer takes."""
    import subprocess
    bars = []
    for r in results:
        ours = next(row["ms"] for row in r["rows"] if row["contestant"] == "attune")
        others = [row for row in r["rows"] if not row["contestant"].startswith(("attune", "bare"))]
        if others:
            best = min(others, key=lambda row: row["ms"])
            bars.append((f"{r['operation']}, {r['size']}", best["ms"] / ours, best["contestant"]))
    data = "\n".join(f"0 {-k} 0 {x} {-k - 0.3} {-k + 0.3}" for k, (_, x, _) in enumerate(bars))
    labels = "\n".join(f"set label '{x:.2f} ({who})' at {x},{-k} offset 0.5,0 font ',10' noenhanced" for k, (_, x, who) in enumerate(bars))
    ticks = ", ".join(f'"{name}" {-k}' for k, (name, _, _) in enumerate(bars))
    script = f"""set terminal svg size 1100,{80 + 34 * len(bars)} font 'sans-serif,12' background '#ffffff'
set output '{picture}'
set title "attune on {torch.cuda.get_device_name()}: times as fast as the fastest peer" noenhanced
unset key
set yrange [{-len(bars) + 0.5}:0.5]
set xrange [0:*]
set ytics ({ticks}) nomirror scale 0 noenhanced
set arrow from 1,graph 0 to 1,graph 1 nohead dt 2 lc rgb '#888888'
{labels}
plot '-' using 1:2:3:4:5:6 with boxxyerror fc rgb '#4c72b0' fs solid
{data}
e
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--library", required=True)
    options.add_argument("--flags", default="")
    options.add_argument("--json")
    options.add_argument("--chart")
    options.add_argument("--filter", default="")
    options.add_argument("--rounds", type=int, default=100)
    options.add_argument("--quick", action="store_true", help="an eighth of the rows, 20 rounds: for a first look")
    given = options.parse_args()
    rounds = 20 if given.quick else given.rounds
    attune = Attune(given.library)
    bandwidth = copy_bandwidth()
    import triton
    about = {"device": torch.cuda.get_device_name(), "capability": torch.cuda.get_device_capability(), "torch": torch.__version__, "cuda": torch.version.cuda,
             "triton": triton.__version__, "flags": given.flags, "copy_GB_s": bandwidth, "rounds": rounds}
    print(f"{about['device']}, torch {about['torch']}, copy {bandwidth:.0f} GB/s, attune compiled with {given.flags}")
    results = []
    for name, make in operations(attune, given.quick):
        if not re.search(given.filter, name):
            continue
        operation = make()
        results.append({"operation": operation.name, "size": operation.size, "bytes": operation.bytes, "rows": measure(operation, rounds, bandwidth)})
        print(table(results[-1:]).split("\n", 2)[2], flush=True)
        if given.json:
            pathlib.Path(given.json).write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
        del operation
        torch.cuda.empty_cache()
    print(table(results))
    if given.chart:
        chart(results, given.chart)


if __name__ == "__main__":
    main()
