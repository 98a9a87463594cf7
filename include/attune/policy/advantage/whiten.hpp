// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/advantage/grouping.hpp>

namespace attune::advantage {

/// Whitening of the active numbers x of a batch:
///
///   y = (x - mean) / (sqrt(var + variance_eps) + deviation_eps)     + mean, where shift_mean is false
///
/// shift_mean   true: the result has mean 0. false: the mean stays (PPO's use on rewards). torchtune uses the word for the opposite
/// ddof         of var: 1 (Bessel) or 0
/// eps          inside of the root: 1e-8 TRL, verl, NeMo-RL (ddof 0 there). Beside it: GDPO in TRL, {.variance_eps = 0, .deviation_eps = 1e-4}.
///              OpenRLHF raises var to 1e-8 instead of adding it: variance_eps = 0 is the same wherever var >= 1e-8 (ddof 0)
/// Exactly 0 (or the mean) where all numbers compare equal, whatever the eps.
struct whitening {
  bool shift_mean = true;
  int ddof = 1;
  double variance_eps = 1e-8;
  double deviation_eps = 0;
};

namespace detail {

inline void require_whitening(const whitening& o) {
  require_scale(o.ddof, o.deviation_eps, "whitening (deviation_eps)");
  require_scale(o.ddof, o.variance_eps, "whitening (variance_eps)");
}
/// y = offset + (x - mean) / scale
struct whitening_map {
  double mean = 0, scale = 1, offset = 0;
  double operator()(double x) const { return offset + (x - mean) / scale; }
};
/// Throws attune::error for numbers as few as ddof: a batch of one cannot be whitened. None at all: there is nothing to write either.
inline whitening_map map_of(const reward::statistics& s, std::int64_t active, const whitening& o) {
  require_whitening(o);
  if (s.count == 0 && active == 0) return {};
  const double variance = s.variance(o.ddof), scale = variance > 0 ? std::sqrt(variance + o.variance_eps) + o.deviation_eps : 1;
  return {s.mean, scale, o.shift_mean ? 0 : s.mean};
}
template <class T>
void write_whitened(const sequences& where, const view<const T, 2>& values, const view<T, 2>& result, const whitening_map& y) {
  for (std::int64_t s = 0; s < where.size(); ++s) {
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) { result(row, t) = static_cast<T>(y(static_cast<double>(values(row, t)))); });
  }
  clear_inactive(where, result);
}

}  // namespace detail

/// Statistics of the values of all active tokens, values [B, T] or packed [1, N]; those of ranks and micro-batches add up (+=).
/// Throws attune::error for sizes that differ and for an active value that is NaN or infinite: its number is row * columns + t.
template <tensor Values>
reward::statistics statistics_of_tokens(const sequences& where, Values&& values) {
  const auto x = detail::readable<2>(static_cast<Values&&>(values));
  detail::require_tokens(x, where, "values");
  return reward::detail::two_passes(
      [&](const auto& visit) {
        for (std::int64_t s = 0; s < where.size(); ++s) {
          where.for_each_active(s, [&](std::int64_t row, std::int64_t t) { visit(row * where.columns() + t, static_cast<double>(x(row, t))); });
        }
      },
      "value");
}

/// Whitens values of tokens [B, T] (or packed [1, N]) over all active tokens of the batch; exactly 0 elsewhere. `all`: the statistics of
/// the whole batch, of which this may be a part. result may be the values' memory. No allocation.
/// Throws attune::error, before anything is written: sizes that differ; options outside their domain; no more tokens than ddof; without
/// `all`, an active value that is NaN or infinite (with it, it stays visible in the result).
/// Source   the masked whitening of PPO on language models: Stiennon et al. 2020, arXiv:2009.01325, and its descendants.
template <tensor Values>
void whiten_tokens(const sequences& where, Values&& values, const reward::statistics& all, view<detail::element_of<Values, 2>, 2> result, const whitening& o = {}) {
  const auto x = detail::readable<2>(static_cast<Values&&>(values));
  detail::require_tokens(x, where, "values");
  detail::require_token_results(result, where, "result");
  detail::write_whitened(where, x, result, detail::map_of(all, detail::active_tokens(where), o));
}
template <tensor Values>
void whiten_tokens(const sequences& where, Values&& values, view<detail::element_of<Values, 2>, 2> result, const whitening& o = {}) {
  const auto x = detail::readable<2>(static_cast<Values&&>(values));
  whiten_tokens(where, x, statistics_of_tokens(where, x), result, o);
}

/// The same for one number a completion: values [M], mask [M] optional, result [M] may be the values' memory.
template <tensor Values>
void whiten(Values&& values, const reward::statistics& all, view<detail::element_of<Values, 1>> result, const whitening& o = {},
            view<const std::uint8_t> mask = {}) {
  const auto x = detail::readable<1>(static_cast<Values&&>(values));
  attune::detail::require_extent(result.extent(0), x.extent(0), "result", "values");
  attune::detail::require_distinct(result, "result");
  const sequences where = detail::batch_of(x.extent(0), mask);
  detail::write_whitened(where, detail::folded(x, where), detail::folded(result, where), detail::map_of(all, detail::active_tokens(where), o));
}
template <tensor Values>
void whiten(Values&& values, view<detail::element_of<Values, 1>> result, const whitening& o = {}, view<const std::uint8_t> mask = {}) {
  const auto x = detail::readable<1>(static_cast<Values&&>(values));
  whiten(x, reward::statistics_of(x, mask), result, o, mask);
}

}  // namespace attune::advantage
