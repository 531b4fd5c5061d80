#include "rms_map.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "parallel.hpp"
#include "vector_loops.hpp"

namespace vlasscube::rms_map {
namespace {

constexpr double kMadToSigma = 1.482602218505602;  // 1 / Φ⁻¹(3/4)
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

constexpr int kThresholds = 6;
constexpr double kFirstStep = 0.03;  // between thresholds, standard deviations
constexpr int kPasses = 12;
constexpr std::size_t kFewValues = 256;

struct Moments {
  double mean = 0.0;
  double sigma = 0.0;  // of the sample
};

// `pivot` is a value near the mean, which keeps the digits of the variance.
Moments find_moments(const float* pixels, std::size_t size, double pivot) {
  double sum, square;
  vector_loops().sum_deviations(pixels, size, pivot, &sum, &square);
  const double n = static_cast<double>(size);
  return {pivot + sum / n, size > 1 ? std::sqrt(std::max(square - sum * sum / n, 0.0) / (n - 1.0)) : 0.0};
}

// Least float that is not below a double, and greatest that is not above.
float round_up(double value) {
  const float rounded = static_cast<float>(value);
  return rounded < value ? std::nextafter(rounded, kInfinity) : rounded;
}
float round_down(double value) {
  const float rounded = static_cast<float>(value);
  return rounded > value ? std::nextafter(rounded, -kInfinity) : rounded;
}

// What a thread works with, kept from box to box.
class Box {
 public:
  explicit Box(std::size_t pixels)
      : pixels_(pixels),
        deviations_(pixels),
        few_(pixels),
        flags_(pixels + sizeof(std::uint64_t)),
        flagged_(pixels + sizeof(std::uint64_t)),
        limits_(pixels + 1, kUnknown) {}

  // Of ny rows of nx pixels, one of which is finite.
  float rms(const float* corner, std::int64_t ny, std::int64_t nx, std::int64_t row_stride) {
    size_ = static_cast<std::size_t>(ny * nx);
    for (std::int64_t y = 0; y < ny; ++y) std::copy_n(corner + y * row_stride, nx, pixels_.data() + y * nx);
    Moments moments = find_moments(pixels_.data(), size_, 0.0);
    if (!std::isfinite(moments.mean)) {
      remove(find_outside(-kLargest, kLargest));
      moments = find_moments(pixels_.data(), size_, 0.0);
    }
    clip(moments);
    if (moments.sigma == 0.0) return 0.0F;
    const double median = middle(pixels_.data(), moments.mean + median_guess_ * moments.sigma, moments.sigma);
    vector_loops().deviations(pixels_.data(), size_, median, deviations_.data());
    const double mad = middle(deviations_.data(), mad_guess_ * moments.sigma, moments.sigma);
    median_guess_ = (median - moments.mean) / moments.sigma;
    mad_guess_ = mad / moments.sigma;
    return static_cast<float>(kMadToSigma * mad);
  }

 private:
  void clip(Moments& moments) {
    while (moments.sigma > 0.0) {
      double& limit = limits_[size_];
      if (limit == kUnknown) limit = chauvenet_limit(static_cast<std::int64_t>(size_));
      const double reach = limit * moments.sigma;
      const std::size_t outside =
          find_outside(round_up(moments.mean - reach), round_down(moments.mean + reach));
      // All are outside where sigma is nothing but rounding.
      if (outside == 0 || outside == size_) break;
      remove(outside);
      moments = find_moments(pixels_.data(), size_, moments.mean);
    }
  }

  std::size_t find_outside(float low, float high) {
    vector_loops().flag_outside(pixels_.data(), size_, low, high, flags_.data());
    return list_flagged();
  }

  // The indices of what `flags_` marks, into `flagged_`; returns their number.
  std::size_t list_flagged() {
    std::fill_n(flags_.data() + size_, sizeof(std::uint64_t), std::uint8_t{0});
    std::size_t n = 0;
    for (std::size_t i = 0; i < size_; i += sizeof(std::uint64_t)) {
      std::uint64_t eight;
      std::memcpy(&eight, flags_.data() + i, sizeof eight);
      if (eight == 0) continue;
      for (std::size_t k = i; k < i + sizeof eight; ++k) {
        flagged_[n] = static_cast<std::uint32_t>(k);
        n += flags_[k];
      }
    }
    return n;
  }

  // Fill the places of the first n flagged pixels from the end. The order of pixels does not matter.
  void remove(std::size_t n) {
    while (n-- > 0) pixels_[flagged_[n]] = pixels_[--size_];
  }

  // Median of `size_` values; found by counting near where it is expected.
  double middle(const float* values, double guess, double scale) {
    const std::size_t first = (size_ - 1) / 2, second = size_ / 2;
    float low = -kInfinity, high = kInfinity;
    std::size_t below_low = 0, below_high = size_;
    double step = kFirstStep * scale, start = guess - step * (kThresholds - 1) / 2;
    for (int pass = 0; pass < kPasses && below_high - below_low > kFewValues; ++pass) {
      for (int t = 0; t < kThresholds; ++t) {
        const float threshold = static_cast<float>(start + t * step);
        if (threshold <= low || threshold >= high) continue;
        const std::size_t below = vector_loops().count_below(values, size_, threshold);
        if (below <= first) {
          low = threshold;
          below_low = below;
        } else if (below > second) {
          high = threshold;
          below_high = below;
        }
      }
      if (low == -kInfinity || high == kInfinity) {
        step *= 4.0;
        start = low == -kInfinity ? high - kThresholds * step : low + step;
      } else {
        step = (static_cast<double>(high) - low) / (kThresholds + 1);
        start = low + step;
      }
    }
    vector_loops().flag_inside(values, size_, low, high, flags_.data());
    const std::size_t candidates = list_flagged();
    for (std::size_t i = 0; i < candidates; ++i) few_[i] = values[flagged_[i]];
    float* const at = few_.data() + (first - below_low);
    float* const end = few_.data() + candidates;
    std::nth_element(few_.data(), at, end);
    return first == second ? *at : (static_cast<double>(*at) + *std::min_element(at + 1, end)) / 2.0;
  }

  static constexpr double kUnknown = -1.0;

  std::vector<float> pixels_, deviations_, few_;
  std::vector<std::uint8_t> flags_;
  std::vector<std::uint32_t> flagged_;
  std::vector<double> limits_;  // of Chauvenet's criterion, by number of pixels
  std::size_t size_ = 0;        // pixels in use
  // In standard deviations from the mean: those of Gaussian noise, then those of the box before.
  double median_guess_ = 0.0, mad_guess_ = 0.67;
};

bool within(std::int64_t first, std::int64_t count, std::int64_t step, std::int64_t size) {
  return count >= 0 && first >= 0 &&
         (count == 0 || (first < size && (count - 1) <= (size - 1 - first) / step));
}

}  // namespace

double chauvenet_limit(std::int64_t count) {
  const auto expected_in = [](double limit) { return std::floor(0.5 / std::erfc(limit / std::sqrt(2.0))); };
  const double wanted = static_cast<double>(count);
  double high = 1.0;
  while (expected_in(high) <= wanted) high += 1.0;
  double low = high - 1.0;
  // Not to the last digit: CASA stops as soon as the number of values belongs to the limit.
  while (expected_in(low) != wanted) {
    const double middle = (low + high) / 2;
    if (middle == low || middle == high) break;
    (expected_in(middle) <= wanted ? low : high) = middle;
  }
  return low;
}

void local_rms(const float* image, std::int64_t ny, std::int64_t nx, const Grid& grid, float* rms,
               int threads) {
  if (grid.step < 1 || grid.reach < 0 || !within(grid.first_y, grid.rows, grid.step, ny) ||
      !within(grid.first_x, grid.columns, grid.step, nx)) {
    throw std::invalid_argument("rms map: the grid does not lie in the image");
  }
  // Beyond the image there is nothing to reach.
  const std::int64_t reach = std::min(grid.reach, std::max(ny, nx));
  const std::int64_t largest = std::min(2 * reach + 1, ny) * std::min(2 * reach + 1, nx);
  std::vector<Box> boxes(static_cast<std::size_t>(std::max(threads, 1)),
                         Box(static_cast<std::size_t>(largest)));
  parallel_for(static_cast<long>(grid.rows), threads, [&](long row, int thread) {
    const std::int64_t y = grid.first_y + row * grid.step;
    const std::int64_t bottom = std::max<std::int64_t>(y - reach, 0), top = std::min(y + reach + 1, ny);
    for (std::int64_t column = 0; column < grid.columns; ++column) {
      const std::int64_t x = grid.first_x + column * grid.step;
      float& value = rms[row * grid.columns + column];
      if (!std::isfinite(image[y * nx + x])) {
        value = std::numeric_limits<float>::quiet_NaN();
        continue;
      }
      const std::int64_t left = std::max<std::int64_t>(x - reach, 0), right = std::min(x + reach + 1, nx);
      value = boxes[static_cast<std::size_t>(thread)].rms(image + bottom * nx + left, top - bottom,
                                                          right - left, nx);
    }
  });
}

}  // namespace vlasscube::rms_map
