// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/pack.hpp>
#include <attune/core/parameter.hpp>  // validate
#include <attune/core/storage.hpp>
#include <attune/exec/sample_loop.hpp>   // run_samples
#include <attune/exec/token_kernel.hpp>  // run_tokens

#include <cstring>
#include <type_traits>

namespace attune {
namespace detail {
/// The loop over samples of a kind: what it takes, what it sums, and its kernel.
template <class Kind, class T>
struct loop_over {
  using samples = sample_run<Kind, T>;
  using sums = report_sums<T>;
  template <bool WithGradients> using kernel = run_samples<Kind, WithGradients>;
};
template <class T>
struct loop_over<token_kind, T> {
  using samples = token_run<T>;
  using sums = token_sums<T>;
  template <bool WithGradients> using kernel = run_tokens<WithGradients>;
};
}  // namespace detail

/// An objective that is chosen at run time: holds any objective on samples of that kind, for tensors of T (or of 16-bit storage computed in
/// T), and is one itself.
///
///   any_objective<pair_kind, float> objective = name == "dpo" ? any_objective<pair_kind, float>(dpo{.beta = 0.1}) : simpo{};
///   evaluate(objective, batch, gradients);
///
/// One indirect call for some hundred samples, at no loss of speed and with the same bits, and one instantiation of evaluate for all
/// objectives. No allocation: the objective, a small trivially copyable struct, is copied. Its parameters are validated when it is put in (attune::error).
template <class Kind, real T>
class any_objective {
  template <class S>
  using sample = typename Kind::template sample<S>;
  using jet = dual<double, policy_members<Kind>>;
  using loop = detail::loop_over<Kind, T>;
  using samples = typename loop::samples;
  using sums = typename loop::sums;
  static constexpr std::size_t room = 256;

 public:
  template <objective_on<Kind> O>
    requires(!std::same_as<O, any_objective>)
  any_objective(const O& objective) : functions_(&table<O>) {
    static_assert(std::is_trivially_copyable_v<O> && sizeof(O) <= room, "attune: any_objective holds trivially copyable structs of up to 256 bytes");
    validate(objective);
    std::memcpy(memory_, static_cast<const void*>(&objective), sizeof objective);
    if constexpr (std::same_as<Kind, token_kind>) recipe_ = recipe_of(objective);
  }

  double operator()(const sample<double>& x) const { return functions_->on_number(memory_, x); }
  jet operator()(const sample<jet>& x) const { return functions_->on_jet(memory_, x); }
  /// Of a policy-gradient objective: whose ratio it takes, and which mean.
  ratio_form ratio() const requires std::same_as<Kind, token_kind> { return recipe_.ratio; }
  token_reduction reduction() const requires std::same_as<Kind, token_kind> { return recipe_.reduction; }
  /// What evaluate calls for some hundred samples at a time.
  void run(const samples& x, sums& total, bool with_gradients) const {
    (with_gradients ? functions_->with_gradients : functions_->value_only)(memory_, &x, &total);
  }

 private:
  struct functions {
    double (*on_number)(const void*, const sample<double>&);
    jet (*on_jet)(const void*, const sample<jet>&);
    void (*value_only)(const void*, const samples*, sums*);
    void (*with_gradients)(const void*, const samples*, sums*);
  };
  template <class O, class S>
  static S call(const void* objective, const sample<S>& x) {
    return S((*static_cast<const O*>(objective))(x));
  }
  template <class O, bool WithGradients>
  static void run_all(const void* objective, const samples* x, sums* total) {
    detail::run_kernel<native_pack<T>, typename loop::template kernel<WithGradients>>(static_cast<const O*>(objective), x, total);
  }
  template <class O>
  static constexpr functions table{&call<O, double>, &call<O, jet>, &run_all<O, false>, &run_all<O, true>};

  const functions* functions_;
  token_recipe recipe_{};
  alignas(16) unsigned char memory_[room];
};

}  // namespace attune
