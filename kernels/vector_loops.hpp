// The innermost loops of gridding and degridding, one set for each instruction set.
#pragma once

namespace vlasscube {

// A cell holds the four complex Stokes values I, Q, U, V.
constexpr int kCell = 8;

struct VectorLoops {
  const char* name;

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

  // grid[x] += patch[x] * ramp[x] (complex), and patch[x] = 0.
  void (*flush_row)(float* grid, float* patch, const float* ramp, int cells);

  // patch[x] = grid[x] * conj(ramp[x]).
  void (*fetch_row)(const float* grid, float* patch, const float* ramp, int cells);
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
