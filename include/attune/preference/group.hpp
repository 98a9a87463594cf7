// SPDX-License-Identifier: MIT
// One sample of list data: K completions of the same prompt, each with a reward.
#pragma once

#include <attune/preference/completion.hpp>
#include <attune/preference/sample.hpp>

namespace attune {

/// Completions a group may have: what a group needs on the way (scores, ranks) lies on the stack, which on a device each of its many threads has.
inline constexpr int max_group_size = 1024, max_device_group_size = 64;
/// Room for them on this side's stack.
#if defined(__CUDA_ARCH__)
inline constexpr int group_room = max_device_group_size;
#else
inline constexpr int group_room = max_group_size;
#endif

/// The argument of a group objective: K >= 1 completions with rewards, in any order. A view.
template <class S>
class group {
 public:
  ATTUNE_FN group(const completion<S>* y, int size) : y_(y), size_(size) {}
  ATTUNE_FN int size() const { return size_; }
  ATTUNE_FN const completion<S>& operator[](int i) const { return y_[i]; }
  ATTUNE_FN const completion<S>* begin() const { return y_; }
  ATTUNE_FN const completion<S>* end() const { return y_ + size_; }

 private:
  const completion<S>* y_;
  int size_;
};

/// Groups as a kind of sample: the table of the members of each of its completions.
struct group_kind {
  template <class S>
  using sample = completion<S>;
  static constexpr const char *batch = "groups", *gradients = "group_gradients";

  ATTUNE_MEMBER(at_logp, logp);
  ATTUNE_MEMBER(at_ref_logp, ref_logp);
  ATTUNE_MEMBER(at_length, length);
  ATTUNE_MEMBER(at_reward, reward);
  static constexpr auto members = std::tuple{
      sample_member{"logp", role::policy, at_logp{}, -12},
      sample_member{"ref_logp", role::reference, at_ref_logp{}, -13},
      sample_member{"length", role::length, at_length{}, 6},
      sample_member{"reward", role::data, at_reward{}, 0.75, presence::exact},
  };
};

/// An objective on groups with its gradient in closed form, at a cost of the same order as the value:
/// objective(g, d) returns the loss and writes d[i] = d loss / d log pi(y_i).
template <class O>
concept closed_group_objective = requires(const O& objective, const group<double>& g, double* d) {
  { objective(g, d) } -> std::convertible_to<double>;
};
/// A user's objective on groups may also be a call operator templated on the scalar, objective(const group<S>&) -> S; its gradient then
/// comes from dual numbers, at K/8 times the cost of the value.
template <class O>
concept open_group_objective = requires(const O& objective, const group<double>& g) {
  { objective(g) } -> std::convertible_to<double>;
};
template <class O>
concept group_objective = closed_group_objective<O> || open_group_objective<O>;

/// Loss of one group and, where d is not null, its derivatives d[i] = d loss / d log pi(y_i).
ATTUNE_CALLS_ANY
template <group_objective O>
ATTUNE_FN double group_loss(const O& objective, const group<double>& g, double* d) {
  if constexpr (closed_group_objective<O>) {
    double unused[group_room];
    return objective(g, d ? d : unused);
  } else {
    if (d == nullptr) return objective(g);
    constexpr int block = 8;
    using D = dual<double, block>;
    completion<D> y[group_room];
    for (int i = 0; i < g.size(); ++i) y[i] = {D(g[i].logp), g[i].ref_logp, g[i].length, g[i].reward};
    double loss = 0;
    for (int first = 0; first < g.size(); first += block) {
      const int count = g.size() - first < block ? g.size() - first : block;
      for (int k = 0; k < count; ++k) y[first + k].logp.grad[k] = 1;
      const D value = objective(group<D>(y, g.size()));
      loss = value.value;
      for (int k = 0; k < count; ++k) {
        d[first + k] = value.grad[k];
        y[first + k].logp.grad[k] = 0;
      }
    }
    return loss;
  }
}

/// Whether the objective reads a member of the completions: its value becomes NaN when that member does.
template <group_objective O>
bool group_reads(const O& objective, const member_of<group_kind>& member) {
  completion<double> y[2];
  for (int i = 0; i < 2; ++i) {
    y[i] = typical_sample<group_kind>();
    y[i].logp += i;
    y[i].reward -= 0.5 * i;
  }
  for (completion<double>& each : y) {
    const double kept = member.of(each);
    member.of(each) = std::numeric_limits<double>::quiet_NaN();
    const double loss = group_loss(objective, group<double>(y, 2), nullptr);
    if (loss != loss) return true;
    member.of(each) = kept;
  }
  return false;
}
template <group_objective O>
bool group_reads(const O& objective, role is) {
  for (const auto& m : members<group_kind>()) {
    if (m.is == is && group_reads(objective, m)) return true;
  }
  return false;
}

}  // namespace attune
