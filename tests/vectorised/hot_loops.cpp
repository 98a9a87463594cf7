// SPDX-License-Identifier: MIT
// The hot loops, for check.sh, which looks at the instructions that they were turned into.
#include <attune/attune.hpp>

// A loop that the compiler leaves scalar, exp of the standard library, one element after the other: the check must notice it.
namespace attune::detail {
struct block_planted {
  template <class P> ATTUNE_PACK_FN static double run(const float* x, int n) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += std::exp(x[i]);
    return sum;
  }
};
}  // namespace attune::detail
double planted(const float* x, int n) { return attune::detail::run_kernel<attune::native_pack<float>, attune::detail::block_planted>(x, n); }

template <class T>
void rows(attune::view<T, 2> logits, const std::vector<int>& targets, std::vector<float>& logps, std::vector<attune::row_state>& states) {
  attune::token_logps(logits, targets, logps, states);
  attune::logits_gradient(logits, targets, states, logps, logits);
}
void all(attune::view<float, 2> f, attune::view<attune::bfloat16, 2> b, const std::vector<int>& targets, std::vector<float>& logps,
         std::vector<attune::row_state>& states, attune::view<float> reference, attune::view<attune::bfloat16> residual) {
  rows(f, targets, logps, states);
  rows(b, targets, logps, states);
  attune::row_divergence(attune::divergence::forward_kl{}, f, b, logps, f);
  attune::row_divergence(attune::divergence::jensen_shannon{}, f, f, logps);
  attune::soft_update(reference, logps, 0.1);
  attune::soft_update(residual, logps, 0.1, attune::compensation{residual});
  attune::apply(attune::bema{}, 400, reference, logps, logps, residual);
}
double pairs(const attune::pairs<float>& batch, const attune::pair_gradients<float>& gradients) {
  return attune::evaluate(attune::dpo{}, batch, gradients).loss() + attune::evaluate(attune::simpo{}, batch).loss();
}
double tokens(const attune::tokens<float>& batch, const attune::token_gradients<float>& gradients) {
  return attune::evaluate(attune::ppo{}, batch, gradients).loss();
}
