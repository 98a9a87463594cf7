// SPDX-License-Identifier: MIT
// What a program that uses attune looks like: DPO on two pairs whose policy still equals its reference, so the loss is log 2 and the
// gradient of the chosen log-probabilities is -beta sigmoid(0) / 2.
#include <attune/attune.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  const std::vector<float> chosen{-12, -7.5f}, rejected{-14, -9}, ref_chosen = chosen, ref_rejected = rejected;
  std::vector<float> d_chosen(2), d_rejected(2);

  const attune::pairs<float> batch{.chosen = chosen, .rejected = rejected, .ref_chosen = ref_chosen, .ref_rejected = ref_rejected};
  const attune::report r = attune::evaluate(attune::dpo{.beta = 0.1}, batch,
                                            attune::pair_gradients<float>{.chosen = d_chosen, .rejected = d_rejected});

  std::printf("loss %.4f, d loss / d log pi(chosen) %.4f\n", r.loss(), double{d_chosen[0]});
  return std::abs(r.loss() - 0.69314718) < 1e-7 && std::abs(d_chosen[0] + 0.025f) < 1e-7f && d_rejected[1] == -d_chosen[1] ? 0 : 1;
}
