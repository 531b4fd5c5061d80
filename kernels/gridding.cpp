#include "gridding.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "parallel.hpp"
#include "vector_loops.hpp"

namespace vlasscube {
namespace {

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

// Room for the work of one thread.
struct GriddingPlan::Workspace {
  Patch patch, along_x, along_y, real, imaginary;
  std::vector<cfloat> x, y, row;
  Workspace(int tile, const Kernels& kernels)
      : patch(std::int64_t(tile) * tile),
        along_x(kernels.axis_floats() / kCell + 1),
        along_y(kernels.axis_floats() / kCell + 1),
        real(std::int64_t(kernels.size()) * kernels.stride / kCell + 1),
        imaginary(std::int64_t(kernels.size()) * kernels.stride / kCell + 1),
        row(tile) {}
};

// The convolution function of a visibility.
struct GriddingPlan::Functions {
  const float* real;
  const float* imaginary;  // or null
  int size, stride;
};

GriddingPlan::Functions GriddingPlan::functions(int channel, const Place& p, bool with_w,
                                                Workspace& space) const {
  const int beam = block_.beam[channel];
  if (!kernels_.separable())
    return {kernels_.table + kernels_.table_at(beam, p.folded, p.oy, p.ox), nullptr, kernels_.size(),
            kernels_.stride};
  const VectorLoops& loops = vector_loops();
  const int above = std::min(p.plane + 1, kernels_.planes - 1);
  auto interpolate = [&](const float* table, int offset, float share, Patch& out) {
    const float* around[4];
    const float shares[4] = {(1 - p.fw) * (1 - share), (1 - p.fw) * share, p.fw * (1 - share), p.fw * share};
    for (int i = 0; i < 4; ++i)
      around[i] = table + kernels_.axis_at(beam, i < 2 ? p.plane : above, offset + i % 2);
    loops.blend(out.data(), around, shares, kernels_.axis_floats());
    return out.data() + kernels_.support - p.reach;
  };
  const float* x = interpolate(kernels_.along_x, p.ox, p.fx, space.along_x);
  const float* y = interpolate(kernels_.along_y, p.oy, p.fy, space.along_y);
  const int size = 2 * p.reach + 1, stride = (size + kCell - 1) / kCell * kCell;
  float* imaginary = with_w && kernels_.planes > 1 ? space.imaginary.data() : nullptr;
  loops.add_products(space.real.data(), imaginary, size, stride, x, y, kernels_.terms, kernels_.parts,
                     kernels_.stride);
  return {space.real.data(), imaginary, size, stride};
}

// The position that the kernel is centred on: within half a step of the exact one.
void GriddingPlan::tabulated_position(const Place& p, double& x, double& y) const {
  if (kernels_.separable()) {
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

GriddingPlan::Workspaces GriddingPlan::workspaces(int threads) const {
  Workspaces spaces;
  for (int i = 0; i < std::max(threads, 1); ++i)
    spaces.push_back(std::make_unique<Workspace>(tile_, kernels_));
  return spaces;
}

// Do the work of all chunks of the tiles, each tile by one thread in its workspace.
template <typename Work>
void GriddingPlan::work_on(std::vector<std::int64_t> tiles, const Workspaces& spaces, int threads,
                           const Work& work) const {
  // Long ones first, so that all threads end together.
  std::stable_sort(tiles.begin(), tiles.end(), [&](std::int64_t a, std::int64_t b) {
    return tile_start_[a + 1] - tile_start_[a] > tile_start_[b + 1] - tile_start_[b];
  });
  parallel_for(static_cast<long>(tiles.size()), threads, [&](long item, int thread) {
    for (std::int64_t c = tile_start_[tiles[item]]; c < tile_start_[tiles[item] + 1]; ++c)
      work(chunks_[c], *spaces[thread]);
  });
}

template <bool WithW, typename Value>
void GriddingPlan::grid_with(const Value& value, float* grid, int threads) const {
  const VectorLoops& loops = vector_loops();
  const int size = kernels_.size();
  // Two visibilities at a time, if their kernels are in the table.
  const bool pairs = !kernels_.separable();
  auto work = [&](const Chunk& chunk, Workspace& space) {
    float* patch = space.patch.data();
    bool pending = false;
    Place waiting{};
    Cell waiting_value;
    const float* waiting_kernel = nullptr;
    auto corner = [&](const Place& p) {
      const std::int64_t x = p.ix - p.reach - chunk.x, y = p.iy - p.reach - chunk.y;
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
        if (!WithW) leave_out_w(p);
        value(row, channel, p, cell);
        const Functions k = functions(channel, p, WithW, space);
        if (WithW && k.imaginary) {
          // (a + ib) v = a v + b (iv)
          Cell turned;
          const float sign = p.conjugate_kernel ? -1.0f : 1.0f;
          for (int stokes = 0; stokes < kCell / 2; ++stokes) {
            turned.values[2 * stokes] = -sign * cell.values[2 * stokes + 1];
            turned.values[2 * stokes + 1] = sign * cell.values[2 * stokes];
          }
          loops.spread_two(corner(p), chunk.width, k.real, k.imaginary, k.size, k.stride, cell.values,
                           turned.values);
        } else if (!pairs) {
          loops.spread(corner(p), chunk.width, k.real, k.size, k.stride, cell.values);
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
      loops.spread(corner(waiting), chunk.width, waiting_kernel, size, kernels_.stride, waiting_value.values);
    ramp(chunk, space.x, space.y);
    for (int y = 0; y < chunk.height; ++y) {
      for (int x = 0; x < chunk.width; ++x) space.row[x] = space.x[x] * space.y[y];
      int ky = chunk.y + y;
      if (ky < 0) ky += shape_.ny;
      float* target = grid + (ky * shape_.width() + chunk.x + shape_.margin) * kCell;
      loops.flush_row(target, patch + std::int64_t(y) * chunk.width * kCell,
                      reinterpret_cast<const float*>(space.row.data()), chunk.width);
    }
  };

  // Tiles of one colour touch no common cell: no locks, and the order of additions to a cell, so the result,
  // does not depend on the number of threads.
  auto spaces = workspaces(threads);
  for (int colour = 0; colour < 4; ++colour) {
    std::vector<std::int64_t> tiles;
    for (int ty = colour / 2; ty < tiles_y_; ty += 2)
      for (int tx = colour % 2; tx < tiles_x_; tx += 2) {
        const std::int64_t tile = std::int64_t(ty) * tiles_x_ + tx;
        if (tile_start_[tile] < tile_start_[tile + 1]) tiles.push_back(tile);
      }
    work_on(std::move(tiles), spaces, threads, work);
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
  const bool pairs = !kernels_.separable();
  auto work = [&](const Chunk& chunk, Workspace& space) {
    float* patch = space.patch.data();
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
      const std::int64_t x = p.ix - p.reach - chunk.x, y = p.iy - p.reach - chunk.y;
      return patch + (y * chunk.width + x) * kCell;
    };
    auto alone = [&](const Waiting& w, int width, int stride) {
      Cell cell;
      loops.gather(corner(w.place), chunk.width, w.kernel, width, stride, cell.values);
      store(w.row, w.channel, w.place, cell);
    };
    for (int channel = chunk.channel_begin; channel < chunk.channel_end; ++channel) {
      if (block_.beam[channel] < 0) continue;
      for (std::int64_t i = chunk.first; i < chunk.first + chunk.rows; ++i) {
        Waiting now{{}, block_.order[i], channel, nullptr};
        if (!(block_.weight[now.row * block_.channels + channel] > 0)) continue;
        if (!place(now.row, channel, now.place)) continue;
        const Functions k = functions(channel, now.place, true, space);
        now.kernel = k.real;
        Cell first, second;
        if (k.imaginary) {
          // The adjoint: (a - ib) v = a v - b (iv)
          loops.gather_two(corner(now.place), chunk.width, k.real, k.imaginary, k.size, k.stride,
                           first.values, second.values);
          const float sign = now.place.conjugate_kernel ? -1.0f : 1.0f;
          for (int stokes = 0; stokes < kCell / 2; ++stokes) {
            first.values[2 * stokes] += sign * second.values[2 * stokes + 1];
            first.values[2 * stokes + 1] -= sign * second.values[2 * stokes];
          }
          store(now.row, now.channel, now.place, first);
        } else if (!pairs) {
          alone(now, k.size, k.stride);
        } else if (!pending) {
          waiting = now, pending = true;
        } else if (waiting.place.ix == now.place.ix && waiting.place.iy == now.place.iy) {
          loops.gather_two(corner(now.place), chunk.width, waiting.kernel, now.kernel, size, kernels_.stride,
                           first.values, second.values);
          store(waiting.row, waiting.channel, waiting.place, first);
          store(now.row, now.channel, now.place, second);
          pending = false;
        } else {
          alone(waiting, size, kernels_.stride);
          waiting = now;
        }
      }
    }
    if (pending) alone(waiting, size, kernels_.stride);
  };
  std::vector<std::int64_t> tiles(tile_start_.size() - 1);
  std::iota(tiles.begin(), tiles.end(), std::int64_t(0));
  auto spaces = workspaces(threads);
  work_on(std::move(tiles), spaces, threads, work);
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

}  // namespace vlasscube
