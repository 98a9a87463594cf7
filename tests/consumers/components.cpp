// SPDX-License-Identifier: MIT
// The same on tensors of other libraries, whose headers and targets come with the components that were asked for.
#include <attune/attune.hpp>
#ifdef WITH_EIGEN
#include <attune/backend/eigen.hpp>
#endif
#ifdef WITH_CBLAS
#include <attune/backend/cblas.hpp>
#endif
#ifdef WITH_CUBLAS
#include <attune/backend/cublas.hpp>
#endif
#ifdef WITH_DLPACK
#include <attune/backend/dlpack.hpp>
#endif
#ifdef WITH_XTENSOR
#include <attune/backend/xtensor.hpp>

#include <xtensor/xtensor.hpp>
#endif

#include <cmath>

template <class Tensor>
bool loss_is_log_2(const Tensor& logp) {
  const attune::pairs<double> batch{.chosen = logp, .rejected = logp, .ref_chosen = logp, .ref_rejected = logp};
  return std::abs(attune::evaluate(attune::dpo{}, batch).loss() - 0.69314718) < 1e-8;
}

int main() {
  bool right = true;
#ifdef WITH_EIGEN
  right = right && loss_is_log_2(Eigen::VectorXd(Eigen::VectorXd::LinSpaced(5, -9, -1)));
#endif
#ifdef WITH_XTENSOR
  right = right && loss_is_log_2(xt::xtensor<double, 1>{-9, -5, -1});
#endif
#ifdef WITH_DLPACK
  const double logp[] = {-9, -5, -1};
  auto lent = attune::to_dlpack(attune::as_view(logp, 3));
  right = right && loss_is_log_2(lent.tensor());
#endif
#ifdef WITH_CBLAS
  const double a[] = {1, 2}, b[] = {3, 4};
  double c = 0;
  attune::cblas_gemm{}(attune::as_view(&c, 1, 1), attune::as_view(a, 1, 2), attune::as_view(b, 2, 1), false);
  right = right && c == 11;
#endif
#ifdef WITH_CUBLAS
  try {  // there need not be a GPU: cuBLAS is there, and refuses a handle that is none
    const attune::view<float, 2, attune::device> one(nullptr, {1, 1});
    attune::cublas_gemm{nullptr}(one, attune::view<const float, 2, attune::device>(one), attune::view<const float, 2, attune::device>(one), false);
    right = false;
  } catch (const attune::error&) {
  }
#endif
  return right ? 0 : 1;
}
