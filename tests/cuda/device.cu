// SPDX-License-Identifier: MIT
// The same bodies on the device as on the host: every unit of the catalogue, with its derivatives by (nested) duals, runs in a kernel, in
// float and double, and agrees with the host to rounding. Without a GPU the program has been compiled and linked; it then says so and
// exits with 77.
#include <attune/attune.hpp>

#include <cstdio>
#include <vector>

namespace {

/// Value, first derivatives and (of scalar functions) second derivative of one function at one point.
template <class T>
struct jet {
  T value, slope[2];
};

/// A function of one number: f, f' and f'' by nested duals.
template <class T, class F>
ATTUNE_FN jet<T> jet_of(const F& f, T x) {
  using D = attune::dual<T, 1>;
  using DD = attune::dual<D, 1>;
  DD input(D::variable(x, 0));
  input.grad[0] = D(T(1));
  const DD y = f(input);
  return {y.value.value, {y.value.grad[0], y.grad[0].grad[0]}};
}

/// A pair objective at log-ratios (x, -x/2): the loss and its derivatives by the two log-probabilities.
template <class T, class F>
ATTUNE_FN jet<T> jet_of_pair(const F& objective, T x) {
  using D = attune::dual<T, 2>;
  attune::detailed_pair<D> sample;
  sample.chosen = {D::variable(x - T(12), 0), T(-12), T(6), T(0.75)};
  sample.rejected = {D::variable(-x / T(2) - T(14), 1), T(-14), T(5), T(0.25)};
  sample.chosen_kl = D(T(2));
  sample.rejected_kl = D(T(3));
  sample.target_logp = D(T(-9));
  sample.target_length = T(4);
  const D loss = objective(sample);
  return {loss.value, {loss.grad[0], loss.grad[1]}};
}
/// An objective on single completions at log-ratio x, undesirable left of 0: the loss and its derivative.
template <class T, class F>
ATTUNE_FN jet<T> jet_of_single(const F& objective, T x) {
  using D = attune::dual<T, 1>;
  const attune::single<D> sample{{D::variable(x - T(12), 0), T(-12), T(6), T(0.75)}, x < T(0) ? T(-1) : T(1)};
  const D loss = objective(sample);
  return {loss.value, {loss.grad[0], T(0)}};
}

/// A policy-gradient objective on a token whose ratio is e^x, its advantage of either sign: the loss and its derivatives by log pi and log-ratio.
template <class T, class F>
ATTUNE_FN jet<T> jet_of_token(const F& objective, T x) {
  using D = attune::dual<T, 2>;
  attune::token<D> sample;
  sample.old_logp = T(-1.25);
  sample.logp = D::variable(x < T(1) ? x - T(1.25) : T(-0.25), 0);
  sample.log_ratio = D::variable(x, 1);
  sample.ref_logp = T(-1.5);
  sample.advantage = x * x < T(4) ? T(0.75) : T(-0.75);
  sample.selected = x < T(3) ? T(0) : T(1);
  const D loss = objective(sample);
  return {loss.value, {loss.grad[0], loss.grad[1]}};
}
/// A critic's loss at V = x.
template <class T, class F>
ATTUNE_FN jet<T> jet_of_value(const F& objective, T x) {
  using D = attune::dual<T, 1>;
  const attune::value_estimate<D> sample{D::variable(x, 0), T(0.5), T(1)};
  const D loss = objective(sample);
  return {loss.value, {loss.grad[0], T(0)}};
}

template <class F>
struct on_number {
  F f;
  template <class T> ATTUNE_FN jet<T> operator()(T x) const { return jet_of(f, x); }
};
template <class F>
struct on_pair {
  F objective;
  template <class T> ATTUNE_FN jet<T> operator()(T x) const { return jet_of_pair(objective, x); }
};
template <class F>
struct on_single {
  F objective;
  template <class T> ATTUNE_FN jet<T> operator()(T x) const { return jet_of_single(objective, x); }
};
template <class F>
struct on_token {
  F objective;
  template <class T> ATTUNE_FN jet<T> operator()(T x) const { return jet_of_token(objective, x); }
};
template <class F>
struct on_value {
  F objective;
  template <class T> ATTUNE_FN jet<T> operator()(T x) const { return jet_of_value(objective, x); }
};
/// A scalar unit as a function: value through attune::apply, so that the derivative is the unit's slope.
template <class Unit>
struct unit_value {
  Unit unit;
  template <class S> ATTUNE_FN S operator()(const S& x) const { return attune::apply(unit, x); }
};
/// The products of a generator that row divergences are made of, at p = 0.3 and log t = x.
template <class Generator>
struct generator_products {
  Generator generator;
  template <class S> ATTUNE_FN S operator()(const S& x) const {
    const S p = S(0.3), pi = p * exp(x);
    return generator.term(p, pi, x) + generator.weight(p, pi, x) + generator.curvature(x) +
           attune::divergence::pseudo_reward(generator, x, S(0));
  }
};

/// What the catalogue does not cover: the rest of dual arithmetic.
struct arithmetic {
  template <class S> ATTUNE_FN S operator()(const S& x) const {
    return sqrt(max(x * x, S(2)) + S(1) / (x * x + S(1))) - min(expm1(x), log1p(exp(x))) + attune::log_add_exp(x, S(1) - x);
  }
};

template <class T, class F>
__global__ void evaluate_kernel(F f, const T* x, jet<T>* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = f(x[i]);
}

void require(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(status));
  std::exit(1);
}

/// Device memory for n elements, given back at the end of the scope.
template <class T>
struct device_array {
  T* data = nullptr;
  explicit device_array(std::size_t n) { require(cudaMalloc(&data, n * sizeof(T))); }
  device_array(const device_array&) = delete;
  ~device_array() { cudaFree(data); }
};

template <class T>
bool close(T device, T host) {
  const T tolerance = T(64) * std::numeric_limits<T>::epsilon() * std::fmax(T(1), std::fabs(host));
  return device == host || std::fabs(device - host) <= tolerance || (device != device && host != host);
}

int failures = 0;

template <class T, class F>
void compare(const char* name, F f) {
  std::vector<T> x;
  for (int i = -48; i <= 48; ++i) x.push_back(T(i) / T(8));
  const auto bytes = x.size() * sizeof(jet<T>);
  std::vector<jet<T>> y(x.size());
  device_array<T> device_x(x.size());
  device_array<jet<T>> device_y(x.size());
  require(cudaMemcpy(device_x.data, x.data(), x.size() * sizeof(T), cudaMemcpyHostToDevice));
  evaluate_kernel<<<1, 128>>>(f, device_x.data, device_y.data, static_cast<int>(x.size()));
  require(cudaGetLastError());
  require(cudaMemcpy(y.data(), device_y.data, bytes, cudaMemcpyDeviceToHost));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const jet<T> host = f(x[i]);
    if (close(y[i].value, host.value) && close(y[i].slope[0], host.slope[0]) && close(y[i].slope[1], host.slope[1])) continue;
    ++failures;
    std::printf("%s at %g: device %.17g %.17g %.17g, host %.17g %.17g %.17g\n", name, double(x[i]), double(y[i].value), double(y[i].slope[0]),
                double(y[i].slope[1]), double(host.value), double(host.slope[0]), double(host.slope[1]));
  }
}

/// In both types; in float only where nothing but compiling is asked for (CMakeLists.txt).
template <template <class> class On, class F>
void compare_both(const char* name, F f) {
  compare<float>(name, On<F>{f});
#if !defined(ATTUNE_FLOAT_ONLY)
  compare<double>(name, On<F>{f});
#endif
}
}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: compiled and linked; there is no GPU to run on");
    return 77;
  }
  compare_both<on_number>("arithmetic", arithmetic{});
  attune::for_each_unit([](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::group_objective<unit>) {
      // groups run on the host
    } else if constexpr (attune::single_objective<unit>) {
      compare_both<on_single>(entry.name, unit{});
    } else if constexpr (attune::token_objective<unit>) {
      compare_both<on_token>(entry.name, unit{});
    } else if constexpr (attune::value_objective<unit>) {
      compare_both<on_value>(entry.name, unit{});
    } else if constexpr (attune::is_objective<unit>) {
      compare_both<on_pair>(entry.name, unit{});
    } else {
      compare_both<on_number>(entry.name, unit_value<unit>{});
    }
    if constexpr (attune::divergence::generator<unit>) compare_both<on_number>(entry.name, generator_products<unit>{});
  });
  std::printf("%d differences between device and host\n", failures);
  return failures == 0 ? 0 : 1;
}
