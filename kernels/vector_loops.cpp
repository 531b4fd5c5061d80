// Compiled once for each instruction set, see CMakeLists.txt: the compiler maps the vector type to what the
// set has.
#include "vector_loops.hpp"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

namespace vlasscube {
namespace {

typedef float Vector __attribute__((vector_size(32)));
typedef int Index __attribute__((vector_size(32)));

inline Vector broadcast(float f) { return Vector{f, f, f, f, f, f, f, f}; }

inline Vector& at(float* p) { return *reinterpret_cast<Vector*>(__builtin_assume_aligned(p, 32)); }
inline const Vector& at(const float* p) {
  return *reinterpret_cast<const Vector*>(__builtin_assume_aligned(p, 32));
}

inline Vector swapped(Vector v) {
#if defined(__clang__)
  return __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
#else
  return __builtin_shuffle(v, Index{1, 0, 3, 2, 5, 4, 7, 6});
#endif
}

// v * (re + i im) for four complex numbers.
inline Vector rotated(Vector v, float re, float im) {
  return v * re + swapped(v) * Vector{-im, im, -im, im, -im, im, -im, im};
}

void spread(float* patch, int patch_stride, const float* kernel, int size, int kernel_stride,
            const float* value) {
  const Vector v = at(value);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) at(patch + x * kCell) += broadcast(kernel[x]) * v;
    patch += patch_stride * kCell;
    kernel += kernel_stride;
  }
}

void spread_two(float* patch, int patch_stride, const float* kernel_a, const float* kernel_b, int size,
                int kernel_stride, const float* value_a, const float* value_b) {
  const Vector a = at(value_a), b = at(value_b);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      Vector& cell = at(patch + x * kCell);
      cell = cell + broadcast(kernel_a[x]) * a + broadcast(kernel_b[x]) * b;
    }
    patch += patch_stride * kCell;
    kernel_a += kernel_stride;
    kernel_b += kernel_stride;
  }
}

void gather(const float* patch, int patch_stride, const float* kernel, int size, int kernel_stride,
            float* value) {
  Vector even = broadcast(0), odd = broadcast(0);
  for (int y = 0; y < size; ++y) {
    int x = 0;
    // Two sums hide the latency of the multiply-add.
    for (; x + 1 < size; x += 2) {
      even += broadcast(kernel[x]) * at(patch + x * kCell);
      odd += broadcast(kernel[x + 1]) * at(patch + (x + 1) * kCell);
    }
    if (x < size) even += broadcast(kernel[x]) * at(patch + x * kCell);
    patch += patch_stride * kCell;
    kernel += kernel_stride;
  }
  at(value) = even + odd;
}

void gather_two(const float* patch, int patch_stride, const float* kernel_a, const float* kernel_b, int size,
                int kernel_stride, float* value_a, float* value_b) {
  Vector a0 = broadcast(0), a1 = broadcast(0), b0 = broadcast(0), b1 = broadcast(0);
  for (int y = 0; y < size; ++y) {
    int x = 0;
    for (; x + 1 < size; x += 2) {
      const Vector first = at(patch + x * kCell), second = at(patch + (x + 1) * kCell);
      a0 += broadcast(kernel_a[x]) * first;
      b0 += broadcast(kernel_b[x]) * first;
      a1 += broadcast(kernel_a[x + 1]) * second;
      b1 += broadcast(kernel_b[x + 1]) * second;
    }
    if (x < size) {
      const Vector last = at(patch + x * kCell);
      a0 += broadcast(kernel_a[x]) * last;
      b0 += broadcast(kernel_b[x]) * last;
    }
    patch += patch_stride * kCell;
    kernel_a += kernel_stride;
    kernel_b += kernel_stride;
  }
  at(value_a) = a0 + a1;
  at(value_b) = b0 + b1;
}

typedef float Unaligned __attribute__((vector_size(32), aligned(4)));

void blend(float* out, const float* const functions[4], const float share[4], int floats) {
  const Vector s0 = broadcast(share[0]), s1 = broadcast(share[1]);
  const Vector s2 = broadcast(share[2]), s3 = broadcast(share[3]);
  auto load = [&](int function, int i) {
    return Vector(*reinterpret_cast<const Unaligned*>(functions[function] + i));
  };
  for (int i = 0; i < floats; i += kCell)
    at(out + i) = s0 * load(0, i) + s1 * load(1, i) + s2 * load(2, i) + s3 * load(3, i);
}

void flush_row(float* grid, float* patch, const float* ramp, int cells) {
  for (int x = 0; x < cells; ++x) {
    Vector& cell = at(patch + x * kCell);
    at(grid + x * kCell) += rotated(cell, ramp[2 * x], ramp[2 * x + 1]);
    cell = broadcast(0);
  }
}

void fetch_row(const float* grid, float* patch, const float* ramp, int cells) {
  for (int x = 0; x < cells; ++x)
    at(patch + x * kCell) = rotated(at(grid + x * kCell), ramp[2 * x], -ramp[2 * x + 1]);
}

}  // namespace

#define STRING_(a) #a
#define STRING(a) STRING_(a)

extern const VectorLoops JOIN(KERNEL_VARIANT, _loops) = {
    STRING(KERNEL_VARIANT), spread, spread_two, gather, gather_two, blend, flush_row, fetch_row,
};

}  // namespace vlasscube
