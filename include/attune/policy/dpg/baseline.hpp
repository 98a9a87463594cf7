// SPDX-License-Identifier: MIT
// Baselines of the pseudo-reward: they lower the variance of the gradient and leave its mean, because E_pi[grad log pi] = 0, as long as a
// sample's baseline does not depend on that sample.
#pragma once

#include <attune/policy/dpg/samples.hpp>

#include <algorithm>
#include <vector>

namespace attune::dpg {

/// Mean of the last `window` pseudo-rewards, to be used for a batch before it is updated by it; 0 before the first one.
///
/// A pseudo-reward that is NaN or infinite is left out: it would stay in the mean for a whole window. Any baseline is right; that the
/// reward was not finite is counted where it was made. Memory: allocated by the constructor only. Adding one costs O(1), the value O(window):
/// it is summed anew, in double, so that no rounding error stays behind.
/// Source   the authors' code of f-DPG (naver/disco): window 1024, no baseline for the first batch.
class windowed_mean {
 public:
  explicit windowed_mean(std::int64_t window = 1024) {
    if (window < 1) throw error("attune: the window of a baseline is " + attune::detail::text((long long)window) + "; expected 1 or more");
    last_.resize(static_cast<std::size_t>(window));
  }

  /// rewards [N]: float or double; mask [N], optional: a reward under a 0 is not read. Throws attune::error for a mask of another length.
  template <tensor Rewards>
  void update(Rewards&& rewards, view<const std::uint8_t> mask = {}) {
    const auto r = as_view<1>(static_cast<Rewards&&>(rewards));
    static_assert(real<std::remove_const_t<typename decltype(r)::element>>, "attune: rewards are float or double");
    if (!mask.absent()) attune::detail::require_extent(mask.extent(0), r.extent(0), "mask", "rewards");
    for (std::int64_t i = 0; i < r.extent(0); ++i) {
      if ((mask.absent() || mask(i) != 0) && std::isfinite(r(i))) last_[seen_++ % last_.size()] = double(r(i));
    }
  }

  double value() const {
    const std::size_t held = std::min(seen_, last_.size());
    double sum = 0;
    for (std::size_t i = 0; i < held; ++i) sum += last_[i];
    return held > 0 ? sum / static_cast<double>(held) : 0;
  }
  void reset() { seen_ = 0; }

 private:
  std::vector<double> last_;
  std::size_t seen_ = 0;
};

/// Leave-one-out baselines: for each sample the mean of the other samples' pseudo-rewards in its context, 0 if it has none.
///
///   baselines[i] = 1/(n_c - 1) sum_{j != i, c_j = c_i} R_j
///
/// A sum of the others, not the sum of all less its own: a rare reward of enormous size would take the digits of the rest with it, and so
/// would make its own baseline depend on it. Rewards that are NaN or infinite are left out, as in windowed_mean. Memory: allocated by the
/// constructor only.
/// Source   Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!"; alpha-DPG (naver/alpha-dpg).
class leave_one_out {
 public:
  explicit leave_one_out(std::int64_t contexts = 1) {
    if (contexts < 1) throw error("attune: a baseline is taken in " + attune::detail::text((long long)contexts) + " contexts; expected 1 or more");
    parts_.resize(static_cast<std::size_t>(contexts));
  }

  /// rewards [N] as pseudo_rewards wrote them for this batch; baselines [N], 0 for masked samples, of their own memory. Throws attune::error,
  /// before anything is written, for sizes and contexts that are wrong.
  template <real T>
  void operator()(const samples<T>& batch, std::type_identity_t<view<const T>> rewards, std::type_identity_t<view<T>> baselines) {
    detail::require_samples(batch, static_cast<std::int64_t>(parts_.size()));
    attune::detail::require_extent(rewards.extent(0), batch.size(), "rewards", "samples.log_policy");
    detail::require_results(baselines, batch.size(), "baselines");
    if (batch.size() > 0 && rewards.data() == baselines.data()) {
      throw error("attune: baselines is the memory of the rewards; expected memory of its own");
    }
    const auto part_of = [&](std::int64_t i) -> part& { return parts_[static_cast<std::size_t>(batch.context_of(i))]; };
    const auto visit = [&](std::int64_t i, bool last) {
      if (!batch.is_active(i)) return void(baselines(i) = T(0));
      part& p = part_of(i);
      const bool counts = std::isfinite(rewards(i));
      const std::int64_t others = p.all - counts;  // of use in the second pass, when all have been counted
      baselines(i) = last ? T((double(baselines(i)) + p.sum) / double(others > 0 ? others : 1)) : T(p.sum);
      if (counts) p.sum += double(rewards(i));
      if (!last) p.all += counts;
    };
    std::fill(parts_.begin(), parts_.end(), part{});
    for (std::int64_t i = 0; i < batch.size(); ++i) visit(i, false);  // the sum of those before it
    for (part& p : parts_) p.sum = 0;
    for (std::int64_t i = batch.size(); i-- > 0;) visit(i, true);     // and of those after it
  }

 private:
  struct part {
    double sum = 0;
    std::int64_t all = 0;
  };
  std::vector<part> parts_;
};

}  // namespace attune::dpg
