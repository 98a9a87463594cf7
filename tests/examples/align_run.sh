#!/bin/sh
# SPDX-License-Identifier: MIT
# End to end: a tiny run of the program `align` ($1) in a scratch folder ($2). Its outputs exist, its accuracy rises, results do not depend
# on the threads, and an interrupted and resumed run writes the same metrics. An on-policy run raises its reward.
set -eu
align=$1
work=$2
rm -rf "$work"
mkdir -p "$work"
options="--pairs 400 --context 56 --width 32 --layers 1 --heads 2 --batch 8 --lr 2e-3 --evaluate-every 30"
steps="--sft-steps 60 --steps 90"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# The value in column $3 of the last row of metrics.csv in folder $1 whose step is $2.
metric() { awk -F, -v step="$2" -v column="$3" 'NR == 1 { for (i = 1; i <= NF; ++i) at[$i] = i } $1 == "align" && $2 == "heldout" && $3 == step { x = $at[column] } END { print x }' "$1/metrics.csv"; }

"$align" $options $steps --threads 1 --out "$work/whole" > "$work/whole.txt" 2> "$work/whole.err"
for file in metrics.csv metrics.json checkpoint.bin curves.gp; do [ -s "$work/whole/$file" ] || fail "$file is missing"; done
[ -s "$work/whole/curves.svg" ] || [ -s "$work/whole/curves.txt" ] || fail "there is no picture"
grep -q "picture: $work/whole/curves" "$work/whole.txt" || fail "the picture's path is not printed"
grep -q 'align step 90/90' "$work/whole.err" || fail "no progress on standard error"
metric "$work/whole" 0 loss | grep -q '^0\.69314' || fail "the loss does not start at ln 2"
before=$(metric "$work/whole" 0 ranking/accuracies)
after=$(metric "$work/whole" 90 ranking/accuracies)
reward=$(metric "$work/whole" 90 rewards/accuracies)
awk -v b="$before" -v a="$after" -v r="$reward" 'BEGIN { exit !(a > b + 0.1 && r > 0.75) }' || fail "accuracy did not rise: $before to $after, reward accuracy $reward"

# No gnuplot: the picture is text. No terminal control in a pipe.
mkdir -p "$work/empty"
PATH=$work/empty "$align" $options --steps 1 --sft-steps 1 --out "$work/text" > "$work/text.txt" 2>&1
case $(cat "$work/text.txt") in *curves.txt*) ;; *) fail "without gnuplot there is no text plot" ;; esac

# Ctrl-C, once the alignment has begun; then --resume.
"$align" $options $steps --threads 2 --out "$work/parts" > "$work/parts.txt" 2> "$work/parts.err" &
process=$!
tries=0
until grep -q '^align step' "$work/parts.err"; do
  tries=$((tries + 1))
  [ "$tries" -lt 3000 ] || fail "the run does not start"
  sleep 0.02
done
kill -INT "$process"
status=0
wait "$process" || status=$?
if [ "$status" = 130 ]; then
  grep -q 'go on with --resume' "$work/parts.txt" || fail "an interrupted run does not say how to go on"
  [ -s "$work/parts/metrics.csv" ] || fail "an interrupted run writes no metrics"
else
  [ "$status" = 0 ] || fail "the interrupted run ended with status $status"  # it was faster than the signal
fi
"$align" $options $steps --out "$work/parts" --resume "$work/parts/checkpoint.bin" > "$work/parts.txt" 2>&1
cmp "$work/whole/metrics.csv" "$work/parts/metrics.csv" || fail "the resumed run differs"
cmp "$work/whole/checkpoint.bin" "$work/parts/checkpoint.bin" || fail "the resumed run ends in another state"

# Errors end with a message and a status.
if "$align" --data "$work/none.jsonl" --out "$work/none" 2> "$work/none.err"; then fail "a missing file was accepted"; fi
grep -q 'none.jsonl: cannot be opened' "$work/none.err" || fail "a missing file has no clear message"
if "$align" --objective nonsense --out "$work/none" 2> "$work/none.err"; then fail "an unknown objective was accepted"; fi
grep -q 'expected one of: .*dpo, ' "$work/none.err" || fail "an unknown objective has no clear message"
if "$align" --shape par --out "$work/none" 2> "$work/none.err"; then fail "a shaping was accepted by an objective that reads no rewards"; fi
grep -q 'the objective dpo reads no rewards' "$work/none.err" || fail "a shaping without rewards has no clear message"
"$align" --gradient-check --objective exo_rw --shape par --set-shape k=4 > "$work/check.txt" || fail "the gradient check with a shaping"
"$align" --gradient-check --objective simpo --set gamma=1 > "$work/check.txt" || fail "the gradient check"

# On-policy: the reward rises, and the output has what a run on preferences has.
policy="--policy rloo --reward length:20 --group 4 --updates 2 --kl k3+"
"$align" $options --sft-steps 60 --steps 30 $policy --out "$work/policy" > "$work/policy.txt" 2> "$work/policy.err" || fail "the on-policy run"
for file in metrics.csv metrics.json checkpoint.bin curves.gp; do [ -s "$work/policy/$file" ] || fail "$file of the on-policy run is missing"; done
grep -q 'policy step 30/30  reward' "$work/policy.err" || fail "no progress of the on-policy run"
start=$(metric "$work/policy" 0 reward)
end=$(metric "$work/policy" 30 reward)
awk -v b="$start" -v a="$end" 'BEGIN { exit !(a > b + 0.15) }' || fail "the reward did not rise: $start to $end"
"$align" --gradient-check $policy --entropy-coefficient 0.1 > "$work/check.txt" || fail "the gradient check of the on-policy mode"
refused() { # options, message
  if "$align" $1 --out "$work/none" > "$work/none.err" 2>&1; then fail "accepted: $1"; fi
  grep -q -e "$2" "$work/none.err" || fail "no clear message for $1"
}
refused "--policy grpo" 'requires --reward'
refused "--updates 2" 'requires --policy'
refused "--policy grpo --reward length:20 --objective dpo" 'excludes'
refused "--policy grpo --reward length:20 --samples 8" 'excludes'
refused "--policy grpo --reward nonsense" 'expected one of length:TARGET'
echo "align: reward of sampled completions $start before, $end after"
echo "align: held-out pairs ranked right $before before, $after after; reward accuracy $reward"
