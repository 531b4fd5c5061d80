#include "sample_arrays.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace vlasscube::sample_arrays {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

bool is_finite(float value) { return std::fabs(value) <= std::numeric_limits<float>::max(); }

// For each row of blocks calls clear(), take_row(y) for its rows and finish(place, first, last) for the
// columns of each block: whole rows are worked on at once, for which compilers have vector instructions.
template <class Clear, class TakeRow, class Finish>
void by_blocks(std::size_t ny, std::size_t nx, std::size_t size, const Clear& clear, const TakeRow& take_row,
               const Finish& finish) {
  const std::size_t blocks = (nx + size - 1) / size;
  for (std::size_t j = 0; j * size < ny; ++j) {
    clear();
    for (std::size_t y = j * size; y < std::min(ny, (j + 1) * size); ++y) take_row(y);
    for (std::size_t i = 0; i < blocks; ++i) finish(j * blocks + i, i * size, std::min(nx, (i + 1) * size));
  }
}

int bit_length(std::uint32_t value) { return value == 0 ? 0 : 32 - __builtin_clz(value); }

std::uint32_t size_of(std::int32_t value) { return static_cast<std::uint32_t>(std::abs(value)); }

std::uint32_t code(std::int32_t multiple) {
  return 1 + (multiple < 0 ? 2 * static_cast<std::uint32_t>(-multiple) - 1
                           : 2 * static_cast<std::uint32_t>(multiple));
}

}  // namespace

void block_mean(const float* image, std::size_t ny, std::size_t nx, std::size_t size, float* out) {
  std::vector<float> sums(nx), counts(nx);
  by_blocks(
      ny, nx, size,
      [&] {
        std::fill(sums.begin(), sums.end(), 0.0f);
        std::fill(counts.begin(), counts.end(), 0.0f);
      },
      [&](std::size_t y) {
        const float* row = image + y * nx;
        for (std::size_t x = 0; x < nx; ++x) {
          const bool good = is_finite(row[x]);
          sums[x] += good ? row[x] : 0.0f;
          counts[x] += good ? 1.0f : 0.0f;
        }
      },
      [&](std::size_t place, std::size_t first, std::size_t last) {
        double sum = 0.0, count = 0.0;
        for (std::size_t x = first; x < last; ++x) sum += sums[x], count += counts[x];
        out[place] = count > 0.0 ? static_cast<float>(sum / count) : kNone;
      });
}

void block_extreme(const float* image, std::size_t ny, std::size_t nx, std::size_t size, float* out) {
  std::vector<float> high(nx), low(nx);
  by_blocks(
      ny, nx, size,
      [&] {
        std::fill(high.begin(), high.end(), -kInfinity);
        std::fill(low.begin(), low.end(), kInfinity);
      },
      [&](std::size_t y) {
        const float* row = image + y * nx;
        for (std::size_t x = 0; x < nx; ++x) {
          const bool good = is_finite(row[x]);
          high[x] = good && row[x] > high[x] ? row[x] : high[x];
          low[x] = good && row[x] < low[x] ? row[x] : low[x];
        }
      },
      [&](std::size_t place, std::size_t first, std::size_t last) {
        const float above = *std::max_element(high.begin() + first, high.begin() + last);
        const float below = *std::min_element(low.begin() + first, low.begin() + last);
        out[place] = above < below ? kNone : above >= -below ? above : below;
      });
}

Coded encode(const float* values, std::size_t height, std::size_t width, double step) {
  const std::size_t count = height * width;
  std::vector<std::int32_t> multiples(count), differences(count);
  std::vector<std::uint8_t> good(count);
  std::int64_t plain_bits = 0, difference_bits = 0;
  for (std::size_t y = 0; y < height; ++y) {
    std::int32_t before = 0;
    for (std::size_t i = y * width; i < (y + 1) * width; ++i) {
      good[i] = is_finite(values[i]) ? 1 : 0;
      if (good[i] == 0) continue;
      multiples[i] = static_cast<std::int32_t>(std::lrint(values[i] / step));
      differences[i] = multiples[i] - before;
      before = multiples[i];
      plain_bits += bit_length(size_of(multiples[i]));
      difference_bits += bit_length(size_of(differences[i]));
    }
  }
  Coded coded;
  coded.differences = difference_bits < plain_bits;
  const std::vector<std::int32_t>& chosen = coded.differences ? differences : multiples;
  std::vector<std::uint32_t> codes(count);
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = good[i] != 0 ? code(chosen[i]) : 0;
    largest = std::max(largest, codes[i]);
  }
  coded.bytes_per_sample = std::max(1, (bit_length(largest) + 7) / 8);
  coded.bytes.resize(count * static_cast<std::size_t>(coded.bytes_per_sample));
  for (int plane = 0; plane < coded.bytes_per_sample; ++plane) {
    char* target = coded.bytes.data() + static_cast<std::size_t>(plane) * count;
    for (std::size_t i = 0; i < count; ++i) target[i] = static_cast<char>(codes[i] >> (8 * plane) & 0xff);
  }
  return coded;
}

}  // namespace vlasscube::sample_arrays
