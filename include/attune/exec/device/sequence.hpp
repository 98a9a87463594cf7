// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/device/policy.hpp>
#include <attune/exec/device/row_arguments.hpp>
#include <attune/exec/device/sequence_sums.hpp>
#include <attune/rows/sequence.hpp>

namespace attune {
namespace detail {

template <class X, int Rank>
concept any_real_tensor = any_tensor<X, Rank> &&(seen_as<X, Rank>::type::rank == Rank) && real<element_of<X, Rank>>;

template <class T> token_elements<T> tokens_of(const view<T, 2, device>& x) { return {x.data(), x.stride(0), x.stride(1)}; }
template <class T> token_elements<T> tokens_of(const view<T, 1, device>& x) { return {x.data(), 0, x.stride(0)}; }

/// Throws unless `given`, if it is there, has the extents of the tokens.
template <class T, class A, int Rank> void require_like_tokens(const view<T, Rank, device>& given, const view<A, Rank, device>& tokens, const char* name) {
  for (int r = 0; r < Rank && !given.absent(); ++r) require_extent(given.extent(r), tokens.extent(r), name, "the tokens");
}
inline std::int64_t require_offsets(const auto& offsets) {
  if (offsets.extent(0) < 1) throw error("attune: offsets has 0 elements; expected one more than there are sequences");
  return offsets.extent(0) - 1;
}

template <real A, int Rank>
void sequence_logps_on_device(const auto& policy, const view<const A, Rank, device>& tokens, const label_reader& offsets,
                              const view<const std::uint8_t, Rank, device>& mask, const view<A, 1, device>& logps, const view<A, 1, device>& lengths,
                              const view<const A, Rank, device>& weights, const view<row_report, 1, device>& given_report, std::int64_t sequences) {
  require_like_tokens(mask, tokens, "mask");
  require_like_tokens(weights, tokens, "token_weights");
  require_extent(logps.extent(0), sequences, "logps", "the number of sequences");
  if (!lengths.absent()) require_extent(lengths.extent(0), sequences, "lengths", "the number of sequences");
  require_distinct(logps, "logps");
  require_distinct(lengths, "lengths");
  const device_report report{require_report(given_report)};
  if (report.to != nullptr) launch(policy, 1, begin_report{report, sequences});
  launch(policy, sequences, sequence_sums<A>{tokens_of(tokens), tokens_of(mask), tokens_of(weights), {offsets, tokens.extent(Rank - 1)}, strided_of(logps),
                                             strided_of(lengths), report});
}
template <real A, int Rank>
void require_spread(const view<A, Rank, device>& tokens, const view<const std::uint8_t, Rank, device>& mask, const view<const A, Rank, device>& weights) {
  require_like_tokens(mask, tokens, "mask");
  require_like_tokens(weights, tokens, "token_weights");
  require_distinct(tokens, "coefficients");
}

}  // namespace detail

/// Sums over the tokens of sequences on a device: see sequence_logps of the host (rows/sequence.hpp), whose formula, conventions and errors these are.
/// token_logps [B, T], with mask and token_weights of the same shape; or packed: token_logps [N], of which sequence b has those from offsets[b] to before
/// offsets[b + 1], offsets [B + 1] (int32 or int64). Both give the same bits. An offset that leads out of the tokens is never followed: the sum is NaN, and counted.
/// report [1], optional: written, which takes one more launch.
/// Cost  one launch, of a thread a sequence; no allocation, copy or wait but the policy's own.
template <detail::device_policy Policy, detail::any_real_tensor<2> Tokens>
void sequence_logps(const Policy& policy, Tokens&& token_logps, view<const std::uint8_t, 2, device> mask, view<detail::element_of<Tokens, 2>, 1, device> logps,
                    view<detail::element_of<Tokens, 2>, 1, device> lengths = {}, view<const detail::element_of<Tokens, 2>, 2, device> token_weights = {},
                    view<row_report, 1, device> report = {}) {
  const auto tokens = detail::readable_on_device<2>(static_cast<Tokens&&>(token_logps));
  detail::sequence_logps_on_device<detail::element_of<Tokens, 2>, 2>(policy, tokens, {}, mask, logps, lengths, token_weights, report, tokens.extent(0));
}
template <detail::device_policy Policy, detail::any_real_tensor<1> Tokens, detail::any_labels Offsets>
void sequence_logps(const Policy& policy, Tokens&& token_logps, Offsets&& offsets, view<detail::element_of<Tokens, 1>, 1, device> logps,
                    view<detail::element_of<Tokens, 1>, 1, device> lengths = {}, view<const std::uint8_t, 1, device> mask = {},
                    view<const detail::element_of<Tokens, 1>, 1, device> token_weights = {}, view<row_report, 1, device> report = {}) {
  const auto tokens = detail::readable_on_device<1>(static_cast<Tokens&&>(token_logps));
  const auto places = detail::readable_on_device<1>(static_cast<Offsets&&>(offsets));
  detail::sequence_logps_on_device<detail::element_of<Tokens, 1>, 1>(policy, tokens, detail::labels_of(places), mask, logps, lengths, token_weights, report,
                                                                     detail::require_offsets(places));
}

/// The transpose of sequence_logps on a device, in one launch. Where its result would only go into logits_gradient, and there are no weights of tokens, that
/// takes sequence_coefficients itself. Tokens that belong to no packed sequence are not written.
template <detail::device_policy Policy, detail::any_real_tensor<1> Coefficients>
void token_coefficients(const Policy& policy, Coefficients&& sequence_coefficients, view<const std::uint8_t, 2, device> mask,
                        view<detail::element_of<Coefficients, 1>, 2, device> coefficients,
                        view<const detail::element_of<Coefficients, 1>, 2, device> token_weights = {}) {
  using A = detail::element_of<Coefficients, 1>;
  const auto sequences = detail::readable_on_device<1>(static_cast<Coefficients&&>(sequence_coefficients));
  detail::require_extent(coefficients.extent(0), sequences.extent(0), "coefficients (in rows)", "the sequence coefficients");
  detail::require_spread(coefficients, mask, token_weights);
  const detail::spread_coefficients<A> each{detail::strided_of(sequences), detail::tokens_of(mask), detail::tokens_of(token_weights),
                                            {{}, coefficients.extent(1)}, detail::tokens_of(coefficients)};
  launch(policy, coefficients.size(), detail::spread_coefficients_of_tokens<A>{each});
}
template <detail::device_policy Policy, detail::any_real_tensor<1> Coefficients, detail::any_labels Offsets>
void token_coefficients(const Policy& policy, Coefficients&& sequence_coefficients, Offsets&& offsets,
                        view<detail::element_of<Coefficients, 1>, 1, device> coefficients, view<const std::uint8_t, 1, device> mask = {},
                        view<const detail::element_of<Coefficients, 1>, 1, device> token_weights = {}) {
  using A = detail::element_of<Coefficients, 1>;
  const auto sequences = detail::readable_on_device<1>(static_cast<Coefficients&&>(sequence_coefficients));
  const auto places = detail::readable_on_device<1>(static_cast<Offsets&&>(offsets));
  detail::require_extent(sequences.extent(0), detail::require_offsets(places), "sequence_coefficients", "the number of sequences");
  detail::require_spread(coefficients, mask, token_weights);
  launch(policy, sequences.extent(0),
                 detail::spread_coefficients<A>{detail::strided_of(sequences), detail::tokens_of(mask), detail::tokens_of(token_weights),
                                                {detail::labels_of(places), coefficients.extent(0)}, detail::tokens_of(coefficients)});
}

}  // namespace attune
