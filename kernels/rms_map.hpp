// Local robust noise of an image on a grid of points: median absolute deviation of a box of pixels, outliers
// clipped by Chauvenet's criterion.
#pragma once

#include <cstdint>

namespace vlasscube::rms_map {

// Where the points of the grid lie, `step` pixels apart from (first_y, first_x) on, and how many pixels their
// boxes reach to each side. Boxes are cut at the border of the image.
struct Grid {
  std::int64_t first_y, first_x;
  std::int64_t rows, columns;
  std::int64_t step;
  std::int64_t reach;
};

// 1.4826 times the median absolute deviation from the median, in the box of each point.
//
//   image       ny rows of nx pixels; those that are not finite take no part
//   rms         grid.rows x grid.columns values; NaN where the pixel at the point itself is not finite
//
// Throws std::invalid_argument if a point lies outside of the image.
void local_rms(const float* image, std::int64_t ny, std::int64_t nx, const Grid& grid, float* rms,
               int threads);

// Number of standard deviations from the mean beyond which Chauvenet's criterion rejects one of `count`
// values.
double chauvenet_limit(std::int64_t count);

}  // namespace vlasscube::rms_map
