// SPDX-License-Identifier: MIT
// A C++17 program that knows nothing of attune: it calls the bridge of docs/trainers.md, whose file is C++20.
#include <cmath>
#include <cstdio>

static_assert(__cplusplus < 202002L, "this file stands for a C or C++17 trainer");

extern "C" float dpo_step(int pairs, const float* logps, const float* ref_logps, float beta, float* d_logps);

int main() {
  const float logps[] = {-5, -8, -7, -9}, reference[] = {-5, -8, -7, -9};  // two pairs, chosen first; the policy is the reference
  float d_logps[4];
  const float loss = dpo_step(2, logps, reference, 0.1f, d_logps);
  std::printf("loss %.7f, d_logps %.4f %.4f\n", double(loss), double(d_logps[0]), double(d_logps[2]));
  return std::fabs(loss - std::log(2.0f)) < 1e-6f && d_logps[0] == -0.025f && d_logps[2] == 0.025f ? 0 : 1;
}
