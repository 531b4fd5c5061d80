#include "gridding.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "parallel.hpp"
#include "vector_loops.hpp"

namespace vlasscube {
namespace {

// A patch may be this much larger than a footprint: larger patches are flushed less often, smaller ones stay
// in the first-level cache.
constexpr int kSlack = 12;
constexpr int kLeastTile = 64;
constexpr double kTwoPi = 6.283185307179586476925286766559;

struct alignas(32) Cell {
  float values[kCell];
};

// Room for one patch, aligned for the vector loops.
class Patch {
 public:
  explicit Patch(std::int64_t cells) : cells_(cells) {}
  float* data() { return cells_[0].values; }

 private:
  std::vector<Cell> cells_;
};

inline void set(Cell& cell, int stokes, cfloat value, bool conjugate) {
  cell.values[2 * stokes] = value.real();
  cell.values[2 * stokes + 1] = conjugate ? -value.imag() : value.imag();
}

inline cfloat get(const Cell& cell, int stokes, bool conjugate) {
  return {cell.values[2 * stokes], conjugate ? -cell.values[2 * stokes + 1] : cell.values[2 * stokes + 1]};
}

inline cfloat times_i(cfloat v) { return {-v.imag(), v.real()}; }

// exp(i phase) for |phase| below about 0.4: better than the precision of float.
inline cfloat small_phasor(double phase) {
  const double p2 = phase * phase;
  const double c = 1 - p2 / 2 * (1 - p2 / 12 * (1 - p2 / 30));
  const double s = phase * (1 - p2 / 6 * (1 - p2 / 20 * (1 - p2 / 42)));
  return {static_cast<float>(c), static_cast<float>(s)};
}

}  // namespace

// Where a visibility goes: the nearest cell, which tabulated kernel, and whether it is conjugated.
struct GriddingPlan::Place {
  double x, y;   // exact position, cells, before folding
  int ix, iy;    // nearest cell after folding
  int ox, oy;    // index of the offset in the kernel table: the nearest, or the lower of the two around
  float fx, fy;  // distance from there, steps; 0 unless interpolating
  int plane;     // w plane of the kernel table
  bool folded;
  bool conjugate_kernel;
};

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
  if (kernels_.interpolate) {
    place.ox = std::min(static_cast<int>(tx), 2 * half - 1);
    place.oy = std::min(static_cast<int>(ty), 2 * half - 1);
    place.fx = static_cast<float>(tx - place.ox);
    place.fy = static_cast<float>(ty - place.oy);
  } else {
    place.ox = static_cast<int>(std::lround(tx));
    place.oy = static_cast<int>(std::lround(ty));
    place.fx = place.fy = 0;
  }
  if (kernels_.imaginary) {
    const double w = block_.row_w[row] * f;
    place.plane = std::min(static_cast<int>(std::lround(std::abs(w) / kernels_.w_step)), kernels_.planes - 1);
    place.conjugate_kernel = (w < 0) != place.folded;
  } else {
    place.plane = place.folded ? kernels_.planes - 1 : 0;
    place.conjugate_kernel = false;
  }
  return true;
}

// Room for the work of one thread.
struct GriddingPlan::Workspace {
  Patch patch, real, imaginary;
  std::vector<cfloat> x, y, row;
  Workspace(int tile, const Kernels& kernels)
      : patch(std::int64_t(tile) * tile),
        real(kernels.size() * kernels.stride / kCell + 1),
        imaginary(kernels.imaginary ? kernels.size() * kernels.stride / kCell + 1 : 1),
        row(tile) {}
};

// The convolution function of a visibility.
struct GriddingPlan::Functions {
  const float* real;
  const float* imaginary;  // or null
};

GriddingPlan::Functions GriddingPlan::functions(int channel, const Place& p, Workspace& space) const {
  const int beam = block_.beam[channel];
  if (!kernels_.interpolate) {
    const std::int64_t at = kernels_.at(beam, p.plane, p.oy, p.ox);
    return {kernels_.real + at, kernels_.imaginary ? kernels_.imaginary + at : nullptr};
  }
  const float share[4] = {(1 - p.fy) * (1 - p.fx), (1 - p.fy) * p.fx, p.fy * (1 - p.fx), p.fy * p.fx};
  auto blend = [&](const float* table, Patch& out) {
    const float* around[4];
    for (int i = 0; i < 4; ++i) around[i] = table + kernels_.at(beam, p.plane, p.oy + i / 2, p.ox + i % 2);
    vector_loops().blend(out.data(), around, share, kernels_.size() * kernels_.stride);
    return const_cast<const float*>(out.data());
  };
  const float* real = blend(kernels_.real, space.real);
  return {real, kernels_.imaginary ? blend(kernels_.imaginary, space.imaginary) : nullptr};
}

// The position that the kernel is centred on: within half a step of the exact one.
void GriddingPlan::tabulated_position(const Place& p, double& x, double& y) const {
  if (kernels_.interpolate) {
    x = p.x, y = p.y;
    return;
  }
  const int half = kernels_.oversampling / 2, sign = p.folded ? -1 : 1;
  x = sign * (p.ix - double(p.ox - half) / kernels_.oversampling);
  y = sign * (p.iy - double(p.oy - half) / kernels_.oversampling);
}

// Phase that the place (x, y) of the uv plane, in cells, gives a source at the row's pointing centre.
double GriddingPlan::phase_at_centre(std::int64_t row, double x, double y) const {
  const int pointing = block_.pointing[row];
  return kTwoPi * ((block_.pixel_x[pointing] - shape_.nx / 2) / shape_.nx * x +
                   (block_.pixel_y[pointing] - shape_.ny / 2) / shape_.ny * y);
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
  int x0 = 0, x1 = 0, y0 = 0, y1 = 0;
  bool open = false;
  auto close = [&](int channel) {
    if (!open) return;
    chunk.channel_end = static_cast<std::int16_t>(channel);
    chunk.x = x0 - kernels_.support;
    chunk.y = y0 - kernels_.support;
    chunk.width = static_cast<std::int16_t>(x1 - x0 + kernels_.size());
    chunk.height = static_cast<std::int16_t>(y1 - y0 + kernels_.size());
    chunks_.push_back(chunk);
    open = false;
  };
  for (int channel = 0; channel < block_.channels; ++channel) {
    int cx0 = 0, cx1 = 0, cy0 = 0, cy1 = 0;
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
      x0 = cx0, x1 = cx1, y0 = cy0, y1 = cy1;
    } else {
      x0 = std::min(x0, cx0), x1 = std::max(x1, cx1), y0 = std::min(y0, cy0), y1 = std::max(y1, cy1);
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

// The phase ramp exp(-2 pi i k pixel / n) of the chunk's pointing along both axes of its patch.
void GriddingPlan::ramp(const Chunk& chunk, std::vector<cfloat>& x, std::vector<cfloat>& y) const {
  const int pointing = block_.pointing[block_.order[chunk.first]];
  auto fill = [](std::vector<cfloat>& out, int n, int start, double step) {
    out.resize(n);
    cdouble value = std::polar(1.0, std::fmod(step * start, kTwoPi));
    const cdouble factor = std::polar(1.0, step);
    for (int i = 0; i < n; ++i) {
      out[i] = cfloat(value);
      value *= factor;
    }
  };
  fill(x, chunk.width, chunk.x, -kTwoPi * block_.pixel_x[pointing] / shape_.nx);
  fill(y, chunk.height, chunk.y, -kTwoPi * block_.pixel_y[pointing] / shape_.ny);
}

template <bool WithW, typename Value>
void GriddingPlan::grid_with(const Value& value, float* grid, int threads) const {
  const VectorLoops& loops = vector_loops();
  const int size = kernels_.size();
  // Two visibilities at a time, if their kernels are in the table.
  const bool pairs = !kernels_.imaginary && !kernels_.interpolate;
  std::vector<std::unique_ptr<Workspace>> spaces;
  for (int i = 0; i < std::max(threads, 1); ++i)
    spaces.push_back(std::make_unique<Workspace>(tile_, kernels_));

  auto work = [&](std::int64_t tile, Workspace& space) {
    float* patch = space.patch.data();
    for (std::int64_t c = tile_start_[tile]; c < tile_start_[tile + 1]; ++c) {
      const Chunk& chunk = chunks_[c];
      bool pending = false;
      Place waiting{};
      Cell waiting_value;
      const float* waiting_kernel = nullptr;
      auto corner = [&](const Place& p) {
        const std::int64_t x = p.ix - kernels_.support - chunk.x, y = p.iy - kernels_.support - chunk.y;
        return patch + (y * chunk.width + x) * kCell;
      };
      for (int channel = chunk.channel_begin; channel < chunk.channel_end; ++channel) {
        if (block_.beam[channel] < 0) continue;
        for (std::int64_t i = chunk.first; i < chunk.first + chunk.rows; ++i) {
          const std::int64_t row = block_.order[i];
          if (!(block_.weight[row * block_.channels + channel] > 0)) continue;
          Place p;
          Cell cell;
          if (!place(row, channel, p)) continue;
          // The point source at the image centre stands for one in any pointing: without w.
          if (!WithW && kernels_.imaginary) p.plane = 0;
          value(row, channel, p, cell);
          const Functions k = functions(channel, p, space);
          if (WithW && k.imaginary) {
            // (a + ib) v = a v + b (iv)
            Cell turned;
            const float sign = p.conjugate_kernel ? -1.0f : 1.0f;
            for (int stokes = 0; stokes < kCell / 2; ++stokes) {
              turned.values[2 * stokes] = -sign * cell.values[2 * stokes + 1];
              turned.values[2 * stokes + 1] = sign * cell.values[2 * stokes];
            }
            loops.spread_two(corner(p), chunk.width, k.real, k.imaginary, size, kernels_.stride, cell.values,
                             turned.values);
          } else if (!pairs) {
            loops.spread(corner(p), chunk.width, k.real, size, kernels_.stride, cell.values);
          } else if (!pending) {
            pending = true, waiting = p, waiting_value = cell, waiting_kernel = k.real;
          } else if (waiting.ix == p.ix && waiting.iy == p.iy) {
            loops.spread_two(corner(p), chunk.width, waiting_kernel, k.real, size, kernels_.stride,
                             waiting_value.values, cell.values);
            pending = false;
          } else {
            loops.spread(corner(waiting), chunk.width, waiting_kernel, size, kernels_.stride,
                         waiting_value.values);
            waiting = p, waiting_value = cell, waiting_kernel = k.real;
          }
        }
      }
      if (pending)
        loops.spread(corner(waiting), chunk.width, waiting_kernel, size, kernels_.stride,
                     waiting_value.values);
      ramp(chunk, space.x, space.y);
      for (int y = 0; y < chunk.height; ++y) {
        for (int x = 0; x < chunk.width; ++x) space.row[x] = space.x[x] * space.y[y];
        int ky = chunk.y + y;
        if (ky < 0) ky += shape_.ny;
        float* target = grid + (ky * shape_.width() + chunk.x + shape_.margin) * kCell;
        loops.flush_row(target, patch + std::int64_t(y) * chunk.width * kCell,
                        reinterpret_cast<const float*>(space.row.data()), chunk.width);
      }
    }
  };

  // Tiles of one colour touch no common cell: no locks, and the order of additions to a cell, so the result,
  // does not depend on the number of threads.
  for (int colour = 0; colour < 4; ++colour) {
    std::vector<std::int64_t> tiles;
    for (int ty = colour / 2; ty < tiles_y_; ty += 2)
      for (int tx = colour % 2; tx < tiles_x_; tx += 2) {
        const std::int64_t tile = std::int64_t(ty) * tiles_x_ + tx;
        if (tile_start_[tile] < tile_start_[tile + 1]) tiles.push_back(tile);
      }
    // Long ones first, so that all threads end together.
    std::stable_sort(tiles.begin(), tiles.end(), [&](std::int64_t a, std::int64_t b) {
      return tile_start_[a + 1] - tile_start_[a] > tile_start_[b + 1] - tile_start_[b];
    });
    parallel_for(static_cast<long>(tiles.size()), threads,
                 [&](long item, int thread) { work(tiles[item], *spaces[thread]); });
  }
}

void GriddingPlan::grid(const cfloat* data, float* grid, int threads) const {
  grid_with<true>(
      [&](std::int64_t row, int channel, const Place& p, Cell& cell) {
        const std::int64_t at = row * block_.channels + channel;
        const cfloat rr = data[at * 4], rl = data[at * 4 + 1], lr = data[at * 4 + 2], ll = data[at * 4 + 3];
        double x, y;
        tabulated_position(p, x, y);
        const cfloat factor =
            small_phasor(-phase_at_centre(row, p.x - x, p.y - y)) * (0.5f * block_.weight[at]);
        set(cell, 0, factor * (rr + ll), p.folded);
        set(cell, 1, factor * (rl + lr), p.folded);
        set(cell, 2, -times_i(factor * (rl - lr)), p.folded);
        set(cell, 3, factor * (rr - ll), p.folded);
      },
      grid, threads);
}

void GriddingPlan::grid_psf(float* grid, int threads) const {
  grid_with<false>(
      [&](std::int64_t row, int channel, const Place& p, Cell& cell) {
        const std::int64_t at = row * block_.channels + channel;
        double x, y;
        tabulated_position(p, x, y);
        std::memset(cell.values, 0, sizeof cell.values);
        set(cell, 0, cfloat(std::polar(double(block_.weight[at]), phase_at_centre(row, x, y))), p.folded);
      },
      grid, threads);
}

template <typename Store>
void GriddingPlan::degrid_with(const Store& store, const float* grid, int threads) const {
  const VectorLoops& loops = vector_loops();
  const int size = kernels_.size();
  const bool pairs = !kernels_.imaginary && !kernels_.interpolate;
  std::vector<std::unique_ptr<Workspace>> spaces;
  for (int i = 0; i < std::max(threads, 1); ++i)
    spaces.push_back(std::make_unique<Workspace>(tile_, kernels_));

  auto work = [&](std::int64_t tile, Workspace& space) {
    float* patch = space.patch.data();
    for (std::int64_t c = tile_start_[tile]; c < tile_start_[tile + 1]; ++c) {
      const Chunk& chunk = chunks_[c];
      ramp(chunk, space.x, space.y);
      for (int y = 0; y < chunk.height; ++y) {
        for (int x = 0; x < chunk.width; ++x) space.row[x] = space.x[x] * space.y[y];
        int ky = chunk.y + y;
        if (ky < 0) ky += shape_.ny;
        const float* source = grid + (ky * shape_.width() + chunk.x + shape_.margin) * kCell;
        loops.fetch_row(source, patch + std::int64_t(y) * chunk.width * kCell,
                        reinterpret_cast<const float*>(space.row.data()), chunk.width);
      }
      struct Waiting {
        Place place;
        std::int64_t row;
        int channel;
        const float* kernel;
      } waiting{};
      bool pending = false;
      auto corner = [&](const Place& p) {
        const std::int64_t x = p.ix - kernels_.support - chunk.x, y = p.iy - kernels_.support - chunk.y;
        return patch + (y * chunk.width + x) * kCell;
      };
      auto alone = [&](const Waiting& w) {
        Cell cell;
        loops.gather(corner(w.place), chunk.width, w.kernel, size, kernels_.stride, cell.values);
        store(w.row, w.channel, w.place, cell);
      };
      for (int channel = chunk.channel_begin; channel < chunk.channel_end; ++channel) {
        if (block_.beam[channel] < 0) continue;
        for (std::int64_t i = chunk.first; i < chunk.first + chunk.rows; ++i) {
          Waiting now{{}, block_.order[i], channel, nullptr};
          if (!(block_.weight[now.row * block_.channels + channel] > 0)) continue;
          if (!place(now.row, channel, now.place)) continue;
          const Functions k = functions(channel, now.place, space);
          now.kernel = k.real;
          Cell first, second;
          if (k.imaginary) {
            // The adjoint: (a - ib) v = a v - b (iv)
            loops.gather_two(corner(now.place), chunk.width, k.real, k.imaginary, size, kernels_.stride,
                             first.values, second.values);
            const float sign = now.place.conjugate_kernel ? -1.0f : 1.0f;
            for (int stokes = 0; stokes < kCell / 2; ++stokes) {
              first.values[2 * stokes] += sign * second.values[2 * stokes + 1];
              first.values[2 * stokes + 1] -= sign * second.values[2 * stokes];
            }
            store(now.row, now.channel, now.place, first);
          } else if (!pairs) {
            alone(now);
          } else if (!pending) {
            waiting = now, pending = true;
          } else if (waiting.place.ix == now.place.ix && waiting.place.iy == now.place.iy) {
            loops.gather_two(corner(now.place), chunk.width, waiting.kernel, now.kernel, size,
                             kernels_.stride, first.values, second.values);
            store(waiting.row, waiting.channel, waiting.place, first);
            store(now.row, now.channel, now.place, second);
            pending = false;
          } else {
            alone(waiting);
            waiting = now;
          }
        }
      }
      if (pending) alone(waiting);
    }
  };
  const long tiles = static_cast<long>(tile_start_.size()) - 1;
  std::vector<long> order(tiles);
  std::iota(order.begin(), order.end(), 0L);
  std::stable_sort(order.begin(), order.end(), [&](long a, long b) {
    return tile_start_[a + 1] - tile_start_[a] > tile_start_[b + 1] - tile_start_[b];
  });
  parallel_for(tiles, threads, [&](long item, int thread) { work(order[item], *spaces[thread]); });
}

void GriddingPlan::subtract(const float* grid, const cfloat* data, cfloat* residual, int threads) const {
  degrid_with(
      [&](std::int64_t row, int channel, const Place& p, const Cell& cell) {
        const std::int64_t at = row * block_.channels + channel;
        double x, y;
        tabulated_position(p, x, y);
        const double phase = phase_at_centre(row, p.x - x, p.y - y);
        const cfloat factor = small_phasor(phase);
        const cfloat i = factor * get(cell, 0, p.folded), q = factor * get(cell, 1, p.folded);
        const cfloat u = factor * get(cell, 2, p.folded), v = factor * get(cell, 3, p.folded);
        const cfloat* from = data + at * 4;
        cfloat* to = residual + at * 4;
        to[0] = from[0] - (i + v);
        to[1] = from[1] - (q + times_i(u));
        to[2] = from[2] - (q - times_i(u));
        to[3] = from[3] - (i - v);
      },
      grid, threads);
}

void GriddingPlan::predict_taylor(const float* grid, double reference_hz, cfloat* model, int threads) const {
  degrid_with(
      [&](std::int64_t row, int channel, const Place& p, const Cell& cell) {
        double x, y;
        tabulated_position(p, x, y);
        const double phase = phase_at_centre(row, p.x - x, p.y - y);
        const float term = static_cast<float>((block_.frequency[channel] - reference_hz) / reference_hz);
        const cfloat i = small_phasor(phase) * (get(cell, 0, p.folded) + term * get(cell, 1, p.folded));
        cfloat* to = model + (row * block_.channels + channel) * 4;
        to[0] = to[3] = i;
        to[1] = to[2] = cfloat(0, 0);
      },
      grid, threads);
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
