// SPDX-License-Identifier: MIT
// The model over a batch: rows in parallel, logits [B, T, Vp] in one buffer as trainers keep them.
#pragma once

#include "data.hpp"
#include "model.hpp"
#include "random.hpp"

#include <attune/exec/policy.hpp>  // threads, run_chunks

#include <stdexcept>

namespace align {

/// Logits and gradients of a batch. Every row adds to a gradient of its own, and these are added in row order: so the sum has the same
/// bits for any number of threads. Parameters belong to the caller, who may have several sets (policy, reference).
template <class Real> class network {
 public:
  network(const shape& s, std::size_t max_rows, int threads)
      : shape_(s), tensors_(tensors(s)), threads_{threads}, rows_(max_rows, activations<Real>(s)), row_gradients_(max_rows * count()),
        logits_(max_rows * s.context * s.padded) {}

  const shape& dimensions() const { return shape_; }
  std::size_t count() const { return tensors_.back().offset + tensors_.back().size; }
  std::size_t max_rows() const { return rows_.size(); }
  attune::threads threads() const { return threads_; }
  Real* logits() { return logits_.data(); }

  /// logits[B, T, Vp] of the positions in use; the others keep what was there before.
  void forward(const std::vector<Real>& parameters, const batch& b) {
    check(b);
    const weights<const Real> w(tensors_, parameters.data());
    for_each_row(b, [&](std::size_t row) {
      const std::size_t start = row * b.length;
      model_forward(shape_, w, rows_[row], &b.tokens[start], b.used[row], logits_.data() + start * shape_.padded);
    });
  }

  /// A token that has been added to a row of the last forward pass, at that position of its sequence.
  struct added_token {
    std::size_t row, position;
    std::int32_t token;
  };
  /// next_logits(row) [Vp] of what follows each of these tokens, at the cost of one position. Logits of the forward pass are overwritten.
  void forward_next(const std::vector<Real>& parameters, const std::vector<added_token>& added) {
    const weights<const Real> w(tensors_, parameters.data());
    attune::run_chunks(threads_, int(added.size()), [&](int i) {
      const added_token& x = added[std::size_t(i)];
      model_next(shape_, w, rows_[x.row], x.token, x.position, logits_.data() + x.row * shape_.padded);
    });
  }
  const Real* next_logits(std::size_t row) const { return logits_.data() + row * shape_.padded; }

  /// Adds the gradients of the last forward pass, given d loss / d logits in the place of the logits.
  void backward(const std::vector<Real>& parameters, const batch& b) {
    const weights<const Real> w(tensors_, parameters.data());
    for_each_row(b, [&](std::size_t row) {
      const std::size_t start = row * b.length;
      const weights<Real> d(tensors_, row_gradients_.data() + row * count());
      model_backward(shape_, w, d, rows_[row], &b.tokens[start], b.used[row], logits_.data() + start * shape_.padded);
    });
  }

  /// The sum of what was added since the last call, which is then forgotten.
  std::vector<Real> take_gradient() {
    std::vector<Real> sum(count());
    for (std::size_t row = 0; row < rows_.size(); ++row) add(sum.data(), row_gradients_.data() + row * count(), count());
    std::fill(row_gradients_.begin(), row_gradients_.end(), Real(0));
    return sum;
  }

 private:
  void check(const batch& b) const {
    if (b.rows > rows_.size() || b.length > shape_.context)
      throw std::invalid_argument("the batch is larger than the network was built for");
  }
  template <class Work> void for_each_row(const batch& b, Work work) {
    attune::run_chunks(threads_, int(b.rows), [&](int row) { work(std::size_t(row)); });
  }

  shape shape_;
  std::vector<tensor> tensors_;
  attune::threads threads_;
  std::vector<activations<Real>> rows_;
  std::vector<Real> row_gradients_;  // [B, parameters]
  std::vector<Real> logits_;         // [B, T, Vp], reused as d loss / d logits
};

/// Normal numbers of each tensor's scale.
template <class Real> std::vector<Real> initial_parameters(const shape& s, std::uint64_t seed) {
  random_source random(seed, 2);
  std::vector<Real> parameters;
  for (const tensor& t : tensors(s)) {
    for (std::size_t i = 0; i < t.size; ++i) parameters.push_back(t.scale < 0 ? Real(1) : Real(t.scale) * Real(random.normal()));
  }
  return parameters;
}

}  // namespace align
