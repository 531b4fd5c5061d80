// Peaks and robust statistics of an image plane.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vlasscube::plane_statistics {

struct Peaks {
  std::int64_t count = 0;    // pixels where `inside` is set, without NaN
  float inside = 0.0F;       // largest |value| of them
  float within_mask = 0.0F;  // where `mask` is set, too
};

// NaN takes no part.
Peaks find_peaks(const float* values, const std::uint8_t* inside, const std::uint8_t* mask, std::size_t size,
                 int threads);

struct RobustStatistics {
  std::int64_t count = 0;
  double median = 0.0;
  double mad = 0.0;  // median absolute deviation from the median, not scaled
};

// Exact order statistics of the finite values where `use` is set, in a few passes and without a copy.
RobustStatistics robust_statistics(const float* values, const std::uint8_t* use, std::size_t size,
                                   int threads);

}  // namespace vlasscube::plane_statistics
