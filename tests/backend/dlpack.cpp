// SPDX-License-Identifier: MIT
#include <attune/backend/dlpack.hpp>
#include <attune/core/storage.hpp>
#include <attune/rows/logits_gradient.hpp>
#include <attune/rows/token_logps.hpp>

#include "backend/same_bits.hpp"

using attune::as_view;
using attune::device;
using attune::view;
using attune_test::plain_batch;
using Catch::Matchers::Contains;

namespace {

/// IEEE half, as far as the tests need it: numbers without rounding.
struct half {
  std::uint16_t bits = 0;
  half() = default;
  explicit half(float x) {
    const auto word = std::bit_cast<std::uint32_t>(x);
    bits = static_cast<std::uint16_t>(x == 0 ? 0 : ((word >> 16) & 0x8000u) | (((word >> 23) - 112) << 10) | ((word >> 13) & 0x3ffu));
  }
  operator float() const { return bits == 0 ? 0 : std::bit_cast<float>(((bits & 0x8000u) << 16) | (((bits & 0x7fffu) << 13) + (112u << 23))); }
};

/// A tensor as a foreign library describes it: what is not said is a packed float32 on the CPU.
struct foreign {
  std::vector<std::int64_t> shape, strides{};  // no strides: null
  DLDataType type{kDLFloat, 32, 1};
  DLDevice where{kDLCPU, 0};
  std::uint64_t byte_offset = 0;

  DLTensor of(const void* data) {
    DLTensor x{};
    x.data = const_cast<void*>(data);
    x.device = where;
    x.ndim = static_cast<std::int32_t>(shape.size());
    x.dtype = type;
    x.shape = shape.data();
    x.strides = strides.empty() ? nullptr : strides.data();
    x.byte_offset = byte_offset;
    return x;
  }
};

/// Rows of a [rows, columns] matrix of T in memory of its own, in some layout that DLPack can say.
template <class T> struct laid_out {
  std::vector<T> memory;
  foreign description;
  std::int64_t rows, columns;

  enum class layout { packed, null_strides, padded, transposed, every_second, backwards, offset };
  static constexpr layout all[] = {layout::packed,       layout::null_strides, layout::padded, layout::transposed,
                                   layout::every_second, layout::backwards,    layout::offset};
  laid_out(layout kind, std::int64_t m, std::int64_t n, const std::vector<T>& numbers = {})
      : memory(std::size_t(4 * m * n + 4 * m + 9), T(77.0f)), rows(m), columns(n) {
    description.shape = {m, n};
    description.type = attune::detail::dlpack_type<T>();
    std::int64_t first = 0;
    switch (kind) {
      case layout::packed: description.strides = {n, 1}; break;
      case layout::null_strides: break;
      case layout::padded: description.strides = {n + 3, 1}, first = 2; break;
      case layout::transposed: description.strides = {1, m}; break;
      case layout::every_second: description.strides = {2 * n + 1, 2}, first = 1; break;
      case layout::backwards: description.strides = {-n, -1}, first = m * n - 1; break;
      case layout::offset: description.byte_offset = 5 * sizeof(T); break;
    }
    start = memory.data() + first;
    const auto x = as_view<T, 2>(tensor());
    for (std::size_t k = 0; k < numbers.size(); ++k) x(std::int64_t(k) / n, std::int64_t(k) % n) = numbers[k];
  }
  DLTensor tensor() { return description.of(start); }
  DLTensor row(std::int64_t i) {  // row i as a vector, whose description lives in `part`
    const bool given = !description.strides.empty();
    part = description;
    part.shape = {columns};
    part.strides = {given ? description.strides[1] : 1};
    return part.of(start + i * (given ? description.strides[0] : columns));
  }

 private:
  T* start = nullptr;
  foreign part{};
};

std::string message(DLTensor x) {  // of the refusal as a readable vector of float
  try {
    (void)as_view<const float>(x);
  } catch (const attune::error& refusal) {
    return refusal.what();
  }
  return "accepted";
}
template <class T> bool holds(DLDataType type, const T* data) {
  foreign x{.shape = {3}, .type = type};
  const DLTensor tensor = x.of(data);
  return as_view<const T>(tensor).data() == data && as_view<T>(tensor).extent(0) == 3;
}

}  // namespace

TEST_CASE("DLPack: tensors of every layout are seen where they lie", "[dlpack]") {
  using matrix = laid_out<float>;
  for (const auto layout : matrix::all) {
    CAPTURE(int(layout));
    matrix x(layout, 5, 7);
    DLTensor tensor = x.tensor();
    const auto before = attune_test::allocations();
    const view<const float, 2> seen(tensor);
    const auto after = attune_test::allocations();
    CHECK(after == before);
    CHECK(seen.extents() == std::array<std::int64_t, 2>{5, 7});
    const bool packed = tensor.strides == nullptr;
    const char* first = static_cast<const char*>(tensor.data) + tensor.byte_offset;
    int elsewhere = 0;
    for (std::int64_t i = 0; i < 5; ++i) {
      for (std::int64_t j = 0; j < 7; ++j) {
        const std::int64_t at = packed ? i * 7 + j : i * tensor.strides[0] + j * tensor.strides[1];
        elsewhere += reinterpret_cast<const char*>(&seen(i, j)) != first + at * std::int64_t(sizeof(float));
      }
    }
    CHECK(elsewhere == 0);
    as_view<float, 2>(tensor)(2, 3) = 5;
    CHECK(seen(2, 3) == 5);
  }
}

TEST_CASE("DLPack: strides are those of the tensor", "[dlpack]") {
  float memory[12] = {};
  foreign row{.shape = {1, 7}, .strides = {1, 1}}, broadcast{.shape = {4}, .strides = {0}}, empty{.shape = {0, 3}, .strides = {0, 0}};
  CHECK(as_view<float, 2>(row.of(memory)).strides() == std::array<std::int64_t, 2>{1, 1});  // as PyTorch exports an extent of 1
  CHECK(as_view<const float>(broadcast.of(memory)).stride(0) == 0);
  const auto nothing = as_view<const float, 2>(empty.of(nullptr));
  CHECK(nothing.extents() == std::array<std::int64_t, 2>{0, 3});
  CHECK_FALSE(nothing.absent());
  foreign no_rows{.shape = {0}, .strides = {0}, .byte_offset = 3};
  CHECK_FALSE(as_view<const float>(no_rows.of(nullptr)).absent());
  CHECK_FALSE(attune::length_view(no_rows.of(nullptr)).absent());
}

TEST_CASE("DLPack: element types", "[dlpack]") {
  alignas(8) const std::byte memory[32] = {};
  const auto at = [&](auto kind) { return reinterpret_cast<const decltype(kind)*>(memory); };
  CHECK(holds({kDLFloat, 32, 1}, at(float{})));
  CHECK(holds({kDLFloat, 64, 1}, at(double{})));
  CHECK(holds({kDLFloat, 16, 1}, at(half{})));
  CHECK(holds({kDLBfloat, 16, 1}, at(attune::bfloat16{})));
  CHECK(holds({kDLInt, 32, 1}, at(std::int32_t{})));
  CHECK(holds({kDLInt, 64, 1}, at(std::int64_t{})));
  CHECK(holds({kDLUInt, 8, 1}, at(std::uint8_t{})));
  CHECK(holds({6, 8, 1}, at(std::uint8_t{})));
  CHECK(holds({6, 8, 1}, at(bool{})));
  CHECK_THROWS_WITH(holds({kDLUInt, 8, 1}, at(bool{})), Contains("holds uint8; expected bool"));
  CHECK_THROWS_WITH(holds({kDLInt, 8, 1}, at(std::uint8_t{})), Contains("holds int8; expected uint8 or bool"));
  CHECK_THROWS_WITH(holds({kDLFloat, 16, 1}, at(attune::bfloat16{})), Contains("holds float16; expected bfloat16"));
  CHECK_THROWS_WITH(holds({kDLBfloat, 16, 1}, at(half{})), Contains("holds bfloat16; expected float16"));
  CHECK_THROWS_WITH(holds({kDLInt, 32, 1}, at(std::int64_t{})), Contains("holds int32; expected int64"));
  CHECK_THROWS_WITH(holds({kDLUInt, 32, 1}, at(std::int32_t{})), Contains("holds uint32; expected int32"));
}

TEST_CASE("DLPack: every refusal names what was given and what is expected", "[dlpack]") {
  alignas(8) float memory[12] = {};
  foreign good{.shape = {3}};
  CHECK(message(good.of(memory)) == "accepted");
  const auto refused = [&](foreign x, const void* data = nullptr) { return message(x.of(data != nullptr ? data : memory)); };
  CHECK_THAT(refused({.shape = {3}, .type = {kDLInt, 64, 1}}), Contains("attune: the DLPack tensor holds int64; expected float32"));
  CHECK_THAT(refused({.shape = {3}, .type = {kDLFloat, 64, 1}}), Contains("holds float64; expected float32"));
  CHECK_THAT(refused({.shape = {3}, .type = {kDLFloat, 32, 4}}), Contains("holds float32 x 4; expected float32"));
  CHECK_THAT(refused({.shape = {3}, .type = {kDLComplex, 64, 1}}), Contains("holds complex64;"));
  CHECK_THAT(refused({.shape = {3}, .type = {6, 8, 1}}), Contains("holds bool;"));
  CHECK_THAT(refused({.shape = {3}, .type = {10, 8, 1}}), Contains("holds float8_e4m3fn;"));
  CHECK_THAT(refused({.shape = {3}, .type = {17, 4, 1}}), Contains("holds float4_e2m1fn;"));
  CHECK_THAT(refused({.shape = {3}, .type = {200, 12, 1}}), Contains("holds type code 200 of 12 bits;"));
  CHECK_THAT(refused({.shape = {3, 1}}), Contains("has 2 dimensions; expected 1"));
  CHECK_THAT(refused({.shape = {}}), Contains("has 0 dimensions; expected 1"));
  CHECK_THAT(refused({.shape = {-3}}), Contains("extent 0 is -3; expected 0 or more"));
  CHECK_THAT(refused({.shape = {3}, .byte_offset = 6}), Contains("byte_offset is 6; expected a multiple of 4"));
  CHECK_THAT(refused({.shape = {3}}, reinterpret_cast<const char*>(memory) + 2), Contains("data is 2 bytes past a multiple of 4"));
  CHECK_THAT(message(good.of(nullptr)), Contains("has elements, but its data is null"));
  DLTensor without_shape = good.of(memory);
  without_shape.shape = nullptr;
  CHECK_THAT(message(without_shape), Contains("shape is null; expected 1 extents"));
}

TEST_CASE("DLPack: memory of the host and of the device", "[dlpack]") {
  float memory[3] = {};
  const auto on = [](int type, int id = 0) { return foreign{.shape = {3}, .where = {static_cast<DLDeviceType>(type), id}}; };
  foreign cpu = on(kDLCPU), pinned = on(kDLCUDAHost), managed = on(kDLCUDAManaged), cuda = on(kDLCUDA, 3);
  CHECK(as_view<const float>(cpu.of(memory)).data() == memory);
  CHECK(as_view<const float>(pinned.of(memory)).data() == memory);
  CHECK(as_view<const float>(managed.of(memory)).data() == memory);
  CHECK(as_view<const float, 1, device>(managed.of(memory)).data() == memory);
  const DLTensor there = cuda.of(memory);
  const view<float, 1, device> seen(there);
  CHECK(seen.data() == memory);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view<float, 2, device>(there)), view<float, 2, device>>);
  CHECK_THAT(message(there), Contains("lies in CUDA memory (device 3); expected CPU, CUDA host or CUDA managed memory"));
  const auto on_device = [&](foreign x) { return as_view<const float, 1, device>(x.of(memory)); };
  CHECK_THROWS_WITH(on_device(cpu), Contains("lies in CPU memory (device 0); expected CUDA or CUDA managed memory"));
  CHECK_THROWS_WITH(on_device(pinned), Contains("lies in CUDA host memory"));
  CHECK_THROWS_WITH(on_device(on(kDLROCM)), Contains("lies in ROCm memory"));
  CHECK_THAT(message(on(kDLROCMHost).of(memory)), Contains("lies in ROCm host memory"));
  CHECK_THAT(message(on(kDLMetal).of(memory)), Contains("lies in Metal memory"));
  DLTensor newer = cpu.of(memory);  // devices of which this header may have no enumerator
  for (const auto& [type, name] : {std::pair{18, "Trainium memory"}, {99, "device type 99 memory"}, {0, "device type 0 memory"}, {-1, "device type -1"}}) {
    std::memcpy(&newer.device.device_type, &type, sizeof type);
    CHECK_THAT(message(newer), Contains(name));
  }
}

TEST_CASE("DLPack: objectives have the bits that they have on std::vector", "[dlpack]") {
  const plain_batch<float> plain;
  constexpr std::int64_t size = plain_batch<float>::size;
  const auto expected = attune_test::evaluate_plain(attune::dpo{.beta = 0.3}, plain.view());
  for (const auto layout : laid_out<float>::all) {
    CAPTURE(int(layout));
    laid_out<float> chosen(layout, 1, size, plain.chosen), rejected(layout, 1, size, plain.rejected), ref_chosen(layout, 1, size, plain.ref_chosen),
        ref_rejected(layout, 1, size, plain.ref_rejected), d_chosen(layout, 1, size), d_rejected(layout, 1, size);
    const DLTensor dl_rejected = rejected.row(0);  // as variables and as temporaries: the memory is not theirs
    const attune::pairs<float> batch{.chosen = chosen.row(0), .rejected = dl_rejected, .ref_chosen = ref_chosen.row(0),
                                     .ref_rejected = ref_rejected.row(0)};
    attune_test::require_same_bits(attune::dpo{.beta = 0.3}, batch, {.chosen = d_chosen.row(0), .rejected = d_rejected.row(0)}, expected);
  }
}

TEST_CASE("DLPack: lengths, weights and masks", "[dlpack]") {
  plain_batch<float> plain;
  const attune::pairs<float> on_vectors{.chosen = plain.chosen, .rejected = plain.rejected, .chosen_length = plain.chosen_length,
                                        .rejected_length = plain.rejected_length, .weight = plain.weight, .mask = plain.mask};
  const auto expected = attune_test::evaluate_plain(attune::simpo{}, on_vectors);
  foreign numbers{.shape = {plain.size}}, mask{.shape = {plain.size}, .type = {6, 8, 1}}, int32 = numbers, int64 = numbers, int8 = numbers;
  int32.type = {kDLInt, 32, 1}, int64.type = {kDLInt, 64, 1}, int8.type = {kDLInt, 8, 1};
  const std::vector<std::int64_t> wide(plain.rejected_length.begin(), plain.rejected_length.end());
  std::vector<float> d_chosen(plain.chosen.size()), d_rejected(plain.chosen.size());
  const attune::pairs<float> batch{.chosen = numbers.of(plain.chosen.data()), .rejected = numbers.of(plain.rejected.data()),
                                   .chosen_length = int32.of(plain.chosen_length.data()), .rejected_length = int64.of(wide.data()),
                                   .weight = numbers.of(plain.weight.data()), .mask = mask.of(plain.mask.data())};
  const attune::report r = attune::evaluate(attune::simpo{}, batch, {.chosen = d_chosen, .rejected = d_rejected});
  CHECK(attune_test::same_bits(r.loss_sum, expected.report.loss_sum));
  CHECK(r.count == expected.report.count);
  CHECK(d_chosen == expected.chosen);
  CHECK(d_rejected == expected.rejected);
  const std::vector<double> real_lengths{1, 2, 3};
  foreign doubles{.shape = {3}, .type = {kDLFloat, 64, 1}};
  CHECK(attune::length_view(doubles.of(real_lengths.data()))(2) == 3);
  CHECK(attune::length_view(numbers.of(plain.weight.data()))(2) == 3);
  CHECK_THROWS_WITH(attune::length_view(int8.of(wide.data())), Contains("lengths holds another type; expected int32, int64, float32 or float64"));
}

TEST_CASE("DLPack: rows of logits have the bits that they have in plain memory", "[dlpack]") {
  constexpr std::int64_t rows = 7, classes = 83;
  std::vector<float> logits, logps(rows), coefficients, gradient(rows * classes);
  std::vector<std::int64_t> targets;
  std::vector<attune::row_state> states(rows);
  for (int k = 0; k < rows * classes; ++k) logits.push_back(6 * std::sin(1.7f * float(k)));
  for (int n = 0; n < rows; ++n) targets.push_back(n * 11), coefficients.push_back(float(n) - 2.5f);
  const auto plain = as_view(logits.data(), rows, classes);
  attune::token_logps(plain, targets, logps, states);
  attune::logits_gradient(plain, targets, states, coefficients, as_view(gradient.data(), rows, classes));

  foreign labels{.shape = {rows}, .type = {kDLInt, 64, 1}}, numbers{.shape = {rows}};
  for (const auto layout : laid_out<float>::all) {
    CAPTURE(int(layout));
    laid_out<float> x(layout, rows, classes, logits), d(layout, rows, classes);
    std::vector<float> found(rows);
    std::vector<attune::row_state> found_states(rows);
    DLTensor x_tensor = x.tensor(), d_tensor = d.tensor(), label_tensor = labels.of(targets.data()), found_tensor = numbers.of(found.data());
    const auto before = attune_test::allocations();
    attune::token_logps(as_view<const float, 2>(x_tensor), as_view<const std::int64_t>(label_tensor), found_tensor, found_states);
    attune::logits_gradient(as_view<const float, 2>(x_tensor), as_view<const std::int64_t>(label_tensor), found_states, coefficients, d_tensor);
    const auto after = attune_test::allocations();
    CHECK(after == before);
    CHECK(found == logps);
    const auto differing = [&](const DLTensor& tensor) {
      int count = 0;
      for (std::int64_t k = 0; k < rows * classes; ++k) {
        count += !attune_test::same_bits(as_view<float, 2>(tensor)(k / classes, k % classes), gradient[std::size_t(k)]);
      }
      return count;
    };
    CHECK(differing(d_tensor) == 0);
    attune::logits_gradient(as_view<float, 2>(x_tensor), targets, states, coefficients, x_tensor);  // in place
    CHECK(differing(x_tensor) == 0);
  }
}

TEST_CASE("DLPack: managed tensors are seen, and stay the caller's", "[dlpack]") {
  static int deleted = 0;
  float memory[3] = {1, 2, 3};
  foreign x{.shape = {3}};
  DLManagedTensor managed{};
  managed.dl_tensor = x.of(memory);
  managed.deleter = [](DLManagedTensor*) { ++deleted; };
  {
    const view<float> seen(managed);
    seen(1) = 7;
    CHECK(attune::length_view(managed)(1) == 7);
  }
  CHECK(memory[1] == 7);
  CHECK(deleted == 0);
  STATIC_REQUIRE_FALSE(attune::tensor_traits<DLManagedTensor>::owning);
}

#if defined(DLPACK_FLAG_BITMASK_READ_ONLY)
TEST_CASE("DLPack: versioned tensors", "[dlpack]") {
  float memory[3] = {1, 2, 3};
  foreign x{.shape = {3}, .strides = {1}};
  DLManagedTensorVersioned managed{};
  managed.version = {1, 1};
  managed.dl_tensor = x.of(memory);
  CHECK(as_view<float>(managed).data() == memory);
  CHECK(attune::length_view(managed)(2) == 3);
  managed.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  CHECK(as_view<const float>(managed).data() == memory);
  CHECK_THROWS_WITH(as_view<float>(managed), Contains("is written to, but the DLPack tensor is read-only"));
  managed.dl_tensor.strides = nullptr;
  CHECK(as_view<const float>(managed).stride(0) == 1);
  managed.version.minor = 2;
  CHECK_THROWS_WITH(as_view<const float>(managed), Contains("strides are null; expected strides"));
  managed.version.major = 2;
  CHECK_THROWS_WITH(as_view<const float>(managed), Contains("is of DLPack 2; expected major version 1"));
  CHECK_THROWS_WITH(attune::length_view(managed), Contains("is of DLPack 2"));

  auto constant = attune::to_dlpack(as_view(static_cast<const float*>(memory), 3)), writable = attune::to_dlpack(as_view(memory, 3));
  CHECK(as_view<const float>(constant.versioned()).data() == memory);
  CHECK_THROWS_AS(as_view<float>(constant.versioned()), attune::error);
  CHECK(as_view<float>(writable.versioned()).data() == memory);
}
#endif

TEST_CASE("DLPack: a view as a DLTensor", "[dlpack]") {
  std::vector<double> memory(40);
  const view<double, 2> x(memory.data() + 3, {4, 5}, {8, 1});
  const auto before = attune_test::allocations();
  auto made = attune::to_dlpack(x);
  auto copy = made;
  const DLTensor tensor = copy.tensor(), original = made.tensor();
  const auto after = attune_test::allocations();
  CHECK(after == before);
  CHECK(tensor.shape != original.shape);  // each refers to its own
  CHECK(tensor.device.device_type == kDLCPU);
  CHECK(tensor.dtype.code == kDLFloat);
  CHECK(tensor.dtype.bits == 64);
  CHECK(tensor.dtype.lanes == 1);
  CHECK(tensor.byte_offset == 0);
  const auto back = as_view<double, 2>(tensor);
  CHECK(back.data() == x.data());
  CHECK(back.extents() == x.extents());
  CHECK(back.strides() == x.strides());
  CHECK_FALSE(made.read_only());

  const view<const std::uint8_t, 1, device> bytes(reinterpret_cast<const std::uint8_t*>(memory.data()), {7});
  auto on_device = attune::to_dlpack(bytes, 2);
  CHECK(on_device.tensor().device.device_type == kDLCUDA);
  CHECK(on_device.tensor().device.device_id == 2);
  CHECK(on_device.tensor().dtype.code == kDLUInt);
  CHECK(on_device.read_only());
  CHECK(as_view<const std::uint8_t, 1, device>(on_device.tensor()).data() == bytes.data());
}

TEST_CASE("DLPack: numbers of CUDA streams", "[dlpack]") {
  const auto value = [](std::optional<std::int64_t> number) { return reinterpret_cast<std::intptr_t>(attune::dlpack_stream(number)); };
  CHECK(value(std::nullopt) == 1);
  CHECK(value(1) == 1);
  CHECK(value(2) == 2);
  CHECK(value(0x7f0012345678) == 0x7f0012345678);
  CHECK_THROWS_WITH(value(0), Contains("stream 0 names no CUDA stream"));
  CHECK_THROWS_WITH(value(-1), Contains("stream -1 names no CUDA stream"));
  CHECK(attune::dlpack_stream_number(nullptr) == 1);
  CHECK(attune::dlpack_stream_number(attune::dlpack_stream(2)) == 2);
}
