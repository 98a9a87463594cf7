#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The chart of docs/benchmarks.md, from the figures that run.sh kept:  chart.py build/peers-bench/peers.json docs/benchmarks.svg

One bar for each operation and type, one thread: how many times as long the fastest way to write it with torch takes. Drawn by gnuplot.
"""
import json
import pathlib
import subprocess
import sys

COLOURS = {"f32": "#4c72b0", "bf16": "#dd8452"}


def bars(results):
    """(label, type, ratio), in the order in which they were measured."""
    for r in results:
        for row in r["rows"]:
            if r["threads"] != 1 or "vs_best_torch" not in row:
                continue
            form = row["attune_form"].partition(", ")[2]
            size = r["size"].partition("=")[2] if r["operation"].startswith(("DPO", "PPO")) else ""
            kind, _, detail = r["dtype"].partition(" ")
            words = [r["operation"], form, detail, f"{size} {'pairs' if r['operation'].startswith('DPO') else 'tokens'}" if size else ""]
            yield ", ".join(w for w in words if w), kind, row["vs_best_torch"]


def main():
    figures, picture = json.loads(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2]
    about, chosen = figures["about"], list(bars(figures["results"]))
    labels = list(dict.fromkeys(label for label, _, _ in chosen))
    kinds = [k for k in COLOURS if any(kind == k for _, kind, _ in chosen)]
    height = 0.8 / len(kinds)

    def data(kind):
        lines = []
        for label, of, ratio in chosen:
            if of == kind:
                y = -labels.index(label) + 0.4 - (kinds.index(kind) + 0.5) * height
                lines.append(f"0 {y} 0 {ratio} {y - 0.45 * height} {y + 0.45 * height} {ratio:.1f}")
        return "\n".join(lines) + "\ne\n"

    ticks = ", ".join('"%s" %d' % (label, -i) for i, label in enumerate(labels))
    plots = ", ".join(f"'-' using 1:2:3:4:5:6 with boxxyerror fc rgb '{COLOURS[k]}' fs solid title '{k}', "
                      f"'-' using 4:2:7 with labels left offset 0.4 font ',10' notitle" for k in kinds)
    script = f"""set terminal svg size 900,{90 + 34 * len(labels)} font 'sans-serif,12' background '#ffffff'
set output '{picture}'
set title "attune: times as fast as the fastest of torch {about['torch']} ({about['torch_capability']}), one thread" noenhanced
set key bottom right
set border 2
set yrange [{-len(labels) + 0.5}:0.5]
set xrange [0:*]
set ytics ({ticks}) nomirror scale 0
set xtics nomirror
set arrow from 1,graph 0 to 1,graph 1 nohead dt 2 lc rgb '#888888'
plot {plots}
""" + "".join(data(k) * 2 for k in kinds)
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


if __name__ == "__main__":
    main()
