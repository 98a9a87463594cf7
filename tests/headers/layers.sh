# SPDX-License-Identifier: MIT
# layers.sh <include>: a folder includes only itself and the folders below it, as this table has them. Some headers are vocabulary that
# lower layers may use: those of one sample, and of exec/ those that say how a batch is run and its memory is read.
. "$(dirname "$0")/common.sh"
running="exec/policy.hpp exec/lanes.hpp exec/convert_lanes.hpp exec/instruction_set.hpp"
samples="preference/completion.hpp preference/sample.hpp preference/pair.hpp preference/single.hpp preference/group.hpp"
vocabulary="$samples $running"
below() {
  case $1 in
    core) echo "" ;;
    divergence | link) echo "core" ;;
    ranking) echo "core divergence" ;;
    catalog) echo "catalog core divergence link ranking score preference policy distill reward constraint" ;;
    score) echo "core divergence $samples" ;;
    preference | reward) echo "core divergence link ranking score $samples" ;;
    policy) echo "core divergence link ranking score reward $samples" ;;
    distill) echo "core divergence policy/sequences.hpp rows $running" ;;
    constraint) echo "core divergence link ranking score preference reward $samples" ;;
    reference) echo "core $running" ;;
    rows) echo "core divergence $running" ;;
    exec) echo "core divergence link ranking score preference policy distill reward reference rows" ;;
    check) echo "core divergence link ranking score preference policy distill reward constraint reference rows exec catalog catalog.hpp" ;;
    backend) echo "core divergence reference rows exec" ;;
    catalog.hpp) echo "catalog core divergence link ranking score preference policy distill reward constraint" ;;
    *) return 1 ;;
  esac
}
folder_of() { echo "${1%%/*}"; }  # a header directly in attune/ is its own layer

bad=""
for header in $(cd "$include/attune" && find . -name '*.hpp' | sed 's|^\./||' | LC_ALL=C sort); do
  case $header in attune.hpp | version.hpp) continue ;; esac
  own=$(folder_of "$header")
  allowed=$(below "$own") || fail "$header: the layer $own is not in the table of tests/headers/layers.sh"
  case " $vocabulary " in *" $header "*) own="" allowed="core $samples $running" ;; esac
  for used in $(grep -oE '^ *# *include *<attune/[^>]+>' "$include/attune/$header" | sed 's|.*<attune/||; s|>||'); do
    case " $own $allowed " in
      *" $used "* | *" $(folder_of "$used") "*) ;;
      *) bad="$bad
$header includes $used; it may include: $own $allowed" ;;
    esac
  done
done
[ -z "$bad" ] || fail "includes that do not point down:$bad"
