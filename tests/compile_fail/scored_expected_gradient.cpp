// SPDX-License-Identifier: MIT
// expect: scored takes an estimator whose slope is the derivative of its value
#include <attune/policy/kl/combinations.hpp>

#if ATTUNE_MUST_FAIL
using inner = attune::kl::straight_through<attune::kl::k3, attune::kl::k2>;
#else
using inner = attune::kl::clipped<attune::kl::k3>;
#endif

attune::kl::scored<inner> estimator;
