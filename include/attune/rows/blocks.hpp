// SPDX-License-Identifier: MIT
// A row of logits, block by block in its arithmetic type, whatever its element type and stride.
//
// Kernels compute on a block, a plain array of `row_block` numbers or less in steps of 64: float, double or bfloat16, read where they lie if
// the row is packed, else copied and padded. Element i of a block belongs to running sum i mod 64: the order of additions depends neither
// on the width of a pack nor on stride or neighbours, and sums leave a block in double. Each element is read from main memory once; the
// kernels ask for what lies some 4 KiB ahead, because with a dozen operations a cache line the processor itself does not look that far.
#pragma once

#include <attune/core/view.hpp>   // view
#include <attune/exec/convert_lanes.hpp>    // widen, narrow
#include <attune/exec/instruction_set.hpp>  // run_kernel
#include <attune/rows/row_state.hpp>

namespace attune::detail {

inline constexpr int row_block = 2048;  // 8 KiB of float: stays in the first-level cache
inline constexpr int row_lanes = 64;

template <class A> inline constexpr A infinity = std::numeric_limits<A>::infinity();
template <class A> inline constexpr A not_a_number = std::numeric_limits<A>::quiet_NaN();

/// The type in which kernels read and write a row's elements: bfloat16 itself; other 16-bit types are converted before and after.
template <class T> using kernel_type = std::conditional_t<std::same_as<T, bfloat16>, bfloat16, arithmetic<T>>;

template <class K> struct alignas(64) block_buffer {
  K values[row_block];
  block_buffer() {}  // values: uninitialised
};

/// Calls work(first, count) for the blocks of a row.
template <class Work> void for_blocks(std::int64_t size, const Work& work) {
  for (std::int64_t first = 0; first < size; first += row_block) {
    work(first, static_cast<int>(size - first < row_block ? size - first : row_block));
  }
}
constexpr int padded(int count) { return (count + row_lanes - 1) / row_lanes * row_lanes; }

/// 64 elements from x on are about to be read: asks for those `ahead` bytes behind them. (Never a fault, even beyond the tensor.)
template <class T> ATTUNE_PACK_FN void prefetch_ahead(const T* x) {
  constexpr std::uintptr_t ahead = 4096;
  const auto address = reinterpret_cast<std::uintptr_t>(x) + ahead;
  for (unsigned line = 0; line < row_lanes * sizeof(T); line += 64) __builtin_prefetch(reinterpret_cast<const void*>(address + line));
}

/// Elements first .. first + count - 1 of the row as a kernel reads them, then -inf (a class of probability 0) up to a multiple of 64.
template <class T, class K> const K* copy_block(const view<const T>& row, std::int64_t first, int count, block_buffer<K>& buffer) {
  const std::int64_t stride = row.stride(0);
  const T* x = row.data() + first * stride;
  int i = 0;
  if (stride == 1) {  // fixed trip counts are turned into vector instructions at every level of optimisation
    for (; i + row_lanes <= count; i += row_lanes) {
      for (int k = 0; k < row_lanes; ++k) buffer.values[i + k] = convert<K>(x[i + k]);
    }
  }
  for (; i < count; ++i) buffer.values[i] = convert<K>(x[i * stride]);
  for (; i < padded(count); ++i) buffer.values[i] = static_cast<K>(-infinity<arithmetic<K>>);
  return buffer.values;
}
/// The same; a block of numbers that lie as they are needed is used where it is.
template <class T, class K> const K* load_block(const view<const T>& row, std::int64_t first, int count, block_buffer<K>& buffer) {
  if constexpr (std::same_as<T, K>) {
    if (row.stride(0) == 1 && count % row_lanes == 0) return row.data() + first;
  }
  return copy_block(row, first, count, buffer);
}

/// Rounds a block of results to the row's element type and writes it.
template <class T, class K> void store_block(const view<T>& row, std::int64_t first, int count, const block_buffer<K>& buffer) {
  const std::int64_t stride = row.stride(0);
  T* x = row.data() + first * stride;
  int i = 0;
  if (stride == 1) {
    for (; i + row_lanes <= count; i += row_lanes) {
      for (int k = 0; k < row_lanes; ++k) x[i + k] = convert<T>(buffer.values[i + k]);
    }
  }
  for (; i < count; ++i) x[i * stride] = convert<T>(buffer.values[i]);
}

template <class T> void fill(const view<T>& row, std::int64_t begin, double value) {
  for (std::int64_t v = begin; v < row.extent(0); ++v) row(v) = static_cast<T>(static_cast<arithmetic<T>>(value));
}

/// Two packs of consecutive elements. Those of bfloat16 are the even and the odd ones, because so they lie in words of 32 bits: a shift or
/// a mask makes them floats.
template <class P> struct twin {
  P a, b;
};
template <class P, class K> ATTUNE_PACK_FN twin<P> read_twin(const K* x) {
  return {widen<P>(x), widen<P>(x + lanes<P>)};
}
template <class P, class K> ATTUNE_PACK_FN void write_twin(const twin<P>& t, K* x) {
  narrow(t.a, x);
  narrow(t.b, x + lanes<P>);
}
#if !defined(__CUDACC__)
template <class P, std::same_as<bfloat16> K> ATTUNE_PACK_FN twin<P> read_twin(const K* x) {
  using words = typename bfloat16_lanes<lanes<P>>::words;
  words w;
  read_vector(x, w);
  return {{__builtin_bit_cast(typename P::vector, w << 16)}, {__builtin_bit_cast(typename P::vector, w & 0xffff0000u)}};
}
/// The words of x in whose upper halves the bits of the nearest bfloat16 are, as bfloat16(float) rounds; x is not NaN.
template <class P, class W> ATTUNE_PACK_FN void round_words(const P& x, W& result) {
  const W w = __builtin_bit_cast(W, x.v);
  result = w + 0x7fffu + ((w >> 16) & 1u);
}
template <class P, std::same_as<bfloat16> K> ATTUNE_PACK_FN void write_twin(const twin<P>& t, K* x) {
  typename bfloat16_lanes<lanes<P>>::words a, b;
  round_words(t.a, a);
  round_words(t.b, b);
  write_vector(x, (a >> 16) | (b & 0xffff0000u));
}
#endif

/// 64 numbers, kept as twins: what the elements i, i + 64, ... of a block added up to, or the largest of them.
template <class P> struct lanes_64 {
  static constexpr int twins = row_lanes / lanes<P> / 2;
  twin<P> part[twins];

  ATTUNE_PACK_FN explicit lanes_64(lane_of<P> start) {
    for (twin<P>& t : part) t.a = t.b = P(start);
  }
  /// Adds element k + 32 to element k, then k + 16, ...: an order that does not depend on the width of a pack.
  template <class K> ATTUNE_PACK_FN double total() const {
    double x[row_lanes];
    for (int t = 0; t < twins; ++t) {
      const lane_buffer<P> a(part[t].a), b(part[t].b);
      constexpr int width = lanes<P>, step = std::same_as<K, bfloat16> ? 2 : 1, second = std::same_as<K, bfloat16> ? 1 : width;
      for (int k = 0; k < width; ++k) x[2 * t * width + step * k] = double(a.lane[k]);
      for (int k = 0; k < width; ++k) x[2 * t * width + step * k + second] = double(b.lane[k]);
    }
    for (int k = 0; k < 32; ++k) x[k] += x[k + 32];  // loops of constant length, for the vectoriser
    for (int k = 0; k < 16; ++k) x[k] += x[k + 16];
    for (int k = 0; k < 8; ++k) x[k] += x[k + 8];
    for (int k = 0; k < 4; ++k) x[k] += x[k + 4];
    return (x[0] + x[2]) + (x[1] + x[3]);
  }
  ATTUNE_PACK_FN lane_of<P> largest() const {
    P top = larger(part[0].a, part[0].b);
    for (int t = 1; t < twins; ++t) top = larger(larger(part[t].a, part[t].b), top);
    lane_buffer<P> x(top);
    for (int half = lanes<P> / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) x.lane[k] = x.lane[k] > x.lane[k + half] ? x.lane[k] : x.lane[k + half];
    }
    return x.lane[0];
  }
};

/// The largest element; NaNs do not count. (They are found where numbers are added.)
struct block_max {
  template <class P, class K> ATTUNE_PACK_FN static lane_of<P> run(const K* x, int size) {
    lanes_64<P> top(-infinity<lane_of<P>>);
    for (int i = 0; i < size; i += row_lanes) {
      ATTUNE_UNROLL
      for (int k = 0; k < top.twins; ++k) {
        const twin<P> logits = read_twin<P>(x + i + 2 * k * lanes<P>);
        top.part[k].a = larger(logits.a, top.part[k].a);
        top.part[k].b = larger(logits.b, top.part[k].b);
      }
    }
    return top.largest();
  }
};

/// Distance of a logit to a number near the row's largest, (x_v - top) / temperature: exact where x_v is near the top, so an offset common
/// to the whole row costs no accuracy.
template <class A> struct row_scale {
  A top, inverse_temperature;

  template <class P> ATTUNE_PACK_FN P operator()(const P& x) const { return (x - P(top)) * P(inverse_temperature); }
};

inline constexpr double exp_scale = 0x1p32;  // of scaled_exp
#if !defined(__CUDACC__)
/// e^{(x - top) / temperature} as a term of a sum: to 3 ulp near the top, and to an error of |exponent| ulp below it, where it is weighted by
/// its own size. Exponents up to 80; what is smaller than 2^-126 counts as that. NaN stays NaN.
template <int N> ATTUNE_PACK_FN pack<float, N> sum_term(const pack<float, N>& x, float top, float inverse_temperature) {
  using F = pack<float, N>;
  using integers = typename F::integers;
  // 2^t = 2^n 2^f with n = round(t), |f| <= 1/2; 2^f by its minimax polynomial of degree 5, relative error 9.3e-8.
  const F t = larger(F(-126.0f), (x - F(top)) * F(inverse_temperature * 0x1.715476p0f));
  const F shifted = t + F(12582912.0f), f = t - (shifted - F(12582912.0f));  // 1.5 2^23: the last bits of `shifted` are n
  F p = F(0x1.5bd97cp-10f);
  p = p * f + F(0x1.3ce8b2p-7f);
  p = p * f + F(0x1.c6b6dap-5f);
  p = p * f + F(0x1.ebf9c2p-3f);
  p = p * f + F(0x1.62e42ap-1f);
  p = p * f + F(1.0f);
  return p * F{__builtin_bit_cast(typename F::vector, (__builtin_bit_cast(integers, shifted.v) << 23) + 0x3f800000)};
}
template <int N> ATTUNE_PACK_FN pack<double, N> sum_term(const pack<double, N>& x, double top, double inverse_temperature) {
  return exp((x - pack<double, N>(top)) * pack<double, N>(inverse_temperature));
}

/// 2^32 e^z for z <= 0, to 1 ulp, and exactly 0 below -104. Whoever multiplies the result by 2^-32 gets e^z, through the subnormal numbers to
/// 0, for one multiplication less than exp needs for that.
template <int N> ATTUNE_PACK_FN pack<float, N> scaled_exp(const pack<float, N>& z) {
  using F = pack<float, N>;
  using integers = typename F::integers;
  // e^z = 2^n e^r with n = round(z / log 2), |r| <= log(2)/2, as in core/pack.hpp
  const F bounded = larger(F(-104.0f), z), shifted = bounded * F(0x1.715476p0f) + F(12582912.0f), k = shifted - F(12582912.0f);
  const F r = (bounded - k * F(0x1.62e400p-1f)) - k * F(0x1.7f7d1cp-20f);
  F p = F(0x1.6a5232p-10f);
  p = p * r + F(0x1.12396cp-7f);
  p = p * r + F(0x1.5558aap-5f);
  p = p * r + F(0x1.555492p-3f);
  p = p * r + F(0x1.fffffcp-2f);
  p = p * r * r + r + F(1.0f);
  const F power{__builtin_bit_cast(typename F::vector, (__builtin_bit_cast(integers, shifted.v) << 23) + ((127 + 32) << 23))};
  return select(z < F(-104.0f), F(0.0f), p * power);
}
template <int N> ATTUNE_PACK_FN pack<double, N> scaled_exp(const pack<double, N>& z) { return exp(z) * pack<double, N>(exp_scale); }
#endif
template <real A> ATTUNE_FN A sum_term(A x, A top, A inverse_temperature) { return exp((x - top) * inverse_temperature); }
template <real A> ATTUNE_FN A scaled_exp(A z) { return exp(z) * A(exp_scale); }

struct block_sum {
  double sum = 0;                   ///< sum of e^{(x - top) / temperature}
  double top = -infinity<double>;   ///< the largest x
};

struct block_exp_sum {
  template <class P, class K> ATTUNE_PACK_FN static block_sum run(const K* x, int size, lane_of<P> top, lane_of<P> inverse_temperature) {
    lanes_64<P> sum(0), largest(-infinity<lane_of<P>>);
    for (int i = 0; i < size; i += row_lanes) {
      prefetch_ahead(x + i);
      ATTUNE_UNROLL
      for (int k = 0; k < sum.twins; ++k) {
        const twin<P> logits = read_twin<P>(x + i + 2 * k * lanes<P>);
        largest.part[k].a = larger(logits.a, largest.part[k].a);
        largest.part[k].b = larger(logits.b, largest.part[k].b);
        sum.part[k].a = sum.part[k].a + sum_term(logits.a, top, inverse_temperature);
        sum.part[k].b = sum.part[k].b + sum_term(logits.b, top, inverse_temperature);
      }
    }
    return {sum.template total<K>(), static_cast<double>(largest.largest())};
  }
};

/// sum_v e^{(x_v - top) / temperature} of the blocks that were added so far, relative to the largest element among them.
template <real A> class running_sum {
  static constexpr double limit = 1;  // [nat] by which a block may exceed what it is measured from: as many units of rounding

 public:
  running_sum(double temperature) : inverse_temperature_(1 / temperature) {}
  double top() const { return top_; }
  double sum() const { return sum_; }

  /// An element by itself, added in double.
  void add(double x) {
    raise(x);
    sum_ += std::exp((x - top_) * inverse_temperature_);
  }
  /// A block; largest() gives its largest element, sum(top) its block_sum measured from `top`.
  template <class Largest, class Sum> void add_block(const Largest& largest, const Sum& sum) {
    if (first_) raise(largest());
    if (top_ == -infinity<double>) {  // nothing but classes of probability 0 so far, or NaN, which has to stay visible
      const double none = sum(A(0)).sum;
      if (none != none) sum_ = none;
      return;
    }
    first_ = false;
    block_sum part = sum(static_cast<A>(top_));
    if ((part.top - top_) * inverse_temperature_ > limit) {
      raise(part.top);
      part = sum(static_cast<A>(top_));
    }
    sum_ += part.sum;
    raise(part.top);
  }

 private:
  void raise(double x) {
    if (!(x > top_)) return;
    if (sum_ != 0) sum_ *= std::exp((top_ - x) * inverse_temperature_);
    top_ = x;
  }

  double inverse_temperature_, top_ = -infinity<double>, sum_ = 0;
  bool first_ = true;
};

/// The state of a row; {NaN, NaN} for a row with no finite logit, a NaN or +inf: it has no distribution. The logit of class `apart`, if there
/// is one (>= 0), is added in double: beside a 1 in float the small terms of a confident row would be lost, and with them 1 - p.
template <class P, class T> row_state normalise(const view<const T>& row, double temperature, std::int64_t apart = -1) {
  using A = lane_of<P>;
  const row_state none{not_a_number<double>, not_a_number<double>};
  const A inverse_temperature = static_cast<A>(1 / temperature);
  block_buffer<kernel_type<T>> buffer;
  running_sum<A> total(temperature);
  const double x_apart = apart >= 0 ? static_cast<double>(static_cast<A>(row(apart))) : -infinity<double>;
  if (!(x_apart < infinity<double>)) return none;
  if (x_apart > -infinity<double>) total.add(x_apart);
  for_blocks(row.extent(0), [&](std::int64_t first, int count) {
    const bool has_apart = x_apart > -infinity<double> && apart >= first && apart < first + count;
    const auto* x = has_apart ? copy_block(row, first, count, buffer) : load_block(row, first, count, buffer);
    if (has_apart) buffer.values[apart - first] = static_cast<kernel_type<T>>(-infinity<A>);
    total.add_block([&] { return static_cast<double>(run_kernel<P, block_max>(x, padded(count))); },
                    [&](A top) { return run_kernel<P, block_exp_sum>(x, padded(count), top, inverse_temperature); });
  });
  if (!std::isfinite(total.top()) || total.sum() != total.sum()) return none;
  return {total.top() / temperature, total.sum() > 1 ? total.sum() : 1};
}

/// The scale of a row from its state. For the state of `normalise`, top is the row's largest logit again (exactly, for float and halves).
template <real A> row_scale<A> scale_of(const row_state& state, double temperature) {
  return {static_cast<A>(state.shift * temperature), static_cast<A>(1 / temperature)};
}
/// e^{top / temperature - shift}: 1 for the state of `normalise`; corrects for a shift that is not the image of a float.
template <real A> double scale_correction(const row_state& state, double temperature, const row_scale<A>& z) {
  return std::exp(static_cast<double>(z.top) / temperature - state.shift);
}

}  // namespace attune::detail
