// SPDX-License-Identifier: MIT
// Eigen takes memory from malloc itself, so here it is forbidden to while a view is made.
#include <stdexcept>
#define EIGEN_RUNTIME_NO_MALLOC
#define eigen_assert(condition) do { if (!(condition)) throw std::logic_error(#condition); } while (false)

#include <attune/backend/eigen.hpp>
#include <attune/preference/dpo_rw.hpp>
#include <attune/preference/kto.hpp>

#include "backend/same_bits.hpp"

using attune::as_view;
using attune::view;
using attune_test::plain_batch;
using Eigen::Dynamic;

namespace {

class no_malloc {
 public:
  no_malloc() { Eigen::internal::set_is_malloc_allowed(false); }
  ~no_malloc() { Eigen::internal::set_is_malloc_allowed(true); }
};

/// The tensor is seen where it lies: element by element the address that Eigen gives.
template <class X>
void require_matrix(X&& x) {
  const auto seen = [&] { no_malloc guard; return as_view(x); }();
  STATIC_REQUIRE(decltype(seen)::rank == 2);
  REQUIRE(seen.extents() == std::array<std::int64_t, 2>{x.rows(), x.cols()});
  int elsewhere = 0;
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    for (Eigen::Index j = 0; j < x.cols(); ++j) elsewhere += &seen(i, j) != &x.coeffRef(i, j);
  }
  CHECK(elsewhere == 0);
}
template <class X>
void require_vector(X&& x) {
  const auto seen = [&] { no_malloc guard; return as_view(x); }();
  STATIC_REQUIRE(decltype(seen)::rank == 1);
  REQUIRE(seen.extent(0) == x.size());
  int elsewhere = 0;
  for (Eigen::Index i = 0; i < x.size(); ++i) elsewhere += &seen(i) != &x.coeffRef(i);
  CHECK(elsewhere == 0);
}

template <class X>
constexpr bool owning = attune::tensor_traits<std::remove_cvref_t<X>>::owning;

}  // namespace

TEST_CASE("Eigen: the guard against malloc works", "[eigen]") {
  const Eigen::VectorXf x = Eigen::VectorXf::Zero(100);
  const auto copy = [&] { no_malloc guard; return Eigen::VectorXf(x); };
  CHECK_THROWS_AS(copy(), std::logic_error);
}

TEMPLATE_TEST_CASE("Eigen: matrices and arrays of both storage orders", "[eigen]", Eigen::MatrixXf, Eigen::ArrayXXd,
                   (Eigen::Matrix<float, Dynamic, Dynamic, Eigen::RowMajor>), (Eigen::Array<double, 5, 7, Eigen::RowMajor>),
                   (Eigen::Matrix<float, 5, Dynamic>), (Eigen::Matrix<Eigen::bfloat16, Dynamic, 7>), (Eigen::Matrix<Eigen::half, 5, 7>)) {
  TestType x(5, 7);
  require_matrix(x);
  require_matrix(x.block(1, 2, 3, 4));
  require_matrix(x.topRows(2));
  require_matrix(x.rightCols(3));
  require_matrix(x.transpose());
  require_matrix(x.block(1, 2, 3, 4).transpose().block(0, 1, 2, 2));
  require_vector(x.row(3));
  require_vector(x.col(6));
  require_vector(x.row(2).segment(1, 4));
  require_vector(x.col(2).tail(3));
  require_vector(x.col(2).transpose());
  require_vector(x.block(1, 2, 3, 4).row(1));
  const TestType constant = x;
  require_vector(constant.row(1).head(2));
  require_matrix(constant.bottomRows(2));
}

TEMPLATE_TEST_CASE("Eigen: vectors", "[eigen]", Eigen::VectorXf, Eigen::RowVectorXd, Eigen::ArrayXf, (Eigen::Matrix<float, 9, 1>),
                   (Eigen::Matrix<double, 1, Dynamic, Eigen::RowMajor, 1, 16>)) {
  TestType x(9);
  require_vector(x);
  require_vector(x.segment(2, 5));
  require_vector(x.transpose());
  CHECK(as_view(x).stride(0) == 1);
}

TEST_CASE("Eigen: wrappers and diagonals", "[eigen]") {
  Eigen::MatrixXf x(5, 7);
  Eigen::ArrayXXf y(5, 7);
  require_matrix(x.array());
  require_matrix(y.matrix());
  require_vector(x.diagonal());
  require_vector(x.diagonal(2));
  require_vector(x.col(1).array());
  CHECK(as_view(x.diagonal()).stride(0) == 6);
}

TEST_CASE("Eigen: maps and refs of any stride", "[eigen]") {
  std::vector<float> memory(100);
  float* p = memory.data();
  require_vector(Eigen::Map<Eigen::VectorXf>(p, 10));
  require_vector(Eigen::Map<Eigen::RowVectorXf, 0, Eigen::InnerStride<3>>(p, 10));
  require_vector(Eigen::Map<Eigen::VectorXf, 0, Eigen::InnerStride<>>(p, 10, Eigen::InnerStride<>(7)));
  require_matrix(Eigen::Map<Eigen::MatrixXf>(p, 5, 6));
  require_matrix(Eigen::Map<Eigen::MatrixXf, 0, Eigen::OuterStride<>>(p, 5, 6, Eigen::OuterStride<>(9)));
  using strided = Eigen::Stride<Dynamic, Dynamic>;
  require_matrix(Eigen::Map<Eigen::MatrixXf, 0, strided>(p, 5, 6, strided(16, 3)));
  require_matrix(Eigen::Map<Eigen::Array<float, Dynamic, Dynamic, Eigen::RowMajor>, 0, strided>(p, 5, 6, strided(16, 3)));

  Eigen::MatrixXf x(5, 7);
  require_matrix(Eigen::Ref<Eigen::MatrixXf>(x.block(1, 1, 3, 3)));
  require_vector(Eigen::Ref<Eigen::VectorXf>(x.col(3)));
  require_vector(Eigen::Ref<Eigen::RowVectorXf, 0, Eigen::InnerStride<>>(x.row(3)));
  const Eigen::Ref<const Eigen::VectorXf> read_only(x.col(2));
  CHECK(as_view(read_only).data() == &x(0, 2));

  const auto map = as_view(Eigen::Map<Eigen::MatrixXf, 0, Eigen::OuterStride<>>(p, 5, 6, Eigen::OuterStride<>(9)));
  CHECK(map.data() == p);
  CHECK(map.strides() == std::array<std::int64_t, 2>{1, 9});
}

TEST_CASE("Eigen: negative and zero strides", "[eigen]") {
  float memory[12] = {};
  using inner = Eigen::InnerStride<>;
  const auto backwards = as_view(Eigen::Map<Eigen::VectorXf, 0, inner>(memory + 11, 12, inner(-1)));
  CHECK(&backwards(11) == &memory[0]);
  using outer = Eigen::OuterStride<>;
  const auto repeated = as_view(Eigen::Map<const Eigen::MatrixXf, 0, outer>(memory, 4, 6, outer(0)));
  CHECK(repeated.extents() == std::array<std::int64_t, 2>{4, 6});
  CHECK(repeated.strides() == std::array<std::int64_t, 2>{1, 0});
}

TEST_CASE("Eigen: const-ness, rank and ownership are known at compile time", "[eigen]") {
  Eigen::MatrixXf x(2, 2);
  const Eigen::MatrixXf& constant = x;
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(x)), view<float, 2>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(constant)), view<const float, 2>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(x.col(0))), view<float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(constant.col(0))), view<const float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(Eigen::Map<const Eigen::VectorXd>(nullptr, 0))), view<const double>>);
  STATIC_REQUIRE(owning<Eigen::MatrixXf>);
  STATIC_REQUIRE(owning<Eigen::Array4d>);
  STATIC_REQUIRE(owning<Eigen::Ref<const Eigen::VectorXf>>);
  STATIC_REQUIRE_FALSE(owning<Eigen::Ref<Eigen::VectorXf>>);
  STATIC_REQUIRE_FALSE(owning<Eigen::Map<Eigen::VectorXf>>);
  STATIC_REQUIRE_FALSE(owning<decltype(x.col(0))>);
  STATIC_REQUIRE_FALSE(owning<decltype(constant.block(0, 0, 1, 1))>);
  STATIC_REQUIRE_FALSE(attune::tensor<Eigen::DiagonalMatrix<float, 3>>);
  STATIC_REQUIRE(attune::storage<Eigen::bfloat16>);
  STATIC_REQUIRE(attune::storage<Eigen::half>);
}

TEST_CASE("Eigen: a tensor without elements is not absent", "[eigen]") {
  Eigen::VectorXf x;
  Eigen::MatrixXf y(0, 3);
  CHECK_FALSE(as_view(x).absent());
  CHECK_FALSE(as_view(y).absent());
  CHECK(as_view(y).size() == 0);
}

TEMPLATE_TEST_CASE("Eigen: objectives have the bits that they have on std::vector", "[eigen]", float, double, Eigen::bfloat16,
                   Eigen::half) {
  using T = TestType;
  const plain_batch<T> plain;
  constexpr int size = plain_batch<T>::size;
  const auto expected = attune_test::evaluate_plain(attune::dpo{.beta = 0.3}, plain.view());
  const auto check = [&](auto& logp, auto& gradient) {  // [4, B] and [2, B]
    for (int i = 0; i < size; ++i) {
      const std::size_t k = std::size_t(i);
      logp(0, i) = plain.chosen[k];
      logp(1, i) = plain.rejected[k];
      logp(2, i) = plain.ref_chosen[k];
      logp(3, i) = plain.ref_rejected[k];
    }
    const attune::pairs<T> batch{.chosen = logp.row(0), .rejected = logp.row(1), .ref_chosen = logp.row(2), .ref_rejected = logp.row(3)};
    attune_test::require_same_bits(attune::dpo{.beta = 0.3}, batch, {.chosen = gradient.row(0), .rejected = gradient.row(1)}, expected);
  };
  Eigen::Matrix<T, Dynamic, Dynamic> columns(4, size), d_columns(2, size);
  Eigen::Array<T, Dynamic, Dynamic, Eigen::RowMajor> rows(4, size), d_rows(2, size);
  check(columns, d_columns);
  check(rows, d_rows);
  check(columns, d_rows);

  std::vector<T> memory(8 * size);  // [B, 8] in the trainer's memory, of which four columns are seen
  Eigen::Map<Eigen::Matrix<T, 4, Dynamic>, 0, Eigen::OuterStride<8>> mapped(memory.data() + 3, 4, size);
  check(mapped, d_columns);
}

TEST_CASE("Eigen: lengths, weights and masks", "[eigen]") {
  const plain_batch<float> plain;
  attune::pairs<float> on_vectors{.chosen = plain.chosen, .rejected = plain.rejected, .chosen_length = plain.chosen_length,
                                  .rejected_length = plain.rejected_length, .weight = plain.weight, .mask = plain.mask};
  const auto expected = attune_test::evaluate_plain(attune::simpo{}, on_vectors);
  CHECK(expected.report.count < plain.size);

  Eigen::Matrix<std::int64_t, Dynamic, 2> length(plain.size, 2);
  Eigen::Matrix<float, Dynamic, 3, Eigen::RowMajor> data(plain.size, 3);
  Eigen::Array<std::uint8_t, Dynamic, 1> mask(plain.size);
  for (int i = 0; i < plain.size; ++i) {
    const std::size_t k = std::size_t(i);
    length.row(i) << plain.chosen_length[k], plain.rejected_length[k];
    data.row(i) << plain.chosen[k], plain.rejected[k], plain.weight[k];
    mask(i) = plain.mask[k];
  }
  Eigen::ArrayX2f gradient = Eigen::ArrayX2f::Constant(plain.size, 2, 99);
  attune_test::require_same_bits(attune::simpo{},
                                 attune::pairs<float>{.chosen = data.col(0), .rejected = data.col(1), .chosen_length = length.col(0),
                                                      .rejected_length = length.col(1), .weight = data.col(2), .mask = mask},
                                 {.chosen = gradient.col(0), .rejected = gradient.col(1)}, expected);
}

TEMPLATE_TEST_CASE("Eigen: single completions and groups have the bits that they have on std::vector, without allocation", "[eigen]", float, double,
                   Eigen::bfloat16, Eigen::half) {
  using T = TestType;
  const plain_batch<T> plain;
  constexpr int size = plain_batch<T>::size;
  const std::vector<std::uint8_t> label = plain.mask;
  std::vector<T> d_logp(size), reward = plain.rejected;
  Eigen::Matrix<T, Dynamic, 4, Eigen::RowMajor> data(size, 4);
  for (int i = 0; i < size; ++i) data.row(i) << plain.chosen[std::size_t(i)], plain.ref_chosen[std::size_t(i)], reward[std::size_t(i)], T(0.0f);

  const attune::kto kto{.kl = 0.25};
  const auto on_vectors = attune::evaluate(kto, attune::singles<T>{.logp = plain.chosen, .ref_logp = plain.ref_chosen, .label = label}, {.logp = d_logp});
  const attune::singles<T> singles{.logp = data.col(0), .ref_logp = data.col(1), .label = label};
  const attune::single_gradients<T> d_singles{.logp = data.col(3)};
  const auto before = attune_test::allocations();
  const auto on_eigen = attune::evaluate(kto, singles, d_singles);
  CHECK(attune_test::allocations() == before);
  CHECK(on_eigen.loss_sum == on_vectors.loss_sum);
  for (int i = 0; i < size; ++i) CHECK(static_cast<float>(data(i, 3)) == static_cast<float>(d_logp[std::size_t(i)]));

  const attune::dpo_rw dpo_rw{.temperature = 4};
  const auto grouped = attune::evaluate(dpo_rw, attune::groups<T>{.logp = plain.chosen, .ref_logp = plain.ref_chosen, .reward = reward, .size = size},
                                        {.logp = d_logp});
  const attune::groups<T> groups{.logp = data.col(0), .ref_logp = data.col(1), .reward = data.col(2), .size = size};
  const attune::group_gradients<T> d_groups{.logp = data.col(3)};
  const auto then = attune_test::allocations();
  const auto on_rows = attune::evaluate(dpo_rw, groups, d_groups);
  CHECK(attune_test::allocations() == then);
  CHECK(on_rows.loss_sum == grouped.loss_sum);
  for (int i = 0; i < size; ++i) CHECK(static_cast<float>(data(i, 3)) == static_cast<float>(d_logp[std::size_t(i)]));
}

namespace {
template <int Order>
void require_tokens() {
  using matrix = Eigen::Matrix<float, Dynamic, Dynamic, Order>;
  attune_test::require_same_tokens([](int rows, int columns, const std::vector<float>& numbers) {
    return matrix(Eigen::Map<const Eigen::Matrix<float, Dynamic, Dynamic, Eigen::RowMajor>>(numbers.data(), rows, columns));
  });
}
}  // namespace

TEST_CASE("tokens in Eigen matrices of either order give the bits of plain memory") {
  require_tokens<Eigen::RowMajor>();
  require_tokens<Eigen::ColMajor>();
}
