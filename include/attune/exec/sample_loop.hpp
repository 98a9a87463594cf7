// SPDX-License-Identifier: MIT
// The inner loop of evaluate: samples through an objective.
//
// A batch is looked at in runs of `run_length` samples. A run is an array for every member: the tensor itself where it is packed and of the
// arithmetic type, else a copy. So the kernel, which is compiled anew for every objective and instruction set, knows neither strides nor
// masks nor element types, and any layout of the same numbers gives the same bits.
#pragma once

#include <attune/core/dual.hpp>
#include <attune/core/length_view.hpp>
#include <attune/exec/check_samples.hpp>  // for_each_column
#include <attune/exec/instruction_set.hpp>  // run_kernel
#include <attune/exec/lanes.hpp>
#include <attune/exec/policy.hpp>  // chunk_range
#include <attune/exec/sample_metrics.hpp>

namespace attune::detail {

inline constexpr int run_length = 256, run_quantum = 64;

/// Samples i, i + 1, ... as the kernel reads and writes them; `size` is a multiple of 64, the last ones may be padding of weight 0.
template <class Kind, class R>
struct sample_run {
  std::array<const R*, member_count<Kind>> members;
  const R* weight;
  std::array<R*, std::size_t(policy_members<Kind>)> gradients;  ///< null: not wanted
  R gradient_scale;
  int size;
};

/// As many samples as a kernel adds in their own arithmetic: 16 in each lane. Then the sums go on in double: a third of the time, and about the
/// error of the rounding of a single number.
template <class P> inline constexpr int summed_at_once = 16 * lanes<P> > run_quantum ? 16 * lanes<P> : run_quantum;
static_assert(run_length % summed_at_once<native_pack<float>> == 0);

/// Sums over samples, in double, one for each lane of a pack.
template <class R, int Metrics>
struct lane_sums {
  static constexpr int metrics = Metrics, max_lanes = 64 / int(sizeof(R));
  double lane[metrics][max_lanes] = {};

  double total(int m) const {
    double sum = 0;
    for (double x : lane[m]) sum += x;
    return sum;
  }
};

/// What samples that are summed at once contribute.
template <class P, class Sums>
struct sum_packs {
  P of[Sums::metrics];

  ATTUNE_PACK_FN sum_packs() {
    ATTUNE_UNROLL
    for (int m = 0; m < Sums::metrics; ++m) of[m] = P(0.0f);
  }
  ATTUNE_FN void add(int m, const P& x) { of[m] = of[m] + x; }
  ATTUNE_PACK_FN void add_to(Sums& total) const {
    ATTUNE_UNROLL
    for (int m = 0; m < Sums::metrics; ++m) {
      const lane_buffer<P> x(of[m]);
      for (int k = 0; k < lanes<P>; ++k) total.lane[m][k] += static_cast<double>(x.lane[k]);
    }
  }
};

template <class R> struct report_sums : lane_sums<R, sample_sums::metrics>, sample_sums {
  using lane_sums<R, sample_sums::metrics>::metrics;
};

/// The objective on a run: on duals of packs where gradients are wanted, else on packs.
template <class Kind, bool WithGradients>
struct run_samples {
  template <class P, class O, class R>
  ATTUNE_PACK_FN static void run(const O* given_objective, const sample_run<Kind, R>* given_samples, report_sums<R>* total) {
    const O objective = *given_objective;  // copies: stores of gradients cannot change them, so they stay in registers
    const sample_run<Kind, R> samples = *given_samples;
    for (int first = 0; first < samples.size; first += summed_at_once<P>) {
      const int last = first + summed_at_once<P> < samples.size ? first + summed_at_once<P> : samples.size;
      sum_packs<P, report_sums<R>> metrics;
      for (int i = first; i < last; i += lanes<P>) step(objective, samples, i, metrics);
      metrics.add_to(*total);
    }
  }

 private:
  template <class P, class O, class R>
  ATTUNE_PACK_FN static void step(const O& objective, const sample_run<Kind, R>& samples, int i, sum_packs<P, report_sums<R>>& metrics) {
    using sums = report_sums<R>;
    constexpr int variables = policy_members<Kind>;
    const P weight = read_pack<P>(samples.weight + i), zero(0.0f);
    typename Kind::template sample<P> x;
    for_each_member<Kind>([&](auto m, auto) __attribute__((always_inline)) {
      std::get<m>(Kind::members).of(x) = read_pack<P>(samples.members[m] + i);
    });
    P loss, probe;  // probe: 0 where everything is finite, else NaN
    if constexpr (WithGradients) {
      const dual<P, variables> d = objective(differentiable<Kind, P>(x));
      const P scaled = weight * P(samples.gradient_scale);
      loss = d.value;
      probe = loss * zero;
      for_each_member<Kind>([&](auto m, auto k) __attribute__((always_inline)) {
        if constexpr (std::get<m>(Kind::members).is == role::policy) {
          const P gradient = scaled * d.grad[k];
          probe = probe + gradient * zero;
          if (std::get<m>(Kind::members).in_batch == presence::usual || samples.gradients[k]) write_pack<P>(samples.gradients[k] + i, gradient);
        }
      });
    } else {
      loss = objective(x);
      probe = loss * zero;
    }
    metrics.add(sums::loss, weight * loss);
    metrics.add(sums::non_finite, select(probe == zero, zero, P(1.0f)));
    judge(objective, weight, x, metrics);
  }
};

/// A run of the same number, for members that are absent and weights that are 1: nothing is filled in.
template <class R, int Number> struct constant_run {
  alignas(64) R of[run_length];
  constexpr constant_run() : of{} {
    for (R& x : of) x = R(Number);
  }
};
template <class R, int Number> inline constexpr constant_run<R, Number> constant_of;

/// n elements of a column of the batch, converted: numbers, lengths, labels as +1 and -1.
template <class R, storage T>
void copy_column(const view<const T>& x, std::int64_t i, int n, R* to) {
  for (int k = 0; k < n; ++k) to[k] = static_cast<R>(x(i + k));
}
template <class R>
void copy_column(const length_view& x, std::int64_t i, int n, R* to) {
  int k = 0;
  for (; k + 16 <= n; k += 16) x.template read<16>(i + k, to + k);
  for (; k < n; ++k) to[k] = static_cast<R>(x(i + k));
}
template <class R>
void copy_column(const view<const std::uint8_t>& labels, std::int64_t i, int n, R* to) {
  for (int k = 0; k < n; ++k) to[k] = labels(i + k) != 0 ? R(1) : R(-1);
}
template <class R, class X>
constexpr const R* absent_run(const X&) {
  return std::same_as<X, length_view> || std::same_as<X, view<const std::uint8_t>> ? constant_of<R, 1>.of : constant_of<R, 0>.of;
}

/// Makes runs of a batch and puts their gradients where they belong.
template <class Kind, class T, class Batch, class Gradients>
class run_reader {
  using R = arithmetic<T>;
  static constexpr int columns = int(member_count<Kind>), variables = policy_members<Kind>;

 public:
  run_reader(const Batch& batch, const Gradients& gradients, double gradient_scale)
      : batch_(batch), gradients_(gradients), plain_(batch.weight.absent() && batch.mask.absent()) {
    run_.gradient_scale = static_cast<R>(gradient_scale);
  }

  double weight() const { return weight_sum_; }
  std::int64_t count() const { return count_; }

  /// Samples i .. i + n - 1, n <= run_length.
  const sample_run<Kind, R>& read(std::int64_t i, int n) {
    run_.size = (n + run_quantum - 1) / run_quantum * run_quantum;
    read_weights(i, n);
    for_each_column(batch_.columns(), [&](auto m, const auto& x) {
      if constexpr (m < columns) run_.members[m] = in_place(x, n) ? static_cast<const R*>(direct(x, i)) : copied<m>(x, i, n);
    });
    for_each_column(gradients_.columns(), [&](auto k, const auto& x) {
      if constexpr (k < variables) run_.gradients[k] = x.absent() ? nullptr : is_packed(x, n) ? static_cast<R*>(direct(x, i)) : derivatives_[k];
    });
    return run_;
  }
  /// The gradients that the kernel did not write where they belong.
  void write(std::int64_t i, int n) const {
    for_each_column(gradients_.columns(), [&](auto k, const auto& x) {
      if constexpr (k < variables) {
        for (int j = 0; !x.absent() && !is_packed(x, n) && j < n; ++j) x(i + j) = static_cast<T>(derivatives_[k][j]);
      }
    });
  }

 private:
  void read_weights(std::int64_t i, int n) {
    run_.weight = plain_ && n == run_.size ? constant_of<R, 1>.of : weight_;
    count_ += plain_ ? n : 0;
    weight_sum_ += plain_ ? n : 0;
    for (int k = 0; plain_ && n < run_.size && k < n; ++k) weight_[k] = R(1);
    for (int k = 0; !plain_ && k < n; ++k) {
      const bool masked = !batch_.mask.absent() && batch_.mask(i + k) == 0;
      const R weight = masked ? R(0) : batch_.weight.absent() ? R(1) : static_cast<R>(batch_.weight(i + k));
      weight_[k] = weight;
      count_ += weight > 0;
      weight_sum_ += static_cast<double>(weight);
    }
    for (int k = n; k < run_.size; ++k) weight_[k] = R(0);
  }
  template <class X>
  static constexpr bool has_type = std::same_as<std::remove_cvref_t<X>, view<const R>> || std::same_as<std::remove_cvref_t<X>, view<R>>;
  template <class X>
  static bool is_packed(const X& x, int n) {
    if constexpr (has_type<X>) return x.stride(0) == 1 && n % run_quantum == 0;
    else return false;
  }
  template <class X>
  bool in_place(const X& x, int n) const {
    return plain_ && !x.absent() && is_packed(x, n);
  }
  template <class X>
  static auto direct(const X& x, std::int64_t i) {
    if constexpr (has_type<X>) return x.data() + i;
    else return nullptr;
  }
  /// Where the weight is 0, whatever is there (garbage in padding, NaN) is replaced by a value at which every objective is defined.
  template <std::size_t M, class X>
  const R* copied(const X& x, std::int64_t i, int n) {
    constexpr R typical = static_cast<R>(members<Kind>()[M].typical);
    if (x.absent()) return absent_run<R>(x);
    R* to = members_[M];
    copy_column(x, i, n, to);
    for (int k = 0; !plain_ && k < n; ++k) to[k] = weight_[k] > 0 ? to[k] : typical;
    for (int k = n; k < run_.size; ++k) to[k] = typical;
    return to;
  }

  const Batch& batch_;
  const Gradients& gradients_;
  bool plain_;
  double weight_sum_ = 0;
  std::int64_t count_ = 0;
  sample_run<Kind, R> run_;
  alignas(64) R weight_[run_length];
  alignas(64) R members_[columns][run_length];
  alignas(64) R derivatives_[variables][run_length];
};

/// The report of a chunk of the batch. objective: an objective_ref (exec/objective_ref.hpp).
template <class Kind, class P, class T, class Objective, class Batch, class Gradients>
report evaluate_chunk(const Objective& objective, const Batch& batch, const Gradients& gradients, double gradient_scale, chunk_range range) {
  using R = lane_of<P>;
  const bool with_gradients = !std::get<0>(gradients.columns()).absent();
  run_reader<Kind, T, Batch, Gradients> reader(batch, gradients, gradient_scale);
  report_sums<R> sums;
  for (std::int64_t i = range.begin; i < range.end; i += run_length) {
    const int n = static_cast<int>(range.end - i < run_length ? range.end - i : run_length);
    objective.run(reader.read(i, n), sums, with_gradients);
    if (with_gradients) reader.write(i, n);
  }
  double total[sample_sums::metrics];
  for (int m = 0; m < sample_sums::metrics; ++m) total[m] = sums.total(m);
  return report_of(total, reader.weight(), reader.count(), is_paired<Kind>);
}

}  // namespace attune::detail
