// SPDX-License-Identifier: MIT
// attune's kernels on the host, with the threads of a block emulated: right, without a race that another order of the threads shows, and each thread
// where the others wait for it. The same cases run on a GPU in kernels.cu.
#include "emulated_block.hpp"
#include "kernel_cases.hpp"

namespace {

/// Calls run the threads of blocks in one order and in the other, by turns: what has to have the same bits is seen in both.
struct machine {
  static constexpr std::int64_t classes[] = {1000, 1003}, large[] = {2000, 4099, 7000, 9000};
  static inline int threads = 32, ranks = 8;
  static inline bool backwards = false;
  attune_test::emulated policy() const {
    backwards = !backwards;
    return {.threads = threads, .ranks = ranks, .backwards = backwards};
  }

  template <class T> class memory {
   public:
    explicit memory(const std::vector<T>& x) : size_(x.size()), bytes_(x.size() * sizeof(T) + 16) {
      if (!x.empty()) std::memcpy(data(), x.data(), x.size() * sizeof(T));
    }
    memory(const memory&) = delete;
    T* data() { return reinterpret_cast<T*>(bytes_.data() + begin()); }
    std::size_t size() const { return size_; }
    std::vector<T> host() const {
      const T* first = reinterpret_cast<const T*>(bytes_.data() + begin());
      return {first, first + size_};
    }

   private:
    std::size_t begin() const { return (16 - reinterpret_cast<std::uintptr_t>(bytes_.data()) % 16) % 16; }
    std::size_t size_;
    std::vector<std::byte> bytes_;
  };
};

/// Threads read what their neighbours have written to shared memory; planted: without waiting for them.
template <bool Waits> struct neighbours {
  struct shared {
    int number[64];
  };
  int* out;

  template <class Block> void operator()(const Block& block, shared& memory) const {
    memory.number[block.thread()] = block.thread();
    if (Waits) block.sync();
    out[block.thread()] = memory.number[(block.thread() + 1) % block.threads()];
  }
};
template <bool Waits> bool same_in_both_orders() {
  std::vector<int> out[2]{std::vector<int>(64), std::vector<int>(64)};
  for (const bool backwards : {false, true}) {
    launch_blocks(attune_test::emulated{.threads = 64, .ranks = 1, .backwards = backwards}, {"planted", 1, 1, 64, 1}, neighbours<Waits>{out[backwards].data()});
  }
  return out[0] == out[1];
}

}  // namespace

int main() {
  using namespace attune_test;
  situation = "the emulated block";
  ATTUNE_EXPECT(same_in_both_orders<true>());
#if !defined(ATTUNE_EMULATE_THREADS)
  ATTUNE_EXPECT(!same_in_both_orders<false>());
#endif
  run_kernel_cases<machine>();
  kernel_cases<machine, float>{}.about_likelihood();
  kernel_cases<machine, double>{}.about_gradients();
  std::puts("blocks of 32 threads, clusters of up to 8");
  machine::threads = 64, machine::ranks = 1;
  kernel_cases<machine, float>{}.about_fused();
  kernel_cases<machine, attune::bfloat16>{}.about_hard_rows();
  std::puts("blocks of 64 threads, no clusters");
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
