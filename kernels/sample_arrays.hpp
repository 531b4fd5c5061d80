// Large images made small, and small arrays made into bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vlasscube::sample_arrays {

// out[j][i]: mean of the finite pixels of a block, or their value of largest size (the positive one of two);
// NaN where there is none. The last blocks may be smaller. `out` is [ceil(ny / size)][ceil(nx / size)].
void block_mean(const float* image, std::size_t ny, std::size_t nx, std::size_t size, float* out);
void block_extreme(const float* image, std::size_t ny, std::size_t nx, std::size_t size, float* out);

struct Coded {
  std::string bytes;
  int bytes_per_sample = 1;
  bool differences = false;
};

// Values as multiples of `step`, zigzag-coded with 0 for what is not finite, byte plane by byte plane; as
// differences along the rows where these need fewer bits. Multiples must be below 2^28.
Coded encode(const float* values, std::size_t height, std::size_t width, double step);

}  // namespace vlasscube::sample_arrays
