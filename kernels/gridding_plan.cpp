// How visibilities are shared out over the grid; what is done with them is in gridding.cpp.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "gridding.hpp"

namespace vlasscube {
namespace {

// A patch may be this much larger than a footprint: larger patches are flushed less often, smaller ones stay
// in the first-level cache.
constexpr int kSlack = 12;
constexpr int kLeastTile = 64;

}  // namespace

bool GriddingPlan::place(std::int64_t row, int channel, Place& place) const {
  const double f = block_.frequency[channel];
  const int half = kernels_.oversampling / 2, support = kernels_.support;
  place.x = block_.row_x[row] * f;
  place.y = block_.row_y[row] * f;
  // Also what is no number.
  if (!(std::abs(place.x) < shape_.nx && std::abs(place.y) < shape_.ny)) return false;
  const int ix = static_cast<int>(std::lround(place.x)), iy = static_cast<int>(std::lround(place.y));
  // All cells of a footprint have an opposite one on the grid. In an even number of rows the row ny / 2 is
  // its own opposite: tiles at both ends would share it.
  if (std::abs(ix) + support > (shape_.nx - 1) / 2 || std::abs(iy) + support > (shape_.ny - 1) / 2 ||
      std::abs(ix) + support >= shape_.columns)
    return false;
  place.folded = block_.row_x[row] < 0;
  const int sign = place.folded ? -1 : 1;
  place.ix = sign * ix;
  place.iy = sign * iy;
  const double tx = sign * (ix - place.x) * kernels_.oversampling + half;
  const double ty = sign * (iy - place.y) * kernels_.oversampling + half;
  if (kernels_.separable()) {
    place.ox = std::min(static_cast<int>(tx), 2 * half - 1);
    place.oy = std::min(static_cast<int>(ty), 2 * half - 1);
    place.fx = static_cast<float>(tx - place.ox);
    place.fy = static_cast<float>(ty - place.oy);
  } else {
    place.ox = static_cast<int>(std::lround(tx));
    place.oy = static_cast<int>(std::lround(ty));
    place.fx = place.fy = 0;
  }
  leave_out_w(place);
  if (kernels_.planes > 1) {
    const double w = block_.row_w[row] * f;
    const double planes = std::min(std::abs(w) / kernels_.w_step, kernels_.planes - 1.0);
    place.plane = std::min(static_cast<int>(planes), kernels_.planes - 2);
    place.fw = static_cast<float>(planes - place.plane);
    place.reach = kernels_.plane_support[place.plane + 1];
    place.conjugate_kernel = (w < 0) != place.folded;
  }
  return true;
}

void GriddingPlan::leave_out_w(Place& place) const {
  place.plane = 0;
  place.fw = 0;
  place.reach = kernels_.separable() ? kernels_.plane_support[0] : kernels_.support;
  place.conjugate_kernel = false;
}

GriddingPlan::GriddingPlan(const GridShape& shape, const Kernels& kernels, const VisibilityBlock& block)
    : shape_(shape), kernels_(kernels), block_(block) {
  check();
  tile_ = std::max(kLeastTile, kernels.size() + kSlack);
  tiles_x_ = static_cast<int>(shape.width()) / tile_ + 1;
  tiles_y_ = shape.ny / tile_ + 1;
  for (std::int64_t group = 0; group < block.groups; ++group) {
    std::int64_t first = block.group_start[group];
    const std::int64_t end = block.group_start[group + 1];
    while (first < end) {
      // Rows of a chunk are folded alike.
      const bool folded = block.row_x[block.order[first]] < 0;
      std::int64_t last = first + 1;
      while (last < end && (block.row_x[block.order[last]] < 0) == folded) ++last;
      add_rows(first, last);
      first = last;
    }
  }
  sort_into_tiles();
}

void GriddingPlan::check() const {
  auto require = [](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
  };
  require(shape_.nx >= 1 && shape_.ny >= 1, "the grid is empty");
  require(shape_.columns >= 1 && shape_.columns <= shape_.nx / 2 + 1, "columns must be 1 ... nx / 2 + 1");
  require(kernels_.oversampling >= 2 && kernels_.oversampling % 2 == 0, "oversampling must be even");
  for (std::int64_t group = 0; group < block_.groups; ++group)
    for (std::int64_t i = block_.group_start[group] + 1; i < block_.group_start[group + 1]; ++i)
      require(block_.pointing[block_.order[i]] == block_.pointing[block_.order[i - 1]],
              "rows of a group differ in pointing");
}

// Cut the rows order[first ... last-1] into chunks whose patches are small.
void GriddingPlan::add_rows(std::int64_t first, std::int64_t last) {
  const int most = kSlack;
  Chunk chunk{};
  int x0 = 0, x1 = 0, y0 = 0, y1 = 0, reach = 0;
  bool open = false;
  auto close = [&](int channel) {
    if (!open) return;
    chunk.channel_end = static_cast<std::int16_t>(channel);
    chunk.x = x0 - reach;
    chunk.y = y0 - reach;
    chunk.width = static_cast<std::int16_t>(x1 - x0 + 2 * reach + 1);
    chunk.height = static_cast<std::int16_t>(y1 - y0 + 2 * reach + 1);
    chunks_.push_back(chunk);
    open = false;
  };
  for (int channel = 0; channel < block_.channels; ++channel) {
    int cx0 = 0, cx1 = 0, cy0 = 0, cy1 = 0, channel_reach = 0;
    bool any = false;
    if (block_.beam[channel] >= 0) {
      for (std::int64_t i = first; i < last; ++i) {
        const std::int64_t row = block_.order[i];
        if (!(block_.weight[row * block_.channels + channel] > 0)) continue;
        Place p;
        if (!place(row, channel, p)) continue;
        cx0 = any ? std::min(cx0, p.ix) : p.ix;
        cx1 = any ? std::max(cx1, p.ix) : p.ix;
        cy0 = any ? std::min(cy0, p.iy) : p.iy;
        cy1 = any ? std::max(cy1, p.iy) : p.iy;
        channel_reach = std::max(channel_reach, p.reach);
        any = true;
      }
    }
    if (!any) continue;
    if ((cx1 - cx0 > most || cy1 - cy0 > most) && last - first > 1) {
      // Rows too far apart for one patch: each half by itself, all channels from here on would repeat what is
      // already in chunks, so start over with fewer rows.
      while (!chunks_.empty() && chunks_.back().first == first && chunks_.back().rows == last - first)
        chunks_.pop_back();
      const std::int64_t middle = first + (last - first) / 2;
      add_rows(first, middle);
      add_rows(middle, last);
      return;
    }
    if (open &&
        (std::max(x1, cx1) - std::min(x0, cx0) > most || std::max(y1, cy1) - std::min(y0, cy0) > most))
      close(channel);
    if (!open) {
      open = true;
      chunk.first = first;
      chunk.rows = static_cast<std::int32_t>(last - first);
      chunk.channel_begin = static_cast<std::int16_t>(channel);
      x0 = cx0, x1 = cx1, y0 = cy0, y1 = cy1, reach = channel_reach;
    } else {
      x0 = std::min(x0, cx0), x1 = std::max(x1, cx1), y0 = std::min(y0, cy0), y1 = std::max(y1, cy1);
      reach = std::max(reach, channel_reach);
    }
  }
  close(block_.channels);
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t row = block_.order[i];
    for (int channel = 0; channel < block_.channels; ++channel) {
      const std::int64_t at = row * block_.channels + channel;
      const float weight = block_.weight[at];
      if (!(weight > 0) || block_.beam[channel] < 0) continue;
      Place p;
      if (!place(row, channel, p)) {
        ++outside_;
        continue;
      }
      ++visibilities_;
      weight_sum_ += weight;
    }
  }
}

// Tiles are larger than a patch, so a patch touches at most its own tile and the next ones.
void GriddingPlan::sort_into_tiles() {
  const std::int64_t tiles = std::int64_t(tiles_x_) * tiles_y_;
  auto tile_of = [&](const Chunk& chunk) {
    const int tx = (chunk.x + shape_.margin) / tile_, ty = (chunk.y + shape_.ny / 2) / tile_;
    return std::int64_t(ty) * tiles_x_ + tx;
  };
  tile_start_.assign(tiles + 1, 0);
  for (const Chunk& chunk : chunks_) ++tile_start_[tile_of(chunk) + 1];
  std::partial_sum(tile_start_.begin(), tile_start_.end(), tile_start_.begin());
  std::vector<std::int64_t> next(tile_start_.begin(), tile_start_.end() - 1);
  std::vector<Chunk> sorted(chunks_.size());
  for (const Chunk& chunk : chunks_) sorted[next[tile_of(chunk)]++] = chunk;
  chunks_ = std::move(sorted);
}

std::vector<double> GriddingPlan::beam_weights(int pointings) const {
  std::vector<double> sums(std::size_t(pointings) * kernels_.beams, 0.0);
  for (std::int64_t row = 0; row < block_.rows; ++row) {
    for (int channel = 0; channel < block_.channels; ++channel) {
      const std::int64_t at = row * block_.channels + channel;
      const int beam = block_.beam[channel];
      Place p;
      if (!(block_.weight[at] > 0) || beam < 0 || !place(row, channel, p)) continue;
      sums[std::size_t(block_.pointing[row]) * kernels_.beams + beam] += block_.weight[at];
    }
  }
  return sums;
}

}  // namespace vlasscube
