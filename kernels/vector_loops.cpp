// Compiled once for each instruction set, see CMakeLists.txt: the compiler maps the vector types to what the
// set has. No function of a header may be called here: the linker would keep one copy of it, of whatever set.
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

// a * b + c, rounded once where the processor can.
inline Vector multiply_add(Vector a, Vector b, Vector c) {
#if defined(__FP_FAST_FMAF)
  // Compilers make one instruction of it.
  Vector sum;
  for (int i = 0; i < kCell; ++i) sum[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return sum;
#else
  return a * b + c;
#endif
}

// v * (re + i im) for four complex numbers.
inline Vector rotated(Vector v, float re, float im) {
  return multiply_add(v, broadcast(re), swapped(v) * Vector{-im, im, -im, im, -im, im, -im, im});
}

void spread(float* patch, int patch_stride, const float* kernel, int size, int kernel_stride,
            const float* value) {
  const Vector v = at(value);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      Vector& cell = at(patch + x * kCell);
      cell = multiply_add(broadcast(kernel[x]), v, cell);
    }
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
      cell = multiply_add(broadcast(kernel_b[x]), b, multiply_add(broadcast(kernel_a[x]), a, cell));
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
      even = multiply_add(broadcast(kernel[x]), at(patch + x * kCell), even);
      odd = multiply_add(broadcast(kernel[x + 1]), at(patch + (x + 1) * kCell), odd);
    }
    if (x < size) even = multiply_add(broadcast(kernel[x]), at(patch + x * kCell), even);
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
      a0 = multiply_add(broadcast(kernel_a[x]), first, a0);
      b0 = multiply_add(broadcast(kernel_b[x]), first, b0);
      a1 = multiply_add(broadcast(kernel_a[x + 1]), second, a1);
      b1 = multiply_add(broadcast(kernel_b[x + 1]), second, b1);
    }
    if (x < size) {
      const Vector last = at(patch + x * kCell);
      a0 = multiply_add(broadcast(kernel_a[x]), last, a0);
      b0 = multiply_add(broadcast(kernel_b[x]), last, b0);
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
    at(out + i) = multiply_add(s3, load(3, i),
                               multiply_add(s2, load(2, i), multiply_add(s0, load(0, i), s1 * load(1, i))));
}

inline Vector load(const float* p) { return Vector(*reinterpret_cast<const Unaligned*>(p)); }

void add_products(float* real, float* imaginary, int size, int out_stride, const float* x, const float* y,
                  int terms, int parts, int stride) {
  for (int row = 0; row < size; ++row) {
    for (int column = 0; column < out_stride; column += kCell) {
      Vector re = broadcast(0), im = broadcast(0);
      for (int term = 0; term < terms; ++term) {
        const float* of_x = x + term * parts * stride + column;
        const float* of_y = y + term * parts * stride + row;
        const Vector x_re = load(of_x), y_re = broadcast(of_y[0]);
        re = multiply_add(x_re, y_re, re);
        if (parts == 2) {
          const Vector x_im = load(of_x + stride), y_im = broadcast(of_y[stride]);
          re = multiply_add(x_im, -y_im, re);
          im = multiply_add(x_re, y_im, multiply_add(x_im, y_re, im));
        }
      }
      at(real + column) = re;
      if (imaginary) at(imaginary + column) = im;
    }
    real += out_stride;
    if (imaginary) imaginary += out_stride;
  }
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

// Sixteen neighbouring pixels, at any address; not to be deduced by `auto`, which forgets the alignment.
using Lanes [[gnu::vector_size(64), gnu::aligned(4), gnu::may_alias]] = float;
constexpr int kLanes = 16;

void add_convolved(float* out, const float* sums, const float* taps, int count, int pixels) {
  for (int x = 0; x < pixels; x += 2 * kLanes) {
    Lanes* to = reinterpret_cast<Lanes*>(out + x);
    const Lanes* middle = reinterpret_cast<const Lanes*>(sums + x);
    Lanes left = to[0] + taps[0] * middle[0];
    Lanes right = to[1] + taps[0] * middle[1];
    for (int d = 1; d < count; ++d) {
      const Lanes* before = reinterpret_cast<const Lanes*>(sums + x - d);
      const Lanes* after = reinterpret_cast<const Lanes*>(sums + x + d);
      left += taps[d] * (before[0] + after[0]);
      right += taps[d] * (before[1] + after[1]);
    }
    to[0] = left;
    to[1] = right;
  }
}

void add_rows(float* out, const float* a, const float* b, int count) {
  for (int x = 0; x < count; ++x) out[x] = a[x] + b[x];
}

void subtract_scaled(float* out, const float* values, float factor, int count) {
  for (int x = 0; x < count; ++x) out[x] -= values[x] * factor;
}

float largest_size(const float* values, int count) {
  constexpr int kColumns = 64;
  float columns[kColumns] = {};
  for (int i = 0; i < count; i += kColumns) {
    for (int k = 0; k < kColumns; ++k) {
      const float value = __builtin_fabsf(values[i + k]);
      columns[k] = value > columns[k] ? value : columns[k];
    }
  }
  float largest = 0.0F;
  for (const float value : columns) largest = value > largest ? value : largest;
  return largest;
}

void sum_deviations(const float* values, std::size_t count, double pivot, double* sum, double* square) {
  // Lane by lane: an order of summation that vectors keep. In local variables, which stay in registers.
  constexpr std::size_t kSums = 16;
  double sums[kSums] = {}, squares[kSums] = {};
  const std::size_t whole = count - count % kSums;
  for (std::size_t i = 0; i < whole; i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) {
      const double deviation = values[i + k] - pivot;
      sums[k] += deviation;
      squares[k] += deviation * deviation;
    }
  }
  double all = 0.0, all_squares = 0.0;
  for (std::size_t i = whole; i < count; ++i) {
    const double deviation = values[i] - pivot;
    all += deviation;
    all_squares += deviation * deviation;
  }
  for (std::size_t k = 0; k < kSums; ++k) {
    all += sums[k];
    all_squares += squares[k];
  }
  *sum = all;
  *square = all_squares;
}

std::size_t count_below(const float* values, std::size_t count, float threshold) {
  std::int32_t below = 0;
  for (std::size_t i = 0; i < count; ++i) below += values[i] < threshold;
  return static_cast<std::size_t>(below);
}

void deviations(const float* values, std::size_t count, double centre, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(__builtin_fabs(values[i] - centre));
}

void flag_inside(const float* values, std::size_t count, float low, float high, std::uint8_t* flags) {
  for (std::size_t i = 0; i < count; ++i) flags[i] = (values[i] >= low) & (values[i] < high);
}

void flag_outside(const float* values, std::size_t count, float low, float high, std::uint8_t* flags) {
  for (std::size_t i = 0; i < count; ++i) flags[i] = !((values[i] >= low) & (values[i] <= high));
}

}  // namespace

#define STRING_(a) #a
#define STRING(a) STRING_(a)

extern const VectorLoops JOIN(KERNEL_VARIANT, _loops) = {
    STRING(KERNEL_VARIANT), spread,         spread_two,  gather,        gather_two,  blend,
    add_products,           flush_row,      fetch_row,   add_convolved, add_rows,    subtract_scaled,
    largest_size,           sum_deviations, count_below, deviations,    flag_inside, flag_outside,
};

}  // namespace vlasscube
