// The innermost loops, one set for each instruction set. All that is written for vectors goes through here.
//
// Numbers do not depend on the set, as long as it has fused multiply-add (avx2 and avx512 have): what is
// fused is written as such, and compilers may not fuse anything else (-ffp-contract=off in CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstdint>

namespace vlasscube {

// A cell holds the four complex Stokes values I, Q, U, V.
constexpr int kCell = 8;

struct VectorLoops {
  const char* name;

  // --- gridding and degridding: multiplications and additions are fused where the processor can

  // patch[y][x] += kernel[y][x] * value, for `size` x `size` cells.
  //   patch          first cell of the kernel's footprint, 32-byte aligned
  //   patch_stride   cells from one row of the patch to the next
  //   kernel         size rows of `kernel_stride` floats
  //   value          kCell floats
  void (*spread)(float* patch, int patch_stride, const float* kernel, int size, int kernel_stride,
                 const float* value);

  // The same for two values at one place: half the traffic to the patch.
  void (*spread_two)(float* patch, int patch_stride, const float* kernel_a, const float* kernel_b, int size,
                     int kernel_stride, const float* value_a, const float* value_b);

  // value = sum of kernel[y][x] * patch[y][x]; the adjoint of spread.
  void (*gather)(const float* patch, int patch_stride, const float* kernel, int size, int kernel_stride,
                 float* value);

  void (*gather_two)(const float* patch, int patch_stride, const float* kernel_a, const float* kernel_b,
                     int size, int kernel_stride, float* value_a, float* value_b);

  // out = the four functions weighted with `share`, `floats` of them, a multiple of kCell.
  void (*blend)(float* out, const float* const functions[4], const float share[4], int floats);

  // real[y][x] + i imaginary[y][x] = sum over `terms` of X[x] * Y[y], for `size` rows of `out_stride` floats,
  // a multiple of kCell. X and Y begin at x and y, `stride` floats from one part to the next; parts are real
  // and imaginary, or real alone. `imaginary` may be null.
  void (*add_products)(float* real, float* imaginary, int size, int out_stride, const float* x,
                       const float* y, int terms, int parts, int stride);

  // grid[x] += patch[x] * ramp[x] (complex), and patch[x] = 0.
  void (*flush_row)(float* grid, float* patch, const float* ramp, int cells);

  // patch[x] = grid[x] * conj(ramp[x]).
  void (*fetch_row)(const float* grid, float* patch, const float* ramp, int cells);

  // --- minor cycle: nothing is fused

  // out[x] += taps[0] * sums[x] + sum over d of taps[d] * (sums[x + d] + sums[x - d]), for d < count;
  // `pixels` of them, a multiple of 32.
  void (*add_convolved)(float* out, const float* sums, const float* taps, int count, int pixels);

  // out[x] = a[x] + b[x]
  void (*add_rows)(float* out, const float* a, const float* b, int count);

  // out[x] -= values[x] * factor
  void (*subtract_scaled)(float* out, const float* values, float factor, int count);

  // Largest |value| of `count` values, a multiple of 64; NaN loses every comparison.
  float (*largest_size)(const float* values, int count);

  // --- rms maps: nothing is fused

  // Sums of (value - pivot) and of its square.
  void (*sum_deviations)(const float* values, std::size_t count, double pivot, double* sum, double* square);

  // How many values are below a threshold; fewer than 2^31.
  std::size_t (*count_below)(const float* values, std::size_t count, float threshold);

  // out[i] = |values[i] - centre|
  void (*deviations)(const float* values, std::size_t count, double centre, float* out);

  // 1 for values in [low, high), others 0.
  void (*flag_inside)(const float* values, std::size_t count, float low, float high, std::uint8_t* flags);

  // 1 for values outside of [low, high] and for those that are not numbers, others 0.
  void (*flag_outside)(const float* values, std::size_t count, float low, float high, std::uint8_t* flags);
};

extern const VectorLoops plain_loops;
#if KERNEL_HAS_X86
extern const VectorLoops avx2_loops;
extern const VectorLoops avx512_loops;
#endif

// The fastest set that this processor has, or the one named by select_vector_loops.
const VectorLoops& vector_loops();

// Names of the sets this processor can run, fastest first.
const char* const* available_vector_loops(int& count);

// Choose a set by name; returns false if it cannot run here. For tests and measurements.
bool select_vector_loops(const char* name);

}  // namespace vlasscube
