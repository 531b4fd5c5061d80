#include "plane_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "parallel.hpp"

namespace vlasscube::plane_statistics {

Peaks find_peaks(const float* values, const std::uint8_t* inside, const std::uint8_t* mask, std::size_t size,
                 int threads) {
  constexpr std::size_t kChunk = std::size_t{1} << 20;
  const std::size_t chunks = (size + kChunk - 1) / kChunk;
  std::vector<Peaks> parts(chunks);
  parallel_for(static_cast<long>(chunks), threads, [&](long item, int) {
    const auto chunk = static_cast<std::size_t>(item);
    Peaks peaks;
    for (std::size_t i = chunk * kChunk; i < std::min(size, (chunk + 1) * kChunk); ++i) {
      const float value = std::fabs(values[i]);
      if (inside[i] == 0 || std::isnan(value)) continue;
      ++peaks.count;
      if (value > peaks.inside) peaks.inside = value;
      if (value > peaks.within_mask && mask[i] != 0) peaks.within_mask = value;
    }
    parts[chunk] = peaks;
  });
  Peaks all;
  for (const Peaks& part : parts) {
    all.count += part.count;
    all.inside = std::max(all.inside, part.inside);
    all.within_mask = std::max(all.within_mask, part.within_mask);
  }
  return all;
}

namespace {

constexpr std::size_t kSample = std::size_t{1} << 16;

// Calls take(value) for each finite value in use of values[first], values[first + step], … before `last`.
template <class Transform, class Take>
void for_each_used(const float* values, const std::uint8_t* use, std::size_t first, std::size_t last,
                   std::size_t step, const Transform& transform, const Take& take) {
  for (std::size_t i = first; i < last; i += step) {
    if (use[i] != 0 && std::isfinite(values[i])) take(transform(values[i]));
  }
}

struct Part {
  std::int64_t count = 0;
  std::int64_t below = 0;   // the bracket
  std::int64_t lowest = 0;  // at its lower end; kept apart, for a plane of one value has all of them there
  std::vector<float> between;
};

// The median of transform(values): bracketed by the median of a sample, then taken from all values within the
// bracket.
template <class Transform>
double median_of(const float* values, const std::uint8_t* use, std::size_t size, int threads,
                 const Transform& transform, std::int64_t& count) {
  std::vector<float> sample;
  // An odd step does not stay in one column of an image of even width.
  const std::size_t step = size / kSample | 1U;
  for_each_used(values, use, 0, size, step, transform, [&](float value) { sample.push_back(value); });
  std::sort(sample.begin(), sample.end());
  const auto middle = static_cast<double>(sample.size()) / 2.0;
  const auto workers = static_cast<std::size_t>(std::max(threads, 1));
  for (double width = 4.0 * std::sqrt(middle) + 16.0;; width *= 8.0) {
    float low = -std::numeric_limits<float>::infinity();
    float high = std::numeric_limits<float>::infinity();
    if (middle > width) {
      low = sample[static_cast<std::size_t>(middle - width)];
      high = sample[static_cast<std::size_t>(middle + width)];
    }
    std::vector<Part> parts(workers);
    parallel_for(static_cast<long>(workers), threads, [&](long item, int) {
      const auto worker = static_cast<std::size_t>(item);
      Part part;
      for_each_used(values, use, size * worker / workers, size * (worker + 1) / workers, 1, transform,
                    [&](float value) {
                      ++part.count;
                      part.below += value < low ? 1 : 0;
                      if (value == low) {
                        ++part.lowest;
                      } else if (value > low && value <= high) {
                        part.between.push_back(value);
                      }
                    });
      parts[worker] = std::move(part);
    });
    Part all = std::move(parts[0]);
    for (std::size_t worker = 1; worker < workers; ++worker) {
      const Part& part = parts[worker];
      all.count += part.count;
      all.below += part.below;
      all.lowest += part.lowest;
      all.between.insert(all.between.end(), part.between.begin(), part.between.end());
    }
    count = all.count;
    if (count == 0) return 0.0;
    const auto kept = static_cast<std::int64_t>(all.between.size());
    const std::int64_t lower = (count - 1) / 2 - all.below - all.lowest;
    const std::int64_t upper = count / 2 - all.below - all.lowest;
    if (lower < -all.lowest || upper >= kept) continue;
    const auto ranked = [&](std::int64_t rank) {
      if (rank < 0) return static_cast<double>(low);
      std::nth_element(all.between.begin(), all.between.begin() + rank, all.between.end());
      return static_cast<double>(all.between[static_cast<std::size_t>(rank)]);
    };
    const double value = ranked(lower);
    return upper == lower ? value : 0.5 * (value + ranked(upper));
  }
}

}  // namespace

RobustStatistics robust_statistics(const float* values, const std::uint8_t* use, std::size_t size,
                                   int threads) {
  RobustStatistics statistics;
  statistics.median =
      median_of(values, use, size, threads, [](float value) { return value; }, statistics.count);
  const double median = statistics.median;
  std::int64_t count = 0;
  statistics.mad = median_of(
      values, use, size, threads,
      [median](float value) { return static_cast<float>(std::fabs(value - median)); }, count);
  return statistics;
}

}  // namespace vlasscube::plane_statistics
