// SPDX-License-Identifier: MIT
// Two rows of logits, read together: the normalisers of both, and a sum that gives some divergences at once.
#pragma once

#include <attune/rows/normalise.hpp>

namespace attune::detail {

/// The sum over classes that is made beside the normalisers, of a = e^{z - top} of the policy and b of the target.
enum class cross_term {
  none,
  forward,  ///< b log(b/a)
  reverse,  ///< a log(a/b)
  mean,     ///< a^w b^(1-w), 0 < w < 1
};

struct pair_sum {
  block_sum policy, target;
  double cross = 0;  ///< [nat]
};

/// Of a block, measured from the tops of the two scales.
template <cross_term Cross> struct block_pair_sum {
  template <class P, class K>
  ATTUNE_PACK_FN static pair_sum run(const K* policy, const K* target, int size, row_scale<lane_of<P>> policy_given,
                                     row_scale<lane_of<P>> target_given, lane_of<P> weight) {
    const row_scale<P> policy_scale = policy_given.template as<P>(), target_scale = target_given.template as<P>();
    lanes_64<P> a(0), b(0), cross(0);
    twin<P> policy_top{P(-infinity<lane_of<P>>), P(-infinity<lane_of<P>>)}, target_top = policy_top;
    for (int i = 0; i < size; i += row_lanes) {
      prefetch_ahead(policy + i);
      prefetch_ahead(target + i);
      ATTUNE_UNROLL
      for (int k = 0; k < a.twins; ++k) {
        const twin<P> x = read_twin<P>(policy + i + 2 * k * lanes<P>), y = read_twin<P>(target + i + 2 * k * lanes<P>);
        policy_top = {larger(x.a, policy_top.a), larger(x.b, policy_top.b)};
        target_top = {larger(y.a, target_top.a), larger(y.b, target_top.b)};
        add(policy_scale(x.a), target_scale(y.a), weight, a.part[k].a, b.part[k].a, cross.part[k].a);
        add(policy_scale(x.b), target_scale(y.b), weight, a.part[k].b, b.part[k].b, cross.part[k].b);
      }
    }
    constexpr double nat = Cross == cross_term::mean ? 1 : static_cast<double>(term_unit<lane_of<P>>);
    return {{a.template total<K>(), 0, static_cast<double>(largest_lane(larger(policy_top.a, policy_top.b)))},
            {b.template total<K>(), 0, static_cast<double>(largest_lane(larger(target_top.a, target_top.b)))},
            Cross == cross_term::none ? 0 : cross.template total<K>() / nat};
  }

 private:
  template <class P> static ATTUNE_PACK_FN void add(const P& x, const P& y, lane_of<P> weight, P& a, P& b, P& cross) {
    const P policy = exp_term(x), target = exp_term(y), least(-200.0f);  // below it a mass is nothing, and its logarithm may be -inf
    a = a + policy;
    b = b + target;
    if constexpr (Cross == cross_term::forward) cross = cross + target * (larger(least, y) - x);
    if constexpr (Cross == cross_term::reverse) cross = cross + policy * (larger(least, x) - y);
    if constexpr (Cross == cross_term::mean) cross = cross + exp_term(P(weight) * x + P(1 - weight) * y);
  }
};

/// The sums over the blocks that were added so far, each row relative to its largest element among them.
template <cross_term Cross, real A> class running_pair {
  static constexpr double limit = 1;  // [nat], as in running_sum

 public:
  running_pair(double policy_temperature, double target_temperature, double weight)
      : policy_rate_(1 / policy_temperature), target_rate_(1 / target_temperature), weight_(weight) {}
  const pair_sum& value() const { return total_; }

  /// A block; tops() gives a pair_sum with its largest elements, sums(tops...) its pair_sum measured from them.
  template <class Tops, class Sums> void add_block(const Tops& tops, const Sums& sums) {
    if (total_.policy.top == -infinity<double> || total_.target.top == -infinity<double>) {
      const pair_sum first = tops();
      raise(first.policy.top, first.target.top);
    }
    pair_sum part = sums(finite(total_.policy.top), finite(total_.target.top));
    if ((part.policy.top - total_.policy.top) * policy_rate_ > limit || (part.target.top - total_.target.top) * target_rate_ > limit) {
      raise(part.policy.top, part.target.top);
      part = sums(finite(total_.policy.top), finite(total_.target.top));
    }
    add(total_.policy, part.policy);
    add(total_.target, part.target);
    total_.cross += part.cross;
    raise(part.policy.top, part.target.top);
  }

 private:
  static A finite(double top) { return top == -infinity<double> ? A(0) : static_cast<A>(top); }

  // Of nothing but classes of probability 0, only a NaN counts.
  void add(block_sum& total, const block_sum& part) {
    if (total.top > -infinity<double> || part.sum != part.sum) total.sum += part.sum;
    else total_.cross = not_a_number<double>;  // measured from nowhere
  }
  void raise(double policy_top, double target_top) {
    const double x = rise(total_.policy, policy_top, policy_rate_), y = rise(total_.target, target_top, target_rate_);
    if (x == 0 && y == 0) return;
    double& a = total_.policy.sum;
    double& b = total_.target.sum;
    if constexpr (Cross == cross_term::forward) total_.cross = scaled(total_.cross + (x - y) * b, y);
    if constexpr (Cross == cross_term::reverse) total_.cross = scaled(total_.cross + (y - x) * a, x);
    if constexpr (Cross == cross_term::mean) total_.cross = scaled(total_.cross, weight_ * x + (1 - weight_) * y);
    a = scaled(a, x);
    b = scaled(b, y);
  }
  /// By how many nats the top rises; of an empty sum, by none.
  static double rise(block_sum& total, double top, double rate) {
    if (!(top > total.top)) return 0;
    const double by = total.sum != 0 ? (top - total.top) * rate : 0;
    total.top = top;
    return by;
  }
  static double scaled(double sum, double by) { return by != 0 ? sum * std::exp(-by) : sum; }

  double policy_rate_, target_rate_, weight_;
  pair_sum total_;
};

}  // namespace attune::detail
