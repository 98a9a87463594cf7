// SPDX-License-Identifier: MIT
// What evaluate demands of a batch of tokens before it writes anything.
#pragma once

#include <attune/exec/check_samples.hpp>
#include <attune/exec/policy_report.hpp>
#include <attune/policy/sequences.hpp>
#include <attune/policy/token_tensors.hpp>
#include <attune/policy/tokens.hpp>

namespace attune::detail {

/// The recipe that holds: the objective's own, or what the options say.
template <class O>
token_recipe recipe_of(const O& objective, const token_options& o) {
  token_recipe r = attune::recipe_of(objective);
  if (o.ratio) r.ratio = {.level = *o.ratio};
  r.reduction = o.reduction.value_or(r.reduction);
  return r;
}

template <class T>
sequences sequences_of(const tokens<T>& batch) {
  return sequences(batch.logp.extent(0), batch.logp.extent(1), batch.mask, batch.offsets);
}

inline bool reads_token(const auto& objective, const char* name) { return reads<token_kind>(objective, member_named<token_kind>(name)); }

/// The names are put together only if they are needed.
template <class X, class Logp>
void require_like_logp(const X& x, const Logp& logp, const char* member, const char* batch = token_kind::batch) {
  if (!x.absent() && x.extents() != logp.extents()) require_token_shape(x, in_batch(batch, member).c_str(), logp, "tokens.logp");
}

template <class T, class Space>
void check_token_shapes(const tokens<T, Space>& batch, std::int64_t count, const token_gradients<T, Space>& gradients) {
  const auto& logp = batch.logp;
  require_like_logp(batch.old_logp, logp, "old_logp");
  require_like_logp(batch.ref_logp, logp, "ref_logp");
  require_like_logp(batch.token_advantage, logp, "token_advantage");
  require_like_logp(batch.correction, logp, "correction");
  require_like_logp(batch.entropy, logp, "entropy");
  require_like_logp(batch.selected, logp, "selected");
  require_like_logp(batch.token_weight, logp, "token_weight");
  if (!batch.advantage.absent()) require_extent(batch.advantage.extent(0), count, "tokens.advantage", "the number of sequences");
  if (!batch.weight.absent()) require_extent(batch.weight.extent(0), count, "tokens.weight", "the number of sequences");
  require_like_logp(gradients.logp, logp, "logp", token_kind::gradients);
  require_like_logp(gradients.entropy, logp, "entropy", token_kind::gradients);
  for (const auto* g : {&gradients.logp, &gradients.entropy}) {
    if ((g->extent(0) > 1 && g->stride(0) == 0) || (g->extent(1) > 1 && g->stride(1) == 0)) {
      throw error("attune: a tensor of token_gradients has stride 0, so its elements overlap; expected strides other than 0");
    }
  }
}

/// What the objective reads is there; what it does not read, and what contradicts, is refused.
template <class O, class T, class Space>
void check_token_members(const O& objective, const tokens<T, Space>& batch, const token_gradients<T, Space>& gradients, const token_options& o) {
  const bool ratio = reads_token(objective, "log_ratio"), old = reads_token(objective, "old_logp");
  const auto presence_of = [&](bool read, bool given, presence in, const char* member) { check_presence(read, given, in, token_kind::batch, member); };
  if (o.on_policy && !batch.old_logp.absent()) throw error("attune: tokens.old_logp is given with token_options.on_policy; expected one of them");
  if (o.on_policy && !ratio && !old) throw error("attune: token_options.on_policy is given, but this objective reads no ratio; leave it out");
  if (!o.on_policy) presence_of(ratio || old, !batch.old_logp.absent(), presence::usual, "old_logp");
  if (o.ratio && !ratio) throw error("attune: token_options.ratio is given, but this objective reads no ratio; leave it out");
  presence_of(reads_token(objective, "ref_logp"), !batch.ref_logp.absent(), presence::usual, "ref_logp");
  const bool both = !batch.advantage.absent() && !batch.token_advantage.absent();
  if (both) throw error("attune: tokens.advantage and tokens.token_advantage are both given; expected one of them");
  const bool advantage = !batch.advantage.absent() || !batch.token_advantage.absent();
  presence_of(reads_token(objective, "advantage"), advantage, presence::usual, "advantage (or token_advantage)");
  const bool entropy = reads_token(objective, "entropy");
  if (entropy) presence_of(true, !batch.entropy.absent(), presence::usual, "entropy");  // given and not read, it is a metric
  presence_of(reads_token(objective, "selected"), !batch.selected.absent(), presence::exact, "selected");
  const bool wanted = !gradients.logp.absent();
  if (!gradients.entropy.absent() && !entropy) throw error("attune: token_gradients.entropy is given, but this objective does not read the entropy; leave it out");
  if (entropy && wanted == gradients.entropy.absent()) {
    throw error(std::string("attune: token_gradients.") + (wanted ? "entropy" : "logp") + " is missing; expected the gradients of logp and entropy, or none for the value only");
  }
}

inline void check_token_options(const token_recipe& recipe, const token_options& o) {
  const bool constant = recipe.reduction == token_reduction::constant_length;
  if (constant && !(o.constant_length > 0 && o.constant_length <= largest<double>)) {
    throw error("attune: token_options.constant_length is " + text(o.constant_length) + "; expected > 0 tokens, with token_reduction::constant_length");
  }
  if (!constant && o.constant_length != 0) {
    throw error("attune: token_options.constant_length is given, but the reduction is another one; expected it with token_reduction::constant_length only");
  }
}

/// A sequence's part in the loss.
struct sequence_share {
  double weight = 0;       ///< of the sequence, 0 without active tokens
  double tokens = 0;       ///< sum of the weights of its active tokens
  std::int64_t count = 0;  ///< active tokens of weight > 0
};

template <class T>
double checked_token_weight(const view<const T, 2>& weights, std::int64_t row, std::int64_t t) {
  const double w = static_cast<double>(weights(row, t));
  if (w >= 0 && w <= largest<double>) return w;
  throw error("attune: tokens.token_weight(" + text((long long)row) + ", " + text((long long)t) + ") is " + text(w) + "; expected a finite number >= 0");
}

template <class T>
sequence_share share_of(const tokens<T>& batch, const sequences& layout, std::int64_t s) {
  sequence_share share;
  if (batch.token_weight.absent()) {
    share.count = layout.active_tokens(s);
    share.tokens = static_cast<double>(share.count);
  } else {
    layout.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      const double w = checked_token_weight(batch.token_weight, row, t);
      share.tokens += w;
      share.count += w > 0;
    });
  }
  share.weight = batch.weight.absent() ? 1 : checked_sample_weight(batch, s, token_kind::batch);
  if (!(share.tokens > 0) || !(share.weight > 0)) share = {};
  return share;
}

/// Denominator and counts of the batch.
template <class T>
policy_report totals_of(const tokens<T>& batch, const sequences& layout, token_reduction reduction) {
  policy_report r;
  for (std::int64_t s = 0; s < layout.size(); ++s) {
    const sequence_share share = share_of(batch, layout, s);
    if (share.count == 0) continue;
    r.tokens += share.weight * share.tokens;
    r.weight += share.weight;
    r.count += share.count;
    ++r.sequences;
  }
  if (reduction == token_reduction::token_mean || reduction == token_reduction::token_sum) r.weight = r.tokens;
  return r;
}

/// All of it; returns the counts and the denominator.
template <class O, class T>
policy_report check_tokens(const O& objective, const tokens<T>& batch, const token_gradients<T>& gradients, const token_options& o) {
  validate(objective);
  const token_recipe recipe = recipe_of(objective, o);
  check_token_options(recipe, o);
  const sequences layout = sequences_of(batch);
  check_token_shapes(batch, layout.size(), gradients);
  if (batch.logp.size() == 0) return {};
  check_token_members(objective, batch, gradients, o);
  return totals_of(batch, layout, recipe.reduction);
}

}  // namespace attune::detail
