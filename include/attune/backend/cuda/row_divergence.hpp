// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/cuda/resident_divergence.hpp>
#include <attune/exec/device/row_arguments.hpp>
#include <attune/rows/row_divergence.hpp>

namespace attune {
namespace detail {

template <divergence::generator G, class T, class U>
void row_divergence_in_blocks(const auto& policy, const G& generator, const view<const T, 2, device>& policy_logits, const view<const U, 2, device>& target_logits,
                              const view<arithmetic<T>, 1, device>& values, const view<T, 2, device>& gradient,
                              const view<const arithmetic<T>, 1, device>& coefficients, const device_divergence_options& o) {
  using A = arithmetic<T>;
  static_assert(std::same_as<A, arithmetic<U>>, "attune: policy_logits and target are computed with in different types; expected both double, or neither");
  validate(generator);
  require_divergence(policy_logits, target_logits, values, gradient, coefficients, o);
  require_pair_columns(policy_logits, target_logits, gradient);
  const device_report report{require_report(o.report)};
  strided_rows<const T> x = strided_of(policy_logits);
  strided_rows<const U> y = strided_of(target_logits);
  if (o.classes == vocabulary::common) x.columns = y.columns = x.columns < y.columns ? x.columns : y.columns;

  const std::int64_t rows = policy_logits.extent(0);
  if (report.to != nullptr) launch(policy, 1, begin_report{report, rows});
  const divergence_rows<A> results{strided_of(o.mask), o.temperature, generator.curvature(0.0), cross_of(generator), 0, nullptr, nullptr, strided_of(values),
                                   strided_of(coefficients), report};
  const divergence_gradient_lanes<G, T, U> elements{divergence::class_generator<A, G>(generator), x, y, strided_of(gradient), strided_of(o.mask), strided_of(coefficients), o.temperature, 0, nullptr};
  const A rate = device_unit<A> * static_cast<A>(1 / o.temperature);
  const int columns = x.columns > y.columns ? x.columns : y.columns;
  if constexpr (sizeof(T) == sizeof(U)) {
    using kernel = resident_divergence_block<G, T, U>;
    if (!gradient.absent()) {
      const kernel work{results, elements, rate};
      const int threads = threads_of(policy, work, block_threads(columns, sizeof(T), kernel::vectors, kernel::max_threads));
      return launch_blocks(policy, {"row_divergence", rows, 1, threads, ranks_for(policy, work, columns, threads)}, work);
    }
  }
  using kernel = divergence_block<G, T, U>;
  const kernel work{results, elements, rate};
  launch_blocks(policy, {"row_divergence", rows, 1, threads_of(policy, work, block_threads(columns, sizeof(T), kernel::vectors_each, kernel::max_threads)), 1}, work);
}

}  // namespace detail

/// f-divergences between the rows of two models on attune::cuda, and their gradients: see row_divergence of the host (rows/row_divergence.hpp) and of Thrust
/// (backend/thrust/row_divergence.hpp), whose arguments and values these are. No workspace is needed.
/// How     with a gradient and rows of elements of one size, both rows are kept in the registers of 1, 2, 4 or 8 blocks (up to 131072 classes of 16 or 32
///         bits, on devices with clusters) and are read once. Otherwise, and where rows do not all begin at multiples of 16 bytes, each row is read once for the
///         value of a KL divergence, twice for that of another one, and once more for the gradient.
/// Order   a row's bits depend on the rows, their length and types, whether there are clusters, and whether the gradient is asked for.
/// Cost    one launch, and one more for a report. No allocation, copy or wait.
/// Throws  attune::error, before anything is launched: as on the host; and a launch that CUDA refuses.
template <detail::block_policy Policy, divergence::generator G, detail::any_logits Logits, detail::any_logits Target>
void row_divergence(const Policy& policy, const G& generator, Logits&& policy_logits, Target&& target_logits,
                    view<detail::logit_arithmetic<Logits>, 1, device> values, view<detail::logit<Logits>, 2, device> gradient,
                    view<const detail::logit_arithmetic<Logits>, 1, device> coefficients, const device_divergence_options& o = {}) {
  detail::row_divergence_in_blocks(policy, generator, detail::readable_on_device<2>(static_cast<Logits&&>(policy_logits)),
                                   detail::readable_on_device<2>(static_cast<Target&&>(target_logits)), values, gradient, coefficients, o);
}
template <detail::block_policy Policy, divergence::generator G, detail::any_logits Logits, detail::any_logits Target>
void row_divergence(const Policy& policy, const G& generator, Logits&& policy_logits, Target&& target_logits,
                    view<detail::logit_arithmetic<Logits>, 1, device> values, const device_divergence_options& o = {}) {
  attune::row_divergence(policy, generator, static_cast<Logits&&>(policy_logits), static_cast<Target&&>(target_logits), values,
                         view<detail::logit<Logits>, 2, device>{}, {}, o);
}

}  // namespace attune
