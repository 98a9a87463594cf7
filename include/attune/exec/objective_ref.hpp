// SPDX-License-Identifier: MIT
// An objective as evaluate's loops know it: a few functions, behind pointers. So the loops, the checks and the layouts are compiled once for all
// objectives, and an objective costs the compiler only its kernels. An indirect call for some hundred samples costs no time.
#pragma once

#include <attune/exec/sample_loop.hpp>   // run_samples
#include <attune/exec/token_kernel.hpp>  // run_tokens

namespace attune::detail {

/// The loop over samples of a kind: what it takes, what it sums, and its kernel.
template <class Kind, class R>
struct loop_over {
  using samples = sample_run<Kind, R>;
  using sums = report_sums<R>;
  template <bool WithGradients> using kernel = run_samples<Kind, WithGradients>;
};
template <class R>
struct loop_over<token_kind, R> {
  using samples = token_run<R>;
  using sums = token_sums<R>;
  template <bool WithGradients> using kernel = run_tokens<WithGradients>;
};

template <class Kind, class R>
struct objective_functions {
  using run = void (*)(const void* objective, const typename loop_over<Kind, R>::samples*, typename loop_over<Kind, R>::sums*);
  double (*on_number)(const void* objective, const typename Kind::template sample<double>&);
  run value_only, with_gradients;
};

/// Those of O, with kernels for P and the instruction sets of the machine.
template <class Kind, class P, class O>
struct functions_of {
  using loop = loop_over<Kind, lane_of<P>>;
  static double on_number(const void* objective, const typename Kind::template sample<double>& x) { return (*static_cast<const O*>(objective))(x); }
  template <bool WithGradients>
  static void run(const void* objective, const typename loop::samples* x, typename loop::sums* total) {
    run_kernel<P, typename loop::template kernel<WithGradients>>(static_cast<const O*>(objective), x, total);
  }
  static constexpr objective_functions<Kind, lane_of<P>> table{&on_number, &run<false>, &run<true>};
};

/// Refers to an objective, which must outlive it.
template <class Kind, class R>
class objective_ref {
 public:
  objective_ref(const void* objective, const objective_functions<Kind, R>& functions, const token_recipe& recipe)
      : objective_(objective), functions_(&functions), recipe_(recipe) {}

  double operator()(const typename Kind::template sample<double>& x) const { return functions_->on_number(objective_, x); }
  /// Of a policy-gradient objective: whose ratio it takes, and which mean.
  ratio_form ratio() const requires std::same_as<Kind, token_kind> { return recipe_.ratio; }
  token_reduction reduction() const requires std::same_as<Kind, token_kind> { return recipe_.reduction; }
  void run(const typename loop_over<Kind, R>::samples& x, typename loop_over<Kind, R>::sums& total, bool with_gradients) const {
    (with_gradients ? functions_->with_gradients : functions_->value_only)(objective_, &x, &total);
  }

 private:
  const void* objective_;
  const objective_functions<Kind, R>* functions_;
  token_recipe recipe_;
};

template <class Kind, class O>
token_recipe recipe_if_any(const O& objective) {
  if constexpr (std::same_as<Kind, token_kind>) return attune::recipe_of(objective);
  else return {};
}

/// any_objective is such a table already; an objective of yours may have a ref() of its own.
template <class Kind, class P, class O>
objective_ref<Kind, lane_of<P>> refer_to(const O& objective) {
  if constexpr (requires { { objective.ref() } -> std::same_as<objective_ref<Kind, lane_of<P>>>; }) return objective.ref();
  else return {&objective, functions_of<Kind, P, O>::table, recipe_if_any<Kind>(objective)};
}

}  // namespace attune::detail
