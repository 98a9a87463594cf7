# SPDX-License-Identifier: MIT
"""What is compared: for each operation attune's call, the ways to write it with torch, and the right result."""
import ctypes
import math

import torch
import torch.nn.functional as F

from measure import Contestant

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
BETA, WEIGHT = 0.1, 0.01


class Library:
    """A shared library whose functions take pointers, 64-bit sizes and a number of threads."""

    def __init__(self, path):
        self.c = ctypes.CDLL(str(path))

    def has(self, name):
        return hasattr(self.c, name)

    def text(self, name):
        function = getattr(self.c, name)
        function.restype = ctypes.c_char_p
        return function().decode()

    def call(self, name, *arguments):
        """A function without parameters that makes the call. The tensors are kept alive by it."""
        function = getattr(self.c, name)
        function.restype = ctypes.c_int64
        passed = [_as_c(a) for a in arguments]

        def run():
            return function(*passed)

        run.keeps = arguments
        return run


def _as_c(a):
    if isinstance(a, torch.Tensor):
        assert a.is_contiguous()
        return ctypes.c_void_p(a.data_ptr())
    if isinstance(a, bytes):
        return ctypes.c_char(a)
    if isinstance(a, float):
        return ctypes.c_double(a)
    return ctypes.c_void_p(a) if a is None else ctypes.c_int64(a)


def checked(run, *results):
    """Runs, and returns the results; attune refuses what is wrong with a negative number."""
    def call():
        if run() < 0:
            raise ValueError("attune refused the call")
        return results
    return call


def compiler_state():
    """What torch.compile makes of this machine: "none" where there is no compiler, "scalar" where its code has no vector instructions, else
    their name. Scalar code is slower than torch without the compiler: a broken installation, with which nothing is compared."""
    if not hasattr(torch, "compile"):
        return "none"
    try:
        from torch._inductor.cpu_vec_isa import pick_vec_isa
    except ImportError:
        try:
            from torch._inductor.codecache import pick_vec_isa  # before 2.5
        except ImportError:
            return "unknown"
    found = pick_vec_isa()
    return str(found) if found else "scalar"


class Logits:
    """Two matrices of logits with standard deviation 3, and room for results."""

    def __init__(self, dtype, mib):
        self.dtype = dtype
        size = (mib << 20) // torch.empty((), dtype=DTYPES[dtype]).element_size()
        generator = torch.Generator().manual_seed(1)
        self.flat = [torch.empty(size, dtype=DTYPES[dtype]).normal_(0, 3, generator=generator) for _ in range(2)]
        self.room = torch.zeros(size, dtype=DTYPES[dtype])

    def shaped(self, classes):
        rows = max(1, self.room.numel() // classes)
        return [x[: rows * classes].view(rows, classes) for x in (*self.flat, self.room)]


# ---- rows: log-probabilities of tokens

def by_log_softmax(x, y):
    return torch.log_softmax(x, -1).gather(1, y[:, None]).squeeze(1)


def by_logsumexp(x, y):
    return x.gather(1, y[:, None]).squeeze(1) - torch.logsumexp(x, -1)


def by_cross_entropy(x, y):
    return -F.cross_entropy(x, y, reduction="none")


TOKEN_FORMS = {"log_softmax, gather": by_log_softmax, "gather - logsumexp": by_logsumexp, "-cross_entropy": by_cross_entropy}


def in_chunks(form, rows_in_chunk):
    return lambda *tensors: torch.cat([form(*parts) for parts in zip(*(t.split(rows_in_chunk) for t in tensors))])


def forward(form, *tensors):
    def run():
        with torch.no_grad():
            return (form(*tensors),)
    return run


def forward_backward(form, x, others, upstream):
    """Values and their gradient by autograd."""
    leaf = x.detach().requires_grad_()

    def run():
        values = form(leaf, *others)
        return values.detach(), torch.autograd.grad(values, leaf, upstream)[0]
    return run


def forward_backward_in_chunks(form, x, others, upstream, rows_in_chunk):
    """The same chunk by chunk, so that temporaries stay in the cache; the gradient goes to memory that is there."""
    gradient = torch.empty_like(x)
    chunks = list(zip(x.split(rows_in_chunk), upstream.split(rows_in_chunk), gradient.split(rows_in_chunk),
                      *(o.split(rows_in_chunk) for o in others)))

    def run():
        values = []
        for part, up, out, *rest in chunks:
            leaf = part.detach().requires_grad_()
            v = form(leaf, *rest)
            out.copy_(torch.autograd.grad(v, leaf, up)[0])
            values.append(v.detach())
        return torch.cat(values), gradient
    return run


def some_rows(rows):
    return sorted({0, rows // 3, 2 * rows // 3, rows - 1})


def largest_error(got, right):
    """Largest difference over all results; infinite where there is a NaN."""
    worst = 0.0
    for g, r in zip(got, right):
        difference = (g.double() - r).abs().max().item()
        worst = max(worst, difference if difference == difference else math.inf)
    return worst


def judge_rows(rows, right):
    """Compares the results at the rows for which the right ones are given (per row: value, and gradient where there is one)."""
    def judge(results):
        return largest_error([r[rows] for r in results[: len(right)]], right)
    return judge


def expressions(peers, operation, dtype, arguments, results, threads):
    """Eigen's and xtensor's row expressions, where they were compiled."""
    for family in ("eigen", "xtensor"):
        name = f"peers_{family}_{operation}_{dtype}"
        if peers and peers.has(name):
            run = peers.call(name, *arguments, threads)
            yield Contestant(f"{family}: row expression", lambda run=run: (run(), results)[1], family=family)


class Case:
    """An operation in one setting: contestants, how their results are judged, and how far these may be from the right ones: attune's by
    little; those of others by what their own rounding explains, so that nothing is compared that computes something else."""

    def __init__(self, contestants, judge, tolerance, bytes_read=None, others=1e-3):
        self.contestants, self.judge, self.bytes_read = contestants, judge, bytes_read
        self.tolerance = {c.name: tolerance if c.family == "attune" else others for c in contestants if c.family != "ceiling"}


OTHERS = {"f32": 1e-3, "bf16": 0.5}     # in bf16 torch rounds every temporary


def ceiling(attune, tensor, threads):
    size = tensor.numel() * tensor.element_size()
    return Contestant("read", attune.call("peers_read", tensor, size, threads), family="ceiling")


def token_inputs(logits, classes):
    policy, _, room = logits.shaped(classes)
    rows = policy.shape[0]
    generator = torch.Generator().manual_seed(2)
    targets = torch.randint(0, classes, (rows,), generator=generator)
    coefficients = torch.where(torch.arange(rows) % 2 == 0, 0.75, -0.5).to(torch.float32)
    return policy, room, targets, coefficients


def token_logps(attune, peers, logits, classes, threads):
    policy, _, targets, _ = token_inputs(logits, classes)
    rows = policy.shape[0]
    logps, states = torch.zeros(rows), torch.zeros(rows, 2, dtype=torch.float64)
    call = attune.call(f"peers_token_logps_{logits.dtype}", policy, targets, logps, states, rows, classes, threads)
    result = [Contestant("attune", checked(call, logps), family="attune"), ceiling(attune, policy, threads)]
    result += [Contestant(name, forward(form, policy, targets)) for name, form in TOKEN_FORMS.items()]
    result.append(Contestant("log_softmax, gather in chunks of 64 rows", forward(in_chunks(by_log_softmax, 64), policy, targets)))
    result += [Contestant(f"compile({name})", forward(fast, policy, targets)) for name, fast in compiled_forms(TOKEN_FORMS)]
    result += expressions(peers, "token_logps", logits.dtype, (policy, targets, torch.zeros_like(logps), rows, classes), (), threads)
    at = some_rows(rows)
    return Case(result, judge_rows(at, [by_log_softmax(policy[at].double(), targets[at])]), 1e-5, policy.numel() * policy.element_size(),
                OTHERS[logits.dtype])


def compiled_forms(forms):
    """Each by torch.compile; none where that has no use."""
    if compiler_state() in ("none", "scalar"):
        return
    torch._dynamo.reset()
    for name, form in forms.items():
        yield name, torch.compile(form, dynamic=False)


def token_forward_backward(attune, peers, logits, classes, threads):
    policy, room, targets, coefficients = token_inputs(logits, classes)
    rows = policy.shape[0]
    logps, states = torch.zeros(rows), torch.zeros(rows, 2, dtype=torch.float64)

    def attune_on(x, gradient):
        forth = attune.call(f"peers_token_logps_{logits.dtype}", x, targets, logps, states, rows, classes, threads)
        back = attune.call(f"peers_logits_gradient_{logits.dtype}", x, targets, states, coefficients, gradient, rows, classes, threads)
        return checked(lambda: min(forth(), back()), logps, gradient)

    def fused_on(x, gradient):
        return checked(attune.call(f"peers_fused_{logits.dtype}", x, targets, coefficients, logps, gradient, rows, classes, threads), logps, gradient)

    upstream = coefficients.to(policy.dtype)
    result = [Contestant("attune, fused, in place", fused_on(room, room), prepare=lambda: room.copy_(policy), family="attune"),
              Contestant("attune, fused, out of place", fused_on(policy, room), family="attune"),
              Contestant("attune, in place", attune_on(room, room), prepare=lambda: room.copy_(policy), family="attune"),
              Contestant("attune, out of place", attune_on(policy, room), family="attune"), ceiling(attune, policy, threads)]
    result += [Contestant(name, forward_backward(form, policy, (targets,), upstream)) for name, form in TOKEN_FORMS.items()]
    result.append(Contestant("log_softmax, gather in chunks of 64 rows",
                             forward_backward_in_chunks(by_log_softmax, policy, (targets,), upstream, 64)))
    result += [Contestant(f"compile({name})", forward_backward(fast, policy, (targets,), upstream)) for name, fast in
               compiled_forms(TOKEN_FORMS)]
    at = some_rows(rows)
    right = [r.detach() for r in forward_backward(by_log_softmax, policy[at].double(), (targets[at],), coefficients[at].double())()]
    return Case(result, judge_rows(at, right), 1e-5 if logits.dtype == "f32" else 4e-3, policy.numel() * policy.element_size(),
                OTHERS[logits.dtype])


# ---- rows: divergences of two models

def by_kl_div(direction):
    def form(x, y):
        log_policy, log_target = torch.log_softmax(x, -1), torch.log_softmax(y, -1)
        pair = (log_policy, log_target) if direction == "forward" else (log_target, log_policy)
        return F.kl_div(*pair, reduction="none", log_target=True).sum(-1)
    return form


def by_products(direction):
    def form(x, y):
        log_policy, log_target = torch.log_softmax(x, -1), torch.log_softmax(y, -1)
        if direction == "forward":
            return (log_target.exp() * (log_target - log_policy)).sum(-1)
        return (log_policy.exp() * (log_policy - log_target)).sum(-1)
    return form


def twice_jensen_shannon(log_mixture):
    """KL of both models from their mixture, with weights 1 as attune's, not 1/2."""
    def form(x, y):
        log_policy, log_target = torch.log_softmax(x, -1), torch.log_softmax(y, -1)
        mixture = log_mixture(log_policy, log_target) - math.log(2)
        return sum(F.kl_div(mixture, part, reduction="none", log_target=True).sum(-1) for part in (log_policy, log_target))
    return form


DIVERGENCE_FORMS = {
    "forward_kl": {"kl_div": by_kl_div("forward"), "exp, multiply": by_products("forward")},
    "reverse_kl": {"kl_div": by_kl_div("reverse"), "exp, multiply": by_products("reverse")},
    "jensen_shannon": {"logsumexp of a stack, 2 kl_div": twice_jensen_shannon(lambda a, b: torch.logsumexp(torch.stack([a, b]), 0)),
                       "logaddexp, 2 kl_div": twice_jensen_shannon(torch.logaddexp)},
}


def divergence(name, with_gradient, attune, peers, logits, classes, threads):
    policy, target, room = logits.shaped(classes)
    rows = policy.shape[0]
    values, gradient = torch.zeros(rows), room if with_gradient else None
    results = (values, room) if with_gradient else (values,)
    arguments = (policy, target, values, gradient, rows, classes)
    call = attune.call(f"peers_divergence_{logits.dtype}", name[:1].encode(), *arguments, threads)
    result = [Contestant("attune", checked(call, *results), family="attune"), ceiling(attune, policy, threads)]
    ones = torch.ones(rows, dtype=policy.dtype)

    def runner(form):
        return forward_backward(form, policy, (target,), ones) if with_gradient else forward(form, policy, target)

    def chunked(form):
        if with_gradient:
            return forward_backward_in_chunks(form, policy, (target,), ones, 32)
        return forward(in_chunks(form, 32), policy, target)

    forms = DIVERGENCE_FORMS[name]
    result += [Contestant(form, runner(forms[form])) for form in forms]
    result += [Contestant(f"{form} in chunks of 32 rows", chunked(forms[form])) for form in list(forms)[:1]]
    result += [Contestant(f"compile({form})", runner(fast)) for form, fast in compiled_forms(forms)]
    if name == "forward_kl":
        result += expressions(peers, name, logits.dtype, arguments, results, threads)
    at = some_rows(rows)
    exact = forms[list(forms)[0]]
    right = [r.detach() for r in forward_backward(exact, policy[at].double(), (target[at].double(),), torch.ones(len(at)).double())()]
    tolerance = 2e-5 if logits.dtype == "f32" or not with_gradient else 4e-3
    return Case(result, judge_rows(at, right if with_gradient else right[:1]), tolerance, 2 * policy.numel() * policy.element_size(),
                OTHERS[logits.dtype])


# ---- DPO

def dpo_by(minus_log_sigmoid):
    def form(chosen, rejected, ref_chosen, ref_rejected):
        return minus_log_sigmoid(BETA * ((chosen - ref_chosen) - (rejected - ref_rejected))).mean()
    return form


DPO_FORMS = {"-logsigmoid": dpo_by(lambda m: -F.logsigmoid(m)), "softplus": dpo_by(lambda m: F.softplus(-m))}


def dpo(attune, pairs, threads):
    generator = torch.Generator().manual_seed(3)
    columns = [torch.empty(pairs).normal_(-40, 5, generator=generator) for _ in range(4)]
    loss, d_chosen, d_rejected = torch.zeros(1, dtype=torch.float64), torch.zeros(pairs), torch.zeros(pairs)
    call = attune.call("peers_dpo", BETA, *columns, d_chosen, d_rejected, loss, pairs, threads)

    def with_autograd(form, inputs=columns):
        leaves = [x.detach().requires_grad_() for x in inputs[:2]]

        def run():
            value = form(*leaves, *inputs[2:])
            return (value.detach(), *torch.autograd.grad(value, leaves))
        return run

    result = [Contestant("attune", checked(call, loss, d_chosen, d_rejected), family="attune")]
    result += [Contestant(name, with_autograd(form)) for name, form in DPO_FORMS.items()]
    result += [Contestant(f"compile({name})", with_autograd(fast)) for name, fast in compiled_forms(DPO_FORMS)]
    right = with_autograd(DPO_FORMS["softplus"], [c.double() for c in columns])()
    # The gradients are of the mean: their errors are stated for a single pair.
    return Case(result, lambda got: max(largest_error(got[:1], right[:1]), pairs * largest_error(got[1:3], right[1:])), 2e-6)


# ---- PPO

CLIP = 0.2
PPO_FORMS = {
    "min of both products": lambda logp, old, a: -torch.min((r := torch.exp(logp - old)) * a, r.clamp(1 - CLIP, 1 + CLIP) * a).mean(),
    "max of both losses": lambda logp, old, a: torch.max(-(r := torch.exp(logp - old)) * a, -r.clamp(1 - CLIP, 1 + CLIP) * a).mean(),
}


def ppo(attune, tokens, threads):
    length = min(tokens, 1024)
    shape = (tokens // length, length)
    generator = torch.Generator().manual_seed(5)
    old = -torch.empty(shape).exponential_(1, generator=generator)
    # In steps of 1/64, so that no ratio lies on a bound: there rounding decides whether a token has a gradient.
    logp = old + (torch.empty(shape).normal_(0, 0.2, generator=generator) * 64).round() / 64
    advantage = torch.empty(shape[0], 1).normal_(0, 1, generator=generator)
    loss, d_logp = torch.zeros(1, dtype=torch.float64), torch.zeros(shape)
    call = attune.call("peers_ppo", CLIP, logp, old, advantage, d_logp, loss, *shape, threads)

    def with_autograd(form, inputs=(logp, old, advantage)):
        leaf = inputs[0].detach().requires_grad_()

        def run():
            value = form(leaf, *inputs[1:])
            return (value.detach(), *torch.autograd.grad(value, [leaf]))
        return run

    result = [Contestant("attune", checked(call, loss, d_logp), family="attune")]
    result += [Contestant(name, with_autograd(form)) for name, form in PPO_FORMS.items()]
    result += [Contestant(f"compile({name})", with_autograd(fast)) for name, fast in compiled_forms(PPO_FORMS)]
    right = with_autograd(PPO_FORMS["max of both losses"], [c.double() for c in (logp, old, advantage)])()
    return Case(result, lambda got: max(largest_error(got[:1], right[:1]), tokens * largest_error(got[1:2], right[1:])), 4e-6)


# ---- soft update

def judge_update(before, policy, sampled):
    """Compares sampled elements after updates with the exact ones: all contestants start from the same reference."""
    right = before + WEIGHT * (policy - before)
    return lambda results: largest_error([sampled(results)], [right])


def soft_update(variant, attune, mib, threads):
    size = (mib << 20) // 4
    half = variant != "f32"
    generator = torch.Generator().manual_seed(4)
    policy = torch.empty(size, dtype=torch.bfloat16 if half else torch.float32).normal_(0, 1, generator=generator)
    start = torch.empty(size, dtype=torch.bfloat16 if variant == "bf16 compensated" else torch.float32).normal_(0, 1, generator=generator)
    reference = start.clone()
    second = torch.zeros(size, dtype=torch.bfloat16)     # copy, or residual
    at = torch.arange(0, size, size // 1000 + 1)
    exact = judge_update(start[at].double(), policy[at].double(), lambda r: sum(x[at].double() for x in r))

    def restore():
        reference.copy_(start)
        second.zero_()

    if variant == "f32":
        call = checked(attune.call("peers_soft_update_f32", reference, policy, WEIGHT, size, threads), reference)
        forms = {"lerp_": lambda: reference.lerp_(policy, WEIGHT),
                 "mul_, add_": lambda: reference.mul_(1 - WEIGHT).add_(policy, alpha=WEIGHT)}
        if hasattr(torch, "_foreach_lerp_"):
            forms["_foreach_lerp_"] = lambda: torch._foreach_lerp_([reference], [policy], WEIGHT)
    elif variant == "bf16 with master":
        call = checked(attune.call("peers_soft_update_master", reference, policy, second, WEIGHT, size, threads), reference)
        forms = {"lerp_ of the master, copy_": lambda: second.copy_(reference.lerp_(policy.float(), WEIGHT)),
                 "mul_, add_ to the master, copy_": lambda: second.copy_(reference.mul_(1 - WEIGHT).add_(policy, alpha=WEIGHT))}
    else:
        call = checked(attune.call("peers_soft_update_compensated", reference, policy, second, WEIGHT, size, threads), reference, second)
        # Not the same work: in bfloat16 alone most small steps are lost.
        forms = {"lerp_ (loses small steps)": lambda: reference.lerp_(policy, WEIGHT)}

    def with_result(form):
        def run():
            with torch.no_grad():
                form()
            return (reference,)
        return run

    result = [Contestant("attune", call, prepare=restore, family="attune")]
    result += [Contestant(name, with_result(form), prepare=restore) for name, form in forms.items()]
    return Case(result, exact, 1e-6 if variant != "bf16 compensated" else 1e-3, others=0.05 if half else 1e-6)


# ---- the list

def cases(attune, peers, classes_list, thread_counts, mib, wanted):
    """(key, description, function that makes the case) of every operation that is wanted."""
    logits = {}

    def held(dtype):
        if dtype not in logits:
            logits.clear()
            logits[dtype] = Logits(dtype, mib)
        return logits[dtype]

    rows = {"token log-probs": token_logps, "forward + backward": token_forward_backward}
    for name, title in (("forward_kl", "forward KL"), ("reverse_kl", "reverse KL"), ("jensen_shannon", "Jensen-Shannon")):
        for gradient in (False, True):
            def made(*a, name=name, gradient=gradient):
                return divergence(name, gradient, *a)
            rows[title + (", value + gradient" if gradient else ", value")] = made

    def chosen(operation, data, size, threads, make):
        key = f"{operation}/{data}/{size}/threads={threads}"
        if wanted(key):
            yield key, {"operation": operation, "dtype": data, "size": size, "threads": threads}, make

    for dtype in DTYPES:
        for operation, make in rows.items():
            for classes in classes_list:
                for threads in thread_counts:
                    yield from chosen(operation, dtype, f"V={classes}", threads, lambda make=make, dtype=dtype, classes=classes,
                                      threads=threads: make(attune, peers, held(dtype), classes, threads))
    logits.clear()
    for pairs in (1_000_000, 1024):
        for threads in thread_counts:
            yield from chosen("DPO, value + gradients", "f32", f"B={pairs}", threads,
                              lambda pairs=pairs, threads=threads: dpo(attune, pairs, threads))
    for tokens in (1024 * 1024, 1024):
        for threads in thread_counts:
            yield from chosen("PPO, value + gradients", "f32", f"T={tokens}", threads,
                              lambda tokens=tokens, threads=threads: ppo(attune, tokens, threads))
    for variant in ("f32", "bf16 with master", "bf16 compensated"):
        for threads in thread_counts:
            yield from chosen("soft update", variant, f"n={(mib << 20) // 4}", threads,
                              lambda variant=variant, threads=threads: soft_update(variant, attune, mib, threads))
