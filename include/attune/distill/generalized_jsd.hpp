// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/generalized_jensen_shannon.hpp>
#include <attune/divergence/reverse_kl.hpp>

namespace attune::distill {

/// Calls visit(generator) with what trainers mean by the generalised JSD at `beta`, T the teacher (target) and S the student (policy), and returns
/// its result:
///
///   beta = 0        forward_kl                    KL(T || S)
///   0 < beta < 1    generalized_jensen_shannon    beta KL(T || m) + (1 - beta) KL(S || m),     m = beta T + (1 - beta) S
///   beta = 1        reverse_kl                    KL(S || T)
///
/// so:  with_generalized_jsd(beta, [&](const auto& f) { return row_divergence(f, logits, teacher_logits, values, gradient); })
/// Limits   the ends jump: towards both the JSD itself falls to 0, like beta KL(T || S) and (1 - beta) KL(S || T). divergence::scaled_jensen_shannon
///          has the same ends and no jump. Where one model has no mass the JSD stays finite, while the KLs at the ends may be infinite.
/// Throws   attune::error for beta outside [0, 1].
/// Source   GKD, Agarwal et al. 2023, arXiv:2306.13649; this convention of beta and its ends is that of TRL and Liger-Kernel.
template <class Visit>
auto with_generalized_jsd(double beta, const Visit& visit) {
  if (!unit_interval.contains(beta)) {
    throw error("attune: beta of the generalised JSD is " + attune::detail::text(beta) + "; expected a value in [0, 1]");
  }
  if (beta == 0) return visit(divergence::forward_kl{});
  if (beta == 1) return visit(divergence::reverse_kl{});
  return visit(divergence::generalized_jensen_shannon{.beta = beta});
}

}  // namespace attune::distill
