#include "vector_loops.hpp"

#include <atomic>
#include <cstring>

namespace vlasscube {
namespace {

constexpr int kMost = 3;

struct Available {
  const VectorLoops* loops[kMost];
  const char* names[kMost];
  int count = 0;

  Available() {
#if KERNEL_HAS_X86
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (avx512) add(avx512_loops);
    if (avx2) add(avx2_loops);
#endif
    add(plain_loops);
  }

  void add(const VectorLoops& set) {
    loops[count] = &set;
    names[count] = set.name;
    ++count;
  }
};

const Available& available() {
  static const Available instance;
  return instance;
}

std::atomic<const VectorLoops*> chosen{nullptr};

}  // namespace

const VectorLoops& vector_loops() {
  const VectorLoops* loops = chosen.load();
  return loops ? *loops : *available().loops[0];
}

const char* const* available_vector_loops(int& count) {
  count = available().count;
  return available().names;
}

bool select_vector_loops(const char* name) {
  for (int i = 0; i < available().count; ++i) {
    if (std::strcmp(available().names[i], name) == 0) {
      chosen = available().loops[i];
      return true;
    }
  }
  return false;
}

}  // namespace vlasscube
