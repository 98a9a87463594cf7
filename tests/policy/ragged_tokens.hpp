// SPDX-License-Identifier: MIT
// Tokens of sequences in every layout, for tests.
#pragma once

#include <attune/check/gradient.hpp>
#include <attune/exec/evaluate_tokens.hpp>

#include <limits>
#include <vector>

namespace attune_test {

using namespace attune;

/// Sequences of several lengths, an empty one among them, in any layout.
template <class T>
struct ragged {
  std::vector<std::int64_t> lengths{5, 1, 0, 300, 17, 64};
  std::vector<T> logp, old_logp, ref_logp, entropy, correction, token_advantage, token_weight, advantage;
  std::vector<std::uint8_t> selected;

  static T number(double x) { return T(static_cast<arithmetic<T>>(x)); }
  ragged() {
    attune::detail::sampler random(3);
    for (const std::int64_t length : lengths) {
      advantage.push_back(number(random.uniform(-2, 2)));
      for (std::int64_t t = 0; t < length; ++t) {
        const auto x = attune::detail::random_sample<token_kind>(random);
        logp.push_back(number(x.logp));
        old_logp.push_back(number(x.old_logp));
        ref_logp.push_back(number(x.ref_logp));
        entropy.push_back(number(x.entropy));
        correction.push_back(number(t % 5 == 1 ? 0 : x.correction));
        token_advantage.push_back(number(x.advantage));
        token_weight.push_back(number(t % 7 == 3 ? 0 : random.uniform(0.1, 2)));
        selected.push_back(x.selected > 0);
      }
    }
  }
  std::size_t size() const { return logp.size(); }
};

enum class layout { packed_row, right_padded, left_padded, scattered };

/// The tensors of `ragged` in a layout, with garbage (NaN) wherever no token lies.
template <class T>
struct laid_out {
  std::int64_t rows, columns;
  std::vector<T> logp, old_logp, ref_logp, entropy, correction, token_advantage, token_weight, d_logp, d_entropy;
  std::vector<std::uint8_t> selected, mask;
  std::vector<std::int32_t> offsets;
  std::vector<std::size_t> place;  // of token i of the ragged data

  laid_out(const ragged<T>& data, layout how) {
    const auto count = std::int64_t(data.lengths.size());
    rows = how == layout::packed_row ? 1 : count;
    columns = how == layout::packed_row ? std::int64_t(data.size()) + 3 : how == layout::scattered ? 611 : 301;
    if (how == layout::packed_row) offsets.push_back(2);
    for (std::int64_t s = 0; s < count; ++s) {
      const std::int64_t n = data.lengths[std::size_t(s)];
      for (std::int64_t t = 0; t < n; ++t) {
        const std::int64_t column = how == layout::packed_row ? offsets.back() + t : how == layout::left_padded ? columns - n + t : how == layout::scattered ? 2 * t + t % 2 : t;
        place.push_back(std::size_t((how == layout::packed_row ? 0 : s * columns) + column));
      }
      if (how == layout::packed_row) offsets.push_back(std::int32_t(offsets.back() + n));
    }
    const auto spread = [&](const auto& from, auto& to, auto garbage) {
      to.assign(std::size_t(rows * columns), garbage);
      for (std::size_t i = 0; i < place.size(); ++i) to[place[i]] = from[i];
    };
    const T nan = T(std::numeric_limits<float>::quiet_NaN());
    spread(data.logp, logp, nan);
    spread(data.old_logp, old_logp, nan);
    spread(data.ref_logp, ref_logp, nan);
    spread(data.entropy, entropy, nan);
    spread(data.correction, correction, nan);
    spread(data.token_advantage, token_advantage, nan);
    spread(data.token_weight, token_weight, nan);
    spread(data.selected, selected, std::uint8_t(9));
    spread(std::vector<std::uint8_t>(place.size(), 1), mask, std::uint8_t(0));
    d_logp.assign(logp.size(), nan);
    d_entropy.assign(logp.size(), nan);
  }
  template <class X> auto shaped(X& x) const { return as_view(x.data(), rows, columns); }

  template <class O>
  tokens<T> batch(const O& objective, const ragged<T>& data) const {
    tokens<T> b{.logp = shaped(logp), .old_logp = shaped(old_logp), .ref_logp = shaped(ref_logp), .advantage = data.advantage};
    if (attune::detail::reads_token(objective, "selected")) b.selected = shaped(selected);
    if (attune::detail::reads_token(objective, "entropy")) b.entropy = shaped(entropy);
    if (offsets.empty()) b.mask = shaped(mask);
    else b.offsets = offsets;
    return b;
  }
  template <class O>
  token_gradients<T> gradients(const O& objective) {
    token_gradients<T> g{.logp = shaped(d_logp)};
    if (attune::detail::reads_token(objective, "entropy")) g.entropy = shaped(d_entropy);
    return g;
  }
  std::vector<T> gathered(const std::vector<T>& x) const {
    std::vector<T> result;
    for (std::size_t p : place) result.push_back(x[p]);
    return result;
  }
};

// Every level of the ratio with every mean.
inline constexpr ratio_level levels[] = {ratio_level::token, ratio_level::sequence, ratio_level::sequence_token, ratio_level::sequence_sum};
inline constexpr token_reduction reductions[] = {token_reduction::token_mean, token_reduction::sequence_mean_token_mean, token_reduction::sequence_mean_token_sum,
                                          token_reduction::constant_length, token_reduction::token_sum};

inline token_options options_for(ratio_level level, token_reduction reduction) {
  return {.ratio = level, .reduction = reduction, .constant_length = reduction == token_reduction::constant_length ? 40.0 : 0.0};
}

}  // namespace attune_test
