// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace attune::correction {

/// What a correction did to a batch. Reports of parts (micro-batches, ranks) add up to that of the whole.
struct report {
  std::int64_t tokens = 0;              ///< active ones
  std::int64_t truncated = 0;           ///< of these whose ratio was held at an end of the range
  std::int64_t masked = 0;              ///< of these with multiplier 0, by their ratio or with their sequence
  std::int64_t non_finite = 0;          ///< of these with a multiplier that is NaN or infinite
  std::int64_t sequences = 0;           ///< with active tokens
  std::int64_t masked_sequences = 0;    ///< of these masked as a whole, by a criterion of the sequence
  double sum = 0;                       ///< of the multipliers
  double squares = 0;                   ///< of their squares
  double largest = 0;                   ///< multiplier

  /// Mean multiplier of the active tokens; 0 of none. Systems that normalise the weights of a batch divide its loss by this.
  double mean() const { return tokens > 0 ? sum / static_cast<double>(tokens) : 0; }
  /// sum^2 / squares: how many tokens of the policy these are worth; 0 for none.
  double effective_tokens() const { return squares > 0 ? sum * (sum / squares) : 0; }

  report& operator+=(const report& other) {
    tokens += other.tokens;
    truncated += other.truncated;
    masked += other.masked;
    non_finite += other.non_finite;
    sequences += other.sequences;
    masked_sequences += other.masked_sequences;
    sum += other.sum;
    squares += other.squares;
    largest = other.largest > largest ? other.largest : largest;
    return *this;
  }
  friend report operator+(report a, const report& b) { return a += b; }
};

}  // namespace attune::correction
