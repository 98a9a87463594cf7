#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh EXPLORE FOLDER: the program explore from the outside, as a script would use it.
set -eu
explore=$1
cd "$2"

fail() { echo "FAILED: $1" >&2; exit 1; }
# expect NAME WANTED: standard input must be the wanted text.
expect() { got=$(cat); [ "$got" = "$2" ] || fail "$1: got
$got
expected
$2"; }
# refuse PATTERN COMMAND...: the command must fail, and say so on standard error.
refuse() {
  pattern=$1; shift
  if "$@" < input.csv > refused.out 2> refused.err; then fail "accepted: $*"; fi
  grep -q "$pattern" refused.err || fail "$* said: $(cat refused.err)"
  [ ! -s refused.out ] || fail "$* wrote output before it failed"
}

# list: every unit, as text and as JSON
for name in dpo cdpo ipo ipo_mean simpo exo_pref exo_pref_authors f_dpo_forward_kl f_dpo_reverse_kl f_dpo_jensen_shannon log_barrier forward_kl orpo tdpo2 kto exo_rw bradley_terry alpha_t aot_paired ld_dpo wpo humanline; do
  "$explore" list | grep -q "^  $name " || fail "list lacks $name"
  "$explore" list --json | grep -q "\"name\": \"$name\"" || fail "list --json lacks $name"
done

# eval: published values (SimPO paper's parameters; IPO's two conventions; the barrier's tangent), all columns, 17 digits
printf 'chosen,rejected,chosen_length,rejected_length\n-20,-24,10,8\n-10,-30,4,15\n' | "$explore" eval simpo --set beta=2 --set gamma=0.5 |
  awk -F, 'NR == 1 {print} NR > 1 {printf "%.9f %.9f %.9f\n", $1, $2, $3}' | expect simpo 'loss,d_chosen,d_rejected
0.201413278 -0.036485105 0.045606381
1.701413278 -0.408787238 0.109009930'
printf 'rejected,chosen\n0,0\n' > two.csv
printf 'chosen,rejected,ref_chosen,ref_rejected\n-5,-7,-5,-7\n' | "$explore" eval dpo | expect dpo 'loss,d_chosen,d_rejected
0.69314718055994529,-0.050000000000000003,0.050000000000000003'
printf 'chosen,rejected,ref_chosen,ref_rejected\n-5,-7,-5,-7\n' | "$explore" eval dpo --type f32 | expect 'dpo f32' 'loss,d_chosen,d_rejected
0.69314718246459961,-0.05000000074505806,0.05000000074505806'
printf 'z\n0.3\n-1\n' | "$explore" eval log_barrier --set mu=0.5 | awk -F, 'NR > 1 {printf "%.9f %.9f\n", $1 + 0, $2}' | expect log_barrier '1.793147181 2.000000000
0.000000000 0.500000000'
printf 'log_t\n0\n' | "$explore" eval jensen_shannon | expect divergence 'value,slope
0,0'
printf 'x\ninf\n-inf\nnan\n' | "$explore" eval softplus | sed 's/-nan/nan/g' | expect 'ends of the line' 'value,slope
inf,1
0,0
nan,nan'
printf 'chosen,rejected,ref_chosen,ref_rejected\n' | "$explore" eval dpo | expect 'no rows' 'loss,d_chosen,d_rejected'
# single completions, groups (rows of a group lie together), detailed pairs, and names that other systems use
printf 'logp,ref_logp,label\n-1,-2,1\n-1,-2,0\n' | "$explore" eval kto | expect kto 'loss,d_logp
0.47502081252105999,-0.024937604019289197
0.52497918747894001,0.024937604019289197'
printf 'group,logp,ref_logp,reward\n0,-1,-2,1\n0,-3,-2,0\n1,-1,-1,0.5\n' | "$explore" eval dpo_best --set beta=1 |
  awk -F, 'NR == 1 {print} NR > 1 {printf "%.9f %.9f\n", $1, $2 + 0}' | expect groups 'loss,d_logp
0.126928011 -0.119202922
0.126928011 0.119202922
0.000000000 0.000000000'
printf 'chosen,rejected,ref_chosen,ref_rejected,chosen_kl,rejected_kl\n-5,-7,-5,-7,2,2\n' | "$explore" eval tdpo1 |
  expect tdpo1 'loss,d_chosen,d_rejected,d_chosen_kl,d_rejected_kl
0.69314718055994529,-0.050000000000000003,0.050000000000000003,-0.050000000000000003,0.050000000000000003'
printf 'chosen,rejected,ref_chosen,ref_rejected,chosen_length,rejected_length\n-5,-7,-5,-7,2,3\n' > input.csv
[ "$("$explore" eval sigmoid_norm < input.csv)" = "$("$explore" eval dpo_per_token < input.csv)" ] || fail "another name is another objective"

# errors name what is wrong
printf 'chosen,rejected\n-1,-2\n' > input.csv
refuse 'pairs.ref_chosen is missing' "$explore" eval dpo
refuse 'there is no unit dpoo; the catalogue has: ' "$explore" eval dpoo
refuse 'ld_dpo acts on tokens of a pair, not on samples of log-probabilities; in C.*: ld_dpo_weights' "$explore" eval ld-dpo
refuse 'there is no parameter gamma; expected one of: beta' "$explore" eval dpo --set gamma=1
refuse 'parameter beta is 0; expected a value in (0, inf)' "$explore" eval dpo --set beta=0
refuse 'expected parameter=number' "$explore" eval dpo --set beta
printf 'chosen,rejected,reward\n-1,-2,3\n' > input.csv
refuse "unknown column 'reward'" "$explore" eval dpo
printf 'logp,ref_logp,label,reward\n-1,-2,1,3\n' > input.csv
refuse 'singles.reward is given, but this objective does not read it' "$explore" eval kto
printf 'logp,ref_logp,reward\n-1,-2,3\n' > input.csv
refuse 'the columns group and logp are needed' "$explore" eval exo_rw
printf 'chosen,rejected\n-1,two\n' > input.csv
refuse "line 2, column rejected: 'two' is not a number" "$explore" eval dpo
printf 'chosen,rejected\n-1\n' > input.csv
refuse 'line 2 has 1 cells; expected 2' "$explore" eval dpo
: > input.csv
refuse 'the input is empty' "$explore" eval dpo

# check: every unit of the catalogue
units=$("$explore" list --json | awk -F '"' '/^  "name"/ {name = $4} /^  "kind"/ && $4 != "operation" {print name}')
[ "$(echo "$units" | wc -l)" -ge 139 ] || fail "list --json has too few units: $units"
for name in $units; do
  "$explore" check "$name" | grep -q "^$name: passed: " || fail "check $name"
done

# plot
if command -v gnuplot > /dev/null; then
  "$explore" plot dpo cdpo --out curves.svg --range -20 20 | expect plot curves.svg
  grep -q '<svg' curves.svg || fail "curves.svg is not a picture"
  rm curves.svg
else
  refuse 'gnuplot is needed' "$explore" plot dpo
fi
refuse 'expected one that ends in .svg or .png' "$explore" plot dpo --out curves.gif
echo "explore: all checks passed"
