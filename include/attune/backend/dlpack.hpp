// SPDX-License-Identifier: MIT
// DLPack 0.6 to 1.3: the tensors of PyTorch, JAX, CuPy and NumPy, where they lie. A DLTensor says at run time only what its elements are, how
// many dimensions it has and on which device it lies: a view says what is expected, and making it checks that.
//
//   attune::pairs<float> batch{.chosen = *chosen, .rejected = *rejected};                 // const DLTensor*, or DLManagedTensor*, ...
//   const auto logits = attune::as_view<const attune::bfloat16, 2>(managed->dl_tensor);   // on the host
//   const auto there = attune::as_view<const float, 2, attune::device>(managed->dl_tensor);
//
// A view owns nothing: the caller keeps the managed tensor, and calls its deleter when the views are no longer used.
#pragma once

#include <attune/core/view.hpp>  // tensor_traits

#if __has_include(<ATen/dlpack.h>) && !__has_include(<dlpack/dlpack.h>)
#include <ATen/dlpack.h>  // PyTorch's copy of it
#else
#include <dlpack/dlpack.h>
#endif

#include <cstring>
#include <optional>

namespace attune {
namespace detail {

/// DLPack's name of a type: "float32", "bool", "int8 x 4" (lanes). Codes that the header of 0.6 does not have are numbers here.
inline std::string dlpack_name(DLDataType type) {
  constexpr const char* with_bits[] = {"int", "uint", "float", "opaque", "bfloat", "complex"};
  constexpr const char* whole[] = {"bool", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
                                   "float8_e5m2fnuz", "float8_e8m0fnu", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"};
  const std::string bits = text(static_cast<long long>(type.bits));
  std::string name = "type code " + text(static_cast<long long>(type.code)) + " of " + bits + " bits";
  if (type.code < std::size(with_bits)) name = with_bits[type.code] + bits;
  else if (type.code - std::size(with_bits) < std::size(whole)) name = whole[type.code - std::size(with_bits)];
  return type.lanes == 1 ? name : name + " x " + text(static_cast<long long>(type.lanes));
}

inline constexpr std::uint8_t dlpack_bool = 6;  // since 0.8

/// What DLPack calls a T. Of the two kinds of 16-bit numbers a type is the one that its 1 has the bits of.
template <class T> DLDataType dlpack_type() {
  static_assert(storage<T> || std::integral<T>, "attune: DLPack has no name for this element type; expected a number of 8 to 64 bits");
  std::uint8_t code = kDLFloat;
  if constexpr (std::same_as<T, bool>) {
    code = dlpack_bool;
  } else if constexpr (std::integral<T>) {
    code = std::signed_integral<T> ? kDLInt : kDLUInt;
  } else if constexpr (half_storage<T>) {
    const T one = static_cast<T>(1.0f);
    std::uint16_t bits;
    std::memcpy(&bits, &one, sizeof bits);
    if (bits == 0x3f80) code = kDLBfloat;
  }
  return {code, 8 * sizeof(T), 1};
}

/// Whether elements of that type are read as T: its own, and bool as bytes, which masks are.
template <class T> bool dlpack_holds(DLDataType given) {
  const DLDataType own = dlpack_type<T>();
  const bool mask = std::same_as<T, std::uint8_t> && given.code == dlpack_bool;
  return (given.code == own.code || mask) && given.bits == own.bits && given.lanes == 1;
}
template <class T> void require_dlpack_type(DLDataType given) {
  if (dlpack_holds<T>(given)) return;
  throw error("attune: the DLPack tensor holds " + dlpack_name(given) + "; expected " + dlpack_name(dlpack_type<T>()) +
              (std::same_as<T, std::uint8_t> ? " or bool" : ""));
}

inline std::string dlpack_name(DLDevice device, std::int32_t type) {
  constexpr const char* names[] = {"", "CPU", "CUDA", "CUDA host", "OpenCL", "", "", "Vulkan", "Metal", "VPI", "ROCm", "ROCm host", "extension",
                                   "CUDA managed", "oneAPI", "WebGPU", "Hexagon", "MAIA", "Trainium"};
  const bool named = type > 0 && std::size_t(type) < std::size(names) && *names[type] != 0;
  const std::string name = named ? names[type] : "device type " + text(static_cast<long long>(type));
  return name + " memory (device " + text(static_cast<long long>(device.device_id)) + ")";
}
template <class Space> void require_dlpack_device(DLDevice device) {
  std::int32_t type;  // copied: a newer producer's device may be no value of this header's enumeration
  std::memcpy(&type, &device.device_type, sizeof type);
  constexpr bool on_host = std::same_as<Space, host>;
  const bool fits = on_host ? type == kDLCPU || type == kDLCUDAHost : type == kDLCUDA;
  if (fits || type == kDLCUDAManaged) return;
  throw error("attune: the DLPack tensor lies in " + dlpack_name(device, type) + "; expected " +
              (on_host ? "CPU, CUDA host or CUDA managed memory, for a view on the host" : "CUDA or CUDA managed memory, for a view on the device"));
}

/// The address of element (0, ...).
template <class T> T* dlpack_data(const DLTensor& x, bool any) {
  if (x.data == nullptr && any) throw error("attune: the DLPack tensor has elements, but its data is null");
  if (x.data == nullptr) return nullptr;
  if (x.byte_offset % sizeof(T) != 0) {
    throw error("attune: the DLPack tensor's byte_offset is " + std::to_string(x.byte_offset) + "; expected a multiple of " +
                std::to_string(sizeof(T)) + ", the bytes of an element");
  }
  void* const first = static_cast<char*>(x.data) + x.byte_offset;
  if (const std::uintptr_t excess = reinterpret_cast<std::uintptr_t>(first) % alignof(T); excess != 0) {
    throw error("attune: the DLPack tensor's data is " + std::to_string(excess) + " bytes past a multiple of " + std::to_string(alignof(T)) +
                "; expected it to be aligned to its elements");
  }
  return static_cast<T*>(first);
}

template <class T, int Rank, class Space> view<T, Rank, Space> dlpack_view(const DLTensor& x) {
  require_dlpack_type<std::remove_const_t<T>>(x.dtype);
  require_dlpack_device<Space>(x.device);
  if (x.ndim != Rank) {
    throw error("attune: the DLPack tensor has " + text(static_cast<long long>(x.ndim)) + " dimensions; expected " +
                text(static_cast<long long>(Rank)));
  }
  if (x.shape == nullptr) throw error("attune: the DLPack tensor's shape is null; expected " + text(static_cast<long long>(Rank)) + " extents");
  std::array<std::int64_t, std::size_t(Rank)> extents;
  bool any = true;
  for (std::size_t r = 0; r < Rank; ++r) {
    extents[r] = x.shape[r];
    if (extents[r] < 0) {
      throw error("attune: the DLPack tensor's extent " + text(static_cast<long long>(r)) + " is " +
                  text(static_cast<long long>(extents[r])) + "; expected 0 or more");
    }
    any = any && extents[r] > 0;
  }
  T* const data = dlpack_data<T>(x, any);
  if (x.strides == nullptr || !any) return {data, extents};  // without elements strides say nothing, and all 0 they would make the view absent
  std::array<std::int64_t, std::size_t(Rank)> strides;
  std::memcpy(strides.data(), x.strides, sizeof strides);
  return {data, extents, strides};
}

/// Managed tensors, whose deleter nobody calls here.
template <class T, int Rank, class Space> view<T, Rank, Space> dlpack_view(const DLManagedTensor& x) {
  return dlpack_view<T, Rank, Space>(x.dl_tensor);
}
inline DLDataType dlpack_type_of(const DLTensor& x) { return x.dtype; }
inline DLDataType dlpack_type_of(const DLManagedTensor& x) { return x.dl_tensor.dtype; }

#if defined(DLPACK_FLAG_BITMASK_READ_ONLY)  // 1.0
inline const DLTensor& dlpack_of_version_1(const DLManagedTensorVersioned& x) {
  if (x.version.major == 1) return x.dl_tensor;
  throw error("attune: the tensor is of DLPack " + std::to_string(x.version.major) + "; expected major version 1");
}
template <class T, int Rank, class Space> view<T, Rank, Space> dlpack_view(const DLManagedTensorVersioned& x) {
  const DLTensor& tensor = dlpack_of_version_1(x);
  if (!std::is_const_v<T> && (x.flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0) {
    throw error("attune: this argument is written to, but the DLPack tensor is read-only; expected one without DLPACK_FLAG_BITMASK_READ_ONLY");
  }
  if (tensor.strides == nullptr && tensor.ndim != 0 && x.version.minor >= 2) {
    throw error("attune: the DLPack tensor's strides are null; expected strides, as DLPack demands since 1.2");
  }
  return dlpack_view<T, Rank, Space>(tensor);
}
inline DLDataType dlpack_type_of(const DLManagedTensorVersioned& x) { return dlpack_of_version_1(x).dtype; }
#endif

template <class X> struct dlpack_traits {
  static constexpr bool owning = false;  // the memory is the producer's
  template <class T, int Rank, class Space> static view<T, Rank, Space> make(const X& x) { return dlpack_view<T, Rank, Space>(x); }
  template <int Rank> static auto make(const X&) {
    static_assert(Rank < 0, "attune: what a DLPack tensor holds is known at run time only; say what is expected: as_view<const float, 2>(x)");
  }
  template <class T> static bool holds(const X& x) { return dlpack_holds<T>(dlpack_type_of(x)); }
};

}  // namespace detail

/// Any T, Rank and Space. T: float, double, bfloat16 and other 16-bit types, integers; std::uint8_t also sees bool. Strides are the tensor's own;
/// null means packed, last index fastest (as DLPack has it up to 1.1). byte_offset is honoured. Nothing is allocated.
/// Space host: CPU, CUDA host (pinned) and CUDA managed memory; device: CUDA and CUDA managed memory, of any device: which one is
/// x.device.device_id, and the caller's to compare. Elements are those that the producer's stream has written: see dlpack_stream.
/// Throws attune::error: another element type, number of dimensions or device; a negative extent; null data (of a tensor with elements) or
/// shape; data not aligned to its elements, or a byte_offset that is no multiple of them.
template <> struct tensor_traits<DLTensor> : detail::dlpack_traits<DLTensor> {};
template <> struct tensor_traits<DLManagedTensor> : detail::dlpack_traits<DLManagedTensor> {};
#if defined(DLPACK_FLAG_BITMASK_READ_ONLY)
/// Throws also for another major version, of which only the deleter may be called; for a tensor that is only to be read where the view may be
/// written; and for null strides where the producer's version is 1.2 or later, which does not allow them.
template <> struct tensor_traits<DLManagedTensorVersioned> : detail::dlpack_traits<DLManagedTensorVersioned> {};
#endif

/// A view as a DLTensor, for libraries that take one: it borrows the view's memory, and has room for extents and strides, to which the
/// DLTensor points. Keep it as long as the DLTensor is used, and the memory as long as whoever has received it may read.
template <int Rank> class dlpack_tensor {
 public:
  template <class T, class Space>
  dlpack_tensor(const view<T, Rank, Space>& x, DLDevice device) : shape_(x.extents()), strides_(x.strides()), read_only_(std::is_const_v<T>) {
    tensor_.data = const_cast<std::remove_const_t<T>*>(x.data());
    tensor_.device = device;
    tensor_.ndim = Rank;
    tensor_.dtype = detail::dlpack_type<std::remove_const_t<T>>();
  }

  /// A DLTensor has no way to say that its elements are only to be read: of one made of a view<const T>, they are.
  DLTensor tensor() & {
    DLTensor x = tensor_;
    x.shape = shape_.data();
    x.strides = strides_.data();
    return x;
  }
  DLTensor tensor() && = delete;  // its shape and strides would dangle
#if defined(DLPACK_FLAG_BITMASK_READ_ONLY)
  /// With that flag, and without a deleter, since there is nothing to delete.
  DLManagedTensorVersioned versioned() & {
    DLManagedTensorVersioned x{};
    x.version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
    x.flags = read_only_ ? DLPACK_FLAG_BITMASK_READ_ONLY : 0;
    x.dl_tensor = tensor();
    return x;
  }
  DLManagedTensorVersioned versioned() && = delete;
#endif
  bool read_only() const { return read_only_; }

 private:
  DLTensor tensor_{};
  std::array<std::int64_t, std::size_t(Rank)> shape_, strides_;
  bool read_only_;
};

template <class T, int Rank> dlpack_tensor<Rank> to_dlpack(const view<T, Rank>& x) { return {x, {kDLCPU, 0}}; }
/// The view does not know which device its memory is of.
template <class T, int Rank> dlpack_tensor<Rank> to_dlpack(const view<T, Rank, device>& x, int device_id) { return {x, {kDLCUDA, device_id}}; }

/// Streams. The consumer (who calls attune) chooses one, gives its number to each producer, as tensor.__dlpack__(stream=number), and runs
/// attune on that same stream: the producer makes the stream wait for what it has still to write. A producer that reads results on another
/// stream has to wait in turn. Numbers that stand for a stream: absent (None) and 1 the legacy default stream, 2 the default stream of the
/// thread, above that a cudaStream_t's value. 0 could be either default; -1 tells a producer not to wait and names no stream.
/// dlpack_stream: the cudaStream_t of a number, as a void* (static_cast<cudaStream_t> makes it one) so that no header of CUDA is needed.
/// Throws attune::error for 0, -1 and below.
inline void* dlpack_stream(std::optional<std::int64_t> number) {
  const std::int64_t n = number.value_or(1);
  if (n < 1) {
    throw error("attune: stream " + detail::text(static_cast<long long>(n)) +
                " names no CUDA stream in DLPack; expected 1 (legacy default), 2 (default of the thread), the value of a cudaStream_t, or none");
  }
  return reinterpret_cast<void*>(static_cast<std::intptr_t>(n));  // cudaStreamLegacy is 1, cudaStreamPerThread 2
}
/// The number for __dlpack__(stream=...) of a cudaStream_t; of the null stream, which is taken for the legacy default, 1.
inline std::int64_t dlpack_stream_number(const void* stream) {
  return stream == nullptr ? 1 : static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(stream));
}

}  // namespace attune
