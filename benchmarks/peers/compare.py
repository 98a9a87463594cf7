# SPDX-License-Identifier: MIT
"""attune beside PyTorch, Eigen and xtensor, in one process on the same buffers. Run by run.sh, which builds the libraries.

Prints a Markdown table; --json keeps everything; --page puts the table between the markers of a page. Ends with 1 where results are
wrong.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import sys

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"


def processor():
    """Model and instruction sets of the processor."""
    model, flags = platform.processor() or "unknown", set()
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            elif name.strip() == "flags":
                flags = set(value.split())
    except OSError:
        pass
    return model, flags


def start_again_in_fair_environment():
    """Sets what has to be set before torch is loaded: its widest instructions (version 1.13 takes AVX2 by itself), and a malloc that keeps
    large blocks: by default every large temporary goes back to the system, and its pages are made anew, which on a virtual machine would
    slow torch down by a factor of 2 to 4."""
    wanted = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1000000000000"}
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= processor()[1]:
        wanted["ATEN_CPU_CAPABILITY"] = "avx512"
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
    return wanted


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", required=True, help="attune's shared library")
    parser.add_argument("--expressions", help="that of Eigen and xtensor")
    parser.add_argument("--flags", default="", help="compiler flags of attune's library, to be stated")
    parser.add_argument("--expression-flags", default="")
    parser.add_argument("--json", type=pathlib.Path, help="file for all figures")
    parser.add_argument("--page", type=pathlib.Path, help="page with markers for the table")
    parser.add_argument("--mib", type=int, default=256, help="size of one matrix of logits")
    parser.add_argument("--rounds", type=int, default=7, help="samples of each contestant")
    parser.add_argument("--classes", type=int, nargs="+", default=[32000, 151936])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--filter", default="", help="regular expression for operation/dtype/size/threads=n")
    parser.add_argument("--ungated", action="store_true", help="accept noisy samples")
    return parser.parse_args()


def described(options, environment, attune, peers):
    """What has to stand beside the figures."""
    import torch
    from operations import compiler_state
    capability = re.search(r"CPU capability usage: (\S+)", torch.__config__.show())
    return {
        "date": datetime.date.today().isoformat(), "processor": processor()[0], "processors": os.cpu_count(),
        "attune": attune.text("peers_version"), "compiler": attune.text("peers_compiler"), "flags": options.flags,
        "torch": torch.__version__, "torch_capability": capability.group(1) if capability else "unknown",
        "torch_compile": compiler_state(), "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()), "environment": environment,
        "eigen": peers.text("peers_eigen_version") if peers and peers.has("peers_eigen_version") else None,
        "xtensor": peers.text("peers_xtensor_version") if peers and peers.has("peers_xtensor_version") else None,
        "expression_flags": options.expression_flags, "mib": options.mib, "rounds": options.rounds, "gated": not options.ungated,
    }


def row_of(ours, able, case):
    """A row of the table: one of attune's ways beside the fastest of the others."""
    from measure import ratio
    torch_forms = [c for c in able if c.family == "torch"]
    best = min(torch_forms, key=lambda c: ratio(c, ours), default=None)
    row = {"attune_form": ours.name, "attune_ms": 1e3 * statistics.median(ours.times), "attune_error": ours.error}
    if best:
        row |= {"best_torch": best.name, "best_torch_ms": 1e3 * statistics.median(best.times), "best_torch_error": best.error,
                "vs_best_torch": ratio(best, ours), "vs_torch": {c.name: ratio(c, ours) for c in torch_forms}}
    for family in ("eigen", "xtensor"):
        of_family = [ratio(c, ours) for c in able if c.family == family]
        if of_family:
            row[f"vs_{family}"] = min(of_family)
    read = next((c for c in able if c.family == "ceiling"), None)
    if read and case.bytes_read:
        row["of_read"] = ratio(read, ours) * case.bytes_read / case.bytes_of_ceiling
    return row


def run_case(make, options):
    """Measures one case. Returns its rows, all samples, and what is wrong."""
    from measure import measure
    case = make()
    able = measure(case.contestants, case.judge, options.rounds, not options.ungated)
    read = next((c for c in able if c.family == "ceiling"), None)
    case.bytes_of_ceiling = read.run() if read else None
    ours = [c for c in case.contestants if c.family == "attune"]
    wrong = [f"{c.name}: {c.unavailable}" for c in ours if c.unavailable]
    wrong += [f"{c.name}: error {c.error:.2g}, allowed {case.tolerance[c.name]:.2g}" for c in able
              if c.name in case.tolerance and not c.error <= case.tolerance[c.name]]
    samples = [{"name": c.name, "family": c.family, "seconds": c.times, "error": c.error, "noisy": c.noisy, "rejected": c.rejected,
                "unavailable": c.unavailable} for c in case.contestants]
    return [row_of(c, able, case) for c in ours if not c.unavailable], samples, wrong


def number(x, digits=3):
    return "" if x is None else f"{x:.{digits}g}" if abs(x) < 1000 else f"{x:.0f}"


def table(results):
    """The Markdown table. `noisy`: accepted samples of all contestants that were noisy."""
    lines = ["| operation | type | size | threads | attune ms | of read | best torch | ms | vs_best_torch | vs Eigen | vs xtensor | "
             "error: attune, torch | noisy |", "|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in results:
        taken = sum(len(s["seconds"]) for s in r["samples"])
        noisy = sum(s["noisy"] for s in r["samples"])
        for row in r["rows"]:
            form = row["attune_form"].partition(", ")[2]
            errors = f"{row['attune_error']:.0e}" + (f", {row['best_torch_error']:.0e}" if "best_torch_error" in row else "")
            of_read = f"{100 * row['of_read']:.0f} %" if "of_read" in row else ""
            cells = [r["operation"] + (f", {form}" if form else ""), r["dtype"], r["size"], r["threads"], number(row["attune_ms"]),
                     of_read, row.get("best_torch", "none"), number(row.get("best_torch_ms")),
                     number(row.get("vs_best_torch")) + " x", number(row.get("vs_eigen")), number(row.get("vs_xtensor")), errors,
                     f"{noisy} of {taken}"]
            lines.append("| " + " | ".join(str(c) for c in cells) + " |")
    return lines


def page_of(about, results):
    """The facts, then the table."""
    environment = " ".join(f"`{name}={value}`" for name, value in about["environment"].items())
    expressions = ", ".join(f"{name} {about[key]}" for name, key in (("Eigen", "eigen"), ("xtensor", "xtensor")) if about[key])
    facts = [f"{about['date']}: {about['processor']}, {about['processors']} processors; attune {about['attune']} compiled by "
             f"{about['compiler']} with `{about['flags']}`; torch {about['torch']} ({about['torch_capability']}, "
             f"torch.compile: {about['torch_compile']}), Python {about['python']}, {about['libc']}"
             + (f"; {expressions} with `{about['expression_flags']}`." if expressions else "."),
             f"Environment: {environment}. Matrices of {about['mib']} MiB; medians of {about['rounds']} rounds."
             + ("" if about["gated"] else " **Without the gate: figures of a machine that others used.**"), ""]
    if about["torch_compile"] == "scalar":
        facts.insert(2, "torch.compile finds no vector instructions here, and is left out.")
    left_out = sorted({f"{s['name']} ({s['unavailable']})" for r in results for s in r["samples"] if s["unavailable"]})
    notes = ["", "Could not run here: " + "; ".join(left_out) + "."] if left_out else []
    return "\n".join(facts + table(results) + notes)


def put_into_page(page, text):
    old = page.read_text()
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} lacks the markers {BEGIN} and {END}")
    page.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


def main():
    environment = start_again_in_fair_environment()
    options = arguments()
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    import torch
    from operations import Library, cases
    attune = Library(options.library)
    peers = Library(options.expressions) if options.expressions else None
    about, results, failures = described(options, environment, attune, peers), [], []
    for key, setting, make in cases(attune, peers, options.classes, options.threads, options.mib, re.compile(options.filter).search):
        torch.set_num_threads(setting["threads"])
        rows, samples, wrong = run_case(make, options)
        results.append({**setting, "rows": rows, "samples": samples})
        failures += [f"{key}: {w}" for w in wrong]
        shown = ", ".join(f"{r['attune_form']} {r['attune_ms']:.3g} ms, {number(r.get('vs_best_torch'))} x {r.get('best_torch')}"
                          for r in rows)
        print(f"{key}: {shown}", file=sys.stderr, flush=True)
        if options.json:
            options.json.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    text = page_of(about, results)
    print(text)
    if options.page:
        put_into_page(options.page, text)
    for failure in failures:
        print("WRONG", failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
