// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>  // validate
#include <attune/core/storage.hpp>
#include <attune/exec/objective_ref.hpp>

#include <cstring>
#include <type_traits>

namespace attune {

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
  static constexpr std::size_t room = 256;

 public:
  template <objective_on<Kind> O>
    requires(!std::same_as<O, any_objective>)
  any_objective(const O& objective) : functions_(&table<O>) {
    static_assert(std::is_trivially_copyable_v<O> && sizeof(O) <= room, "attune: any_objective holds trivially copyable structs of up to 256 bytes");
    validate(objective);
    std::memcpy(memory_, static_cast<const void*>(&objective), sizeof objective);
    recipe_ = detail::recipe_if_any<Kind>(objective);
  }

  double operator()(const sample<double>& x) const { return functions_->in_loops->on_number(memory_, x); }
  jet operator()(const sample<jet>& x) const { return functions_->on_jet(memory_, x); }
  /// Of a policy-gradient objective: whose ratio it takes, and which mean.
  ratio_form ratio() const requires std::same_as<Kind, token_kind> { return recipe_.ratio; }
  token_reduction reduction() const requires std::same_as<Kind, token_kind> { return recipe_.reduction; }
  /// What evaluate's loops call.
  detail::objective_ref<Kind, T> ref() const { return {memory_, *functions_->in_loops, recipe_}; }

 private:
  struct functions {
    const detail::objective_functions<Kind, T>* in_loops;
    jet (*on_jet)(const void*, const sample<jet>&);
  };
  template <class O>
  static jet on_jet(const void* objective, const sample<jet>& x) {
    return jet((*static_cast<const O*>(objective))(x));
  }
  template <class O>
  static constexpr functions table{&detail::functions_of<Kind, native_pack<T>, O>::table, &on_jet<O>};

  const functions* functions_;
  token_recipe recipe_{};
  alignas(16) unsigned char memory_[room];
};

}  // namespace attune
