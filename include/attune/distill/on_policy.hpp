// SPDX-License-Identifier: MIT
#pragma once

#include <attune/distill/tokens.hpp>

namespace attune::distill {
namespace detail {

template <real A>
row_report on_policy_advantages(const view<const A, 2>& teacher, const view<const A, 2>& student, const view<A, 2>& advantages,
                                const token_layout& layout, double limit) {
  const sequences all = sequences_of(teacher, layout);
  require_same_tokens(student, "student_logps (in rows)", "student_logps (in columns)", teacher);
  require_same_tokens(advantages, "advantages (in rows)", "advantages (in columns)", teacher);
  attune::detail::require_distinct(advantages, "advantages");
  if (!(limit > 0)) throw error("attune: the limit of on-policy advantages is " + attune::detail::text(limit) + "; expected a value > 0");
  for (std::int64_t s = 0; s < all.size(); ++s) {
    all.for_each_active(s, [&](std::int64_t b, std::int64_t t) {
      const double a = double(teacher(b, t)) - double(student(b, t));
      advantages(b, t) = static_cast<A>(a > limit ? limit : a < -limit ? -limit : a);  // NaN stays
    });
  }
  return finish_tokens(all, advantages);
}

}  // namespace detail

/// On-policy distillation (OPD): the advantages of tokens that the student itself has sampled, constants of the step,
///
///   advantages[b, t] = log p(y_t) - log pi(y_t) [nat], in [-limit, limit],      p the teacher, pi the student
///
/// with which a policy gradient, d loss / d log pi(y_t) = -advantages[b, t] / tokens, descends KL(pi || p) of every visited position: E over y_t ~ pi
/// of -advantages grad log pi(y_t) is the gradient of KL(pi || p) there, since log pi itself adds E[grad log pi] = 0. What a token does to later
/// positions is not in it: that is reward_to_go of these numbers. With other sampled tokens (an older policy) multiply by an importance ratio.
/// teacher_logps, student_logps, advantages [B, T], or packed [1, N]: float or double; of the sampled tokens, both at the same temperature; the
/// student's are those of the current step or of the sampler, without gradient. advantages may be the memory of either. limit > 0: a bound on what
/// one token that the teacher finds impossible can do (it also biases the gradient); infinity for none.
/// Values  0 where no active token is, which is not read. Left, right, no padding and packing give the same bits. The report counts tokens: rows
///         (all), masked (not active), non_finite (advantages that are NaN or infinite).
/// Throws  attune::error, before anything is written: shapes that differ, offsets that are none, limit <= 0. No allocation.
/// Source  the policy-gradient form of GKD's on-policy reverse KL, arXiv:2306.13649; as advantages in NeMo-RL's OPD and TRL's IW-OPD.
template <attune::detail::real_tensor<2> Teacher>
row_report on_policy_advantages(Teacher&& teacher_logps, view<const attune::detail::element_of<Teacher, 2>, 2> student_logps,
                                view<attune::detail::element_of<Teacher, 2>, 2> advantages, const token_layout& layout = {},
                                double limit = infinity<double>) {
  return detail::on_policy_advantages<attune::detail::element_of<Teacher, 2>>(attune::detail::readable<2>(static_cast<Teacher&&>(teacher_logps)),
                                                                              student_logps, advantages, layout, limit);
}

}  // namespace attune::distill
