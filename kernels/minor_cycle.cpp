#include "minor_cycle.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <utility>

#include "parallel.hpp"
#include "vector_loops.hpp"

namespace vlasscube::minor_cycle {
namespace {

constexpr float kMasked = std::numeric_limits<float>::quiet_NaN();
constexpr float kMaskThreshold = 0.1F;  // of a scale's kernel that must lie on the mask
constexpr float kMainLobe = 4.0F;       // width of the psf, pixels, that the patch is made for
constexpr float kPatchWidths = 20.0F;   // main lobes across the patch
constexpr float kBorderScales = 1.5F;   // scales that a component keeps from the edges
constexpr std::size_t kGroup = 64;      // tiles whose peaks are searched together
constexpr int kMaxRadius = 160;         // of a kernel that is convolved in tiles

// The zero-order prolate spheroidal function with m = 6, alpha = 1: rational approximation of F. Schwab
// (1984), "Optimal gridding of visibility data in radio interferometry".
double spheroidal(double nu) {
  static constexpr double kTop[2][5] = {{8.203343e-2, -3.644705e-1, 6.278660e-1, -5.335581e-1, 2.312756e-1},
                                        {4.028559e-3, -3.697768e-2, 1.021332e-1, -1.201436e-1, 6.412774e-2}};
  static constexpr double kBottom[2][3] = {{1.0, 8.212018e-1, 2.078043e-1}, {1.0, 9.599102e-1, 2.918724e-1}};
  if (nu <= 0.0) return 1.0;
  if (nu >= 1.0) return 0.0;
  const int part = nu < 0.75 ? 0 : 1;
  const double end = part == 0 ? 0.75 : 1.0;
  const double t = nu * nu - end * end;
  const double* p = kTop[part];
  const double* q = kBottom[part];
  return (p[0] + t * (p[1] + t * (p[2] + t * (p[3] + t * p[4])))) / (q[0] + t * (q[1] + t * q[2]));
}

int patch_side(float largest_scale, int ny, int nx) {
  const int wanted =
      static_cast<int>(std::sqrt(kMainLobe * kMainLobe + largest_scale * largest_scale) * kPatchWidths);
  const int side = wanted > std::min(ny, nx) ? std::min(ny, nx) : wanted;
  return side - side % 2;
}

int tiles_across(int pixels) { return (pixels + kTile - 1) / kTile; }

// A tile and a margin around it, as float, zero outside the image.
class Window {
 public:
  explicit Window(int margin)
      : margin_(margin), side_(kTile + 2 * margin), values_(static_cast<std::size_t>(side_) * side_) {}

  template <class Value>
  void fill(const Value* image, int ny, int nx, int y0, int x0) {
    std::fill(values_.begin(), values_.end(), 0.0F);
    const int first = std::max(0, margin_ - x0);
    const int last = std::min(side_, nx - x0 + margin_);
    for (int row = std::max(0, margin_ - y0); row < std::min(side_, ny - y0 + margin_); ++row) {
      const Value* from = image + static_cast<std::size_t>(y0 - margin_ + row) * nx + (x0 - margin_);
      float* to = &values_[static_cast<std::size_t>(row) * side_];
      for (int column = first; column < last; ++column) {
        const float value = static_cast<float>(from[column]);
        to[column] = std::isfinite(value) ? value : 0.0F;
      }
    }
  }

  // Row of the window at offset (y, x) from the corner of the tile.
  const float* at(int y, int x) const {
    return &values_[static_cast<std::size_t>(y + margin_) * side_ + (x + margin_)];
  }

 private:
  int margin_;
  int side_;
  std::vector<float> values_;
};

void convolve_tile(const Window& window, const ScaleKernel& kernel, float* out) {
  const VectorLoops& loops = vector_loops();
  const int radius = kernel.radius;
  const int width = kTile + 2 * radius;
  float sums[kTile + 2 * kMaxRadius];
  for (int y = 0; y < kTile; ++y) {
    float* row = out + y * kTile;
    std::fill(row, row + kTile, 0.0F);
    for (int dy = 0; dy <= radius; ++dy) {
      const float* taps = &kernel.quadrant[static_cast<std::size_t>(dy) * (radius + 1)];
      int count = radius + 1;
      while (count > 0 && taps[count - 1] == 0.0F) --count;
      if (count == 0) continue;
      const float* middle = window.at(y, -radius);
      if (dy > 0) {
        loops.add_rows(sums, window.at(y - dy, -radius), window.at(y + dy, -radius), width);
        middle = sums;
      }
      loops.add_convolved(row, middle + radius, taps, count, kTile);
    }
  }
}

// The residual convolved with one scale, where that scale may place components.
class ScaleResidual {
 public:
  ScaleResidual(const ScaleMask& mask, const MinorCycle& cycle, const ScaleKernel& kernel,
                const float* residual)
      : mask_(&mask),
        nx_(cycle.nx()),
        across_(tiles_across(cycle.nx())),
        values_(mask.tiles.size() * kTile * kTile),
        peaks_(mask.tiles.size()),
        group_peaks_((mask.tiles.size() + kGroup - 1) / kGroup) {
    parallel_for(static_cast<long>(mask.tiles.size()), cycle.threads(), [&](long item, int) {
      const auto index = static_cast<std::size_t>(item);
      Window window(kernel.radius);
      float* tile = &values_[index * kTile * kTile];
      const int number = mask.tiles[index];
      window.fill(residual, cycle.ny(), nx_, number / across_ * kTile, number % across_ * kTile);
      convolve_tile(window, kernel, tile);
      for (int y = 0; y < kTile; ++y) {
        const std::uint64_t bits = mask.rows[index * kTile + y];
        for (int x = 0; x < kTile; ++x) {
          if ((bits >> x & 1U) == 0) tile[y * kTile + x] = kMasked;
        }
      }
      peaks_[index] = vector_loops().largest_size(tile, kTile * kTile);
    });
    for (std::size_t group = 0; group < group_peaks_.size(); ++group) update_group(group);
  }

  float peak() const {
    float peak = 0.0F;
    for (const float value : group_peaks_) peak = value > peak ? value : peak;
    return peak;
  }

  // The first pixel, row by row, with |value| equal to `peak`; its value.
  float locate(float peak, int& peak_y, int& peak_x) const {
    float found = 0.0F;
    peak_y = std::numeric_limits<int>::max();
    peak_x = 0;
    for (std::size_t group = 0; group < group_peaks_.size(); ++group) {
      if (group_peaks_[group] != peak) continue;
      for (std::size_t index = group * kGroup; index < std::min((group + 1) * kGroup, peaks_.size());
           ++index) {
        if (peaks_[index] != peak) continue;
        const float* tile = &values_[index * kTile * kTile];
        const float* pixel =
            std::find_if(tile, tile + kTile * kTile, [&](float v) { return std::fabs(v) == peak; });
        const int inside = static_cast<int>(pixel - tile);
        const int y = mask_->tiles[index] / across_ * kTile + inside / kTile;
        if (y < peak_y) {
          peak_y = y;
          peak_x = mask_->tiles[index] % across_ * kTile + inside % kTile;
          found = *pixel;
        }
      }
    }
    return found;
  }

  // Subtract factor * patch, whose pixel (py, px) lies on pixel (y0 + py, x0 + px) of the image.
  void subtract(const float* patch, int side, int y0, int x0, int ny, float factor) {
    const VectorLoops& loops = vector_loops();
    const int y1 = std::min(y0 + side, ny);
    const int x1 = std::min(x0 + side, nx_);
    const int first_y = std::max(y0, 0);
    const int first_x = std::max(x0, 0);
    for (int tile_y = first_y / kTile; tile_y <= (y1 - 1) / kTile; ++tile_y) {
      for (int tile_x = first_x / kTile; tile_x <= (x1 - 1) / kTile; ++tile_x) {
        const int index = mask_->slot[static_cast<std::size_t>(tile_y) * across_ + tile_x];
        if (index < 0) continue;
        float* tile = &values_[static_cast<std::size_t>(index) * kTile * kTile];
        const int left = std::max(first_x, tile_x * kTile);
        const int count = std::min(x1, (tile_x + 1) * kTile) - left;
        for (int y = std::max(first_y, tile_y * kTile); y < std::min(y1, (tile_y + 1) * kTile); ++y) {
          loops.subtract_scaled(tile + (y - tile_y * kTile) * kTile + (left - tile_x * kTile),
                                patch + static_cast<std::size_t>(y - y0) * side + (left - x0), factor, count);
        }
        peaks_[static_cast<std::size_t>(index)] = loops.largest_size(tile, kTile * kTile);
        update_group(static_cast<std::size_t>(index) / kGroup);
      }
    }
  }

 private:
  void update_group(std::size_t group) {
    float peak = 0.0F;
    for (std::size_t index = group * kGroup; index < std::min((group + 1) * kGroup, peaks_.size()); ++index) {
      peak = peaks_[index] > peak ? peaks_[index] : peak;
    }
    group_peaks_[group] = peak;
  }

  const ScaleMask* mask_;
  int nx_;
  int across_;
  std::vector<float> values_;
  std::vector<float> peaks_;        // by tile
  std::vector<float> group_peaks_;  // by kGroup tiles
};

}  // namespace

ScaleKernel::ScaleKernel(float scale_size) : size(scale_size) {
  radius = scale_size > 0.0F ? static_cast<int>(std::ceil(scale_size)) - 1 : 0;
  const auto side = static_cast<std::size_t>(radius) + 1;
  quadrant.assign(side * side, 0.0F);
  double volume = 0.0;
  for (int dy = 0; dy <= radius; ++dy) {
    for (int dx = 0; dx <= radius; ++dx) {
      const double squared = scale_size > 0.0F
                                 ? (static_cast<double>(dy) * dy + static_cast<double>(dx) * dx) /
                                       (static_cast<double>(scale_size) * scale_size)
                                 : 0.0;
      if (squared >= 1.0) continue;
      const double value = (1.0 - squared) * spheroidal(std::sqrt(squared));
      quadrant[static_cast<std::size_t>(dy) * side + dx] = static_cast<float>(value);
      volume += value * (dy > 0 ? 2 : 1) * (dx > 0 ? 2 : 1);
    }
  }
  for (float& value : quadrant) value = static_cast<float>(value / volume);
}

float ScaleKernel::tap(int dy, int dx) const {
  dy = std::abs(dy);
  dx = std::abs(dx);
  return dy > radius || dx > radius ? 0.0F : quadrant[static_cast<std::size_t>(dy) * (radius + 1) + dx];
}

namespace {

// A square of doubles convolved with a kernel; the square loses `kernel.radius` on each side.
std::vector<double> convolve_square(const std::vector<double>& square, int side, const ScaleKernel& kernel) {
  const int radius = kernel.radius;
  const int inner = side - 2 * radius;
  std::vector<double> out(static_cast<std::size_t>(inner) * inner, 0.0);
  for (int dy = -radius; dy <= radius; ++dy) {
    for (int dx = -radius; dx <= radius; ++dx) {
      const double tap = kernel.tap(dy, dx);
      if (tap == 0.0) continue;
      for (int y = 0; y < inner; ++y) {
        const double* from = &square[static_cast<std::size_t>(y + radius + dy) * side + (radius + dx)];
        double* to = &out[static_cast<std::size_t>(y) * inner];
        for (int x = 0; x < inner; ++x) to[x] += tap * from[x];
      }
    }
  }
  return out;
}

}  // namespace

MinorCycle::MinorCycle(const float* psf, int ny, int nx, const std::vector<float>& scale_sizes,
                       float small_scale_bias, int threads)
    : ny_(ny), nx_(nx), patch_(0), threads_(threads) {
  for (const float size : scale_sizes) {
    if (!(size >= 0.0F)) throw std::invalid_argument("a scale is negative");
    if (size > static_cast<float>(kMaxRadius))
      throw std::invalid_argument("a scale is larger than 160 pixels");
    if (size <= static_cast<float>(nx / 2) && size <= static_cast<float>(ny / 2)) kernels_.emplace_back(size);
  }
  if (kernels_.empty()) kernels_.emplace_back(0.0F);
  const float largest = kernels_.back().size;
  for (const ScaleKernel& kernel : kernels_) {
    bias_.push_back(kernels_.size() > 1 && largest > 0.0F ? 1.0F - small_scale_bias * kernel.size / largest
                                                          : 1.0F);
  }
  // An image of one row or column has no square of even side in it.
  patch_ = std::max(patch_side(largest, ny, nx), 2);

  // The peak, near the centre: outside, a psf may have anything.
  const int search = std::max(patch_side(0.0F, ny, nx), 2) / 2;
  int peak_y = ny / 2;
  int peak_x = nx / 2;
  float peak = 0.0F;
  for (int y = std::max(ny / 2 - search, 0); y < std::min(ny / 2 + search, ny); ++y) {
    for (int x = std::max(nx / 2 - search, 0); x < std::min(nx / 2 + search, nx); ++x) {
      const float value = psf[static_cast<std::size_t>(y) * nx + x];
      if (std::fabs(value) > peak) {
        peak = std::fabs(value);
        peak_y = y;
        peak_x = x;
      }
    }
  }
  const auto scales = kernels_.size();
  const auto area = static_cast<std::size_t>(patch_) * patch_;
  hessian_.resize(scales * scales * area);
  inverse_peak_.resize(scales);
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (std::size_t scale = 0; scale < scales; ++scale) {
    for (std::size_t other = 0; other <= scale; ++other) pairs.emplace_back(scale, other);
  }
  parallel_for(static_cast<long>(pairs.size()), threads, [&](long index, int) {
    const auto [scale, other] = pairs[static_cast<std::size_t>(index)];
    const int margin = kernels_[scale].radius + kernels_[other].radius;
    const int side = patch_ + 2 * margin;
    std::vector<double> square(static_cast<std::size_t>(side) * side);
    const auto wrapped = [](int position, int length) { return ((position % length) + length) % length; };
    for (int y = 0; y < side; ++y) {
      // The psf goes on periodically, as it does in a convolution by Fourier transform.
      const auto row = static_cast<std::size_t>(wrapped(peak_y - patch_ / 2 - margin + y, ny)) * nx;
      for (int x = 0; x < side; ++x) {
        const float value = psf[row + wrapped(peak_x - patch_ / 2 - margin + x, nx)];
        square[static_cast<std::size_t>(y) * side + x] = std::isfinite(value) ? value : 0.0;
      }
    }
    const std::vector<double> once = convolve_square(square, side, kernels_[scale]);
    const std::vector<double> twice =
        convolve_square(once, side - 2 * kernels_[scale].radius, kernels_[other]);
    std::copy(twice.begin(), twice.end(), &hessian_[(scale * scales + other) * area]);
    std::copy(twice.begin(), twice.end(), &hessian_[(other * scales + scale) * area]);
  });
  for (std::size_t scale = 0; scale < scales; ++scale) {
    const float value = hessian(scale, scale)[static_cast<std::size_t>(patch_ / 2) * patch_ + patch_ / 2];
    if (!(value > 0.0F)) throw std::invalid_argument("the psf has no positive peak");
    inverse_peak_[scale] = static_cast<float>(1.0 / static_cast<double>(value));
  }
}

const float* MinorCycle::hessian(std::size_t scale, std::size_t other) const {
  return &hessian_[(scale * kernels_.size() + other) * static_cast<std::size_t>(patch_) * patch_];
}

ScaleMasks::ScaleMasks(const MinorCycle& cycle, const std::uint8_t* mask) {
  const int ny = cycle.ny();
  const int nx = cycle.nx();
  const int across = tiles_across(nx);
  const int down = tiles_across(ny);
  const auto tiles = static_cast<std::size_t>(across) * down;
  std::vector<std::uint8_t> occupied(tiles, 0);
  parallel_for(down, cycle.threads(), [&](long item, int) {
    const int tile_y = static_cast<int>(item);
    for (int y = tile_y * kTile; y < std::min(ny, (tile_y + 1) * kTile); ++y) {
      for (int x = 0; x < nx; ++x) {
        if (mask[static_cast<std::size_t>(y) * nx + x] == 0) continue;
        occupied[static_cast<std::size_t>(tile_y) * across + x / kTile] = 1;
      }
    }
  });
  const auto is_near_mask = [&](int tile_y, int tile_x, int reach) {
    for (int y = std::max(tile_y - reach, 0); y <= std::min(tile_y + reach, down - 1); ++y) {
      for (int x = std::max(tile_x - reach, 0); x <= std::min(tile_x + reach, across - 1); ++x) {
        if (occupied[static_cast<std::size_t>(y) * across + x] != 0) return true;
      }
    }
    return false;
  };
  for (std::size_t number = 0; number < cycle.kernels().size(); ++number) {
    const ScaleKernel& kernel = cycle.kernels()[number];
    // The first scale has no border: the peak that ends a cycle is its peak, and must be the image's.
    const int border = number == 0 ? -1 : static_cast<int>(kernel.size * kBorderScales);
    const int reach = (kernel.radius + kTile - 1) / kTile;
    std::vector<std::uint64_t> rows(tiles * kTile, 0);
    parallel_for(static_cast<long>(tiles), cycle.threads(), [&](long item, int) {
      const auto tile = static_cast<std::size_t>(item);
      const int y0 = static_cast<int>(tile) / across * kTile;
      const int x0 = static_cast<int>(tile) % across * kTile;
      if (!is_near_mask(y0 / kTile, x0 / kTile, reach)) return;
      Window window(kernel.radius);
      window.fill(mask, ny, nx, y0, x0);
      float covered[kTile * kTile];
      convolve_tile(window, kernel, covered);
      for (int y = 0; y < kTile; ++y) {
        if (y0 + y <= border || y0 + y >= ny - border - 1) continue;
        for (int x = 0; x < kTile; ++x) {
          if (x0 + x <= border || x0 + x >= nx - border - 1) continue;
          if (covered[y * kTile + x] > kMaskThreshold) rows[tile * kTile + y] |= std::uint64_t{1} << x;
        }
      }
    });
    ScaleMask scale;
    scale.slot.assign(tiles, -1);
    for (std::size_t tile = 0; tile < tiles; ++tile) {
      const auto first = rows.begin() + static_cast<std::ptrdiff_t>(tile * kTile);
      std::int64_t pixels = 0;
      for (auto word = first; word != first + kTile; ++word) {
        for (std::uint64_t bits = *word; bits != 0; bits &= bits - 1) ++pixels;
      }
      if (pixels == 0) continue;
      scale.slot[tile] = static_cast<int>(scale.tiles.size());
      scale.tiles.push_back(static_cast<int>(tile));
      scale.rows.insert(scale.rows.end(), first, first + kTile);
      scale.pixels += pixels;
    }
    scales_.push_back(std::move(scale));
  }
}

Result MinorCycle::run(const float* residual, const ScaleMasks& masks, float threshold, int max_components,
                       float gain, float* model) const {
  const auto scales = kernels_.size();
  if (masks.scales().size() != scales) throw std::invalid_argument("the masks were made for other scales");
  std::vector<ScaleResidual> residuals;
  residuals.reserve(scales);
  for (std::size_t scale = 0; scale < scales; ++scale) {
    residuals.emplace_back(masks.scales()[scale], *this, kernels_[scale], residual);
  }
  Result result;
  result.start_peak = residuals[0].peak() * inverse_peak_[0];
  result.peak = result.start_peak;
  result.reached_threshold = result.peak < threshold;
  while (!result.reached_threshold && static_cast<int>(result.components.size()) < max_components) {
    std::size_t best = 0;
    float best_gain = -1.0F;
    float best_peak = 0.0F;
    for (std::size_t scale = 0; scale < scales; ++scale) {
      const float peak = residuals[scale].peak();
      const float value = inverse_peak_[scale] * peak * peak * bias_[scale];
      if (value > best_gain) {
        best_gain = value;
        best_peak = peak;
        best = scale;
      }
    }
    if (!(best_peak > 0.0F) || !std::isfinite(best_peak)) break;
    int y = 0;
    int x = 0;
    const float flux = gain * inverse_peak_[best] * residuals[best].locate(best_peak, y, x);
    const ScaleKernel& kernel = kernels_[best];
    for (int dy = -kernel.radius; dy <= kernel.radius; ++dy) {
      if (y + dy < 0 || y + dy >= ny_) continue;
      for (int dx = -kernel.radius; dx <= kernel.radius; ++dx) {
        if (x + dx < 0 || x + dx >= nx_) continue;
        model[static_cast<std::size_t>(y + dy) * nx_ + (x + dx)] += kernel.tap(dy, dx) * flux;
      }
    }
    for (std::size_t scale = 0; scale < scales; ++scale) {
      residuals[scale].subtract(hessian(scale, best), patch_, y - patch_ / 2, x - patch_ / 2, ny_, flux);
    }
    result.components.push_back({static_cast<int>(best), y, x, flux});
    result.peak = residuals[0].peak() * inverse_peak_[0];
    result.reached_threshold = result.peak < threshold;
  }
  return result;
}

}  // namespace vlasscube::minor_cycle
