// SPDX-License-Identifier: MIT
#include <attune/backend/eigen.hpp>

#include "backend/products.hpp"

using namespace attune_test;

TEST_CASE("eigen_gemm multiplies matrices in every layout, and adds them up", "[eigen]") {
  check_products<float>(attune::eigen_gemm{});
  check_products<double>(attune::eigen_gemm{});
}
TEST_CASE("eigen_gemm refuses what it cannot do", "[eigen]") { check_refusals(attune::eigen_gemm{}); }
TEST_CASE("eigen_gemm carries the LM head", "[eigen]") {
  check_lm_head<float>(attune::eigen_gemm{});
  check_lm_head<double>(attune::eigen_gemm{});
  STATIC_REQUIRE(attune::matrix_product<attune::eigen_gemm, float>);
  STATIC_REQUIRE_FALSE(attune::matrix_product<attune::eigen_gemm, attune::bfloat16>);
}

TEST_CASE("Eigen: the LM head takes Eigen's matrices in both storage orders", "[eigen]") {
  Eigen::MatrixXf hidden = Eigen::MatrixXf::Random(20, 8), d_hidden(20, 8), weight = Eigen::MatrixXf::Random(30, 8), d_weight = Eigen::MatrixXf::Zero(30, 8);
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> logits(6, 30);
  Eigen::VectorXf logps(20);
  const auto targets = labels(20, 30, 1);
  const auto nll = [](std::int64_t, float) { return -1 / 20.0f; };
  attune::lm_head_fused(attune::eigen_gemm{}, hidden, weight, targets, nll, logps, {.hidden = d_hidden, .weight = d_weight}, {.logits = logits});
  const Eigen::MatrixXd z = hidden.cast<double>() * weight.cast<double>().transpose();
  Eigen::MatrixXd g = z.array().exp();
  for (int n = 0; n < 20; ++n) {
    const int y = targets[std::size_t(n)];
    g.row(n) /= g.row(n).sum();
    CHECK(logps(n) == Approx(std::log(g(n, y))).epsilon(1e-5));
    g(n, y) -= 1;
  }
  g /= 20;
  CHECK((d_hidden.cast<double>() - g * weight.cast<double>()).cwiseAbs().maxCoeff() < 1e-6);
  CHECK((d_weight.cast<double>() - g.transpose() * hidden.cast<double>()).cwiseAbs().maxCoeff() < 1e-6);
}
