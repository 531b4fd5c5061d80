// Convolutional gridding of mosaic visibilities onto a half-plane uv grid, and its adjoint.
//
// Conventions. Cell (kx, ky) of an image of nx x ny pixels belongs to exp(2 pi i (kx (x - cx) / nx + ky (y -
// cy) / ny)) with the centre pixel (cx, cy) = (nx / 2, ny / 2), integer division. A visibility with kx < 0 is
// put, conjugated, at the opposite place, so that only kx >= 0 is kept; cells that a footprint reaches beyond
// kx = 0 lie in a margin. The grid is an array [ny][margin + columns][kCell] with ky modulo ny.
#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

namespace vlasscube {

using cfloat = std::complex<float>;
using cdouble = std::complex<double>;

struct GridShape {
  int nx, ny;   // pixels of the image
  int margin;   // columns left of kx = 0
  int columns;  // columns from kx = 0 on
  std::int64_t width() const { return margin + columns; }
};

// Convolution functions at `oversampling` steps per cell, for offsets (cell - position) of -oversampling / 2
// ... oversampling / 2 steps. They come in one of two ways.
//
// In two dimensions, table[beam][folded][oy][ox][y][x] with 2 support + 1 rows of `stride` floats; the one
// nearest to an offset is taken. Folded visibilities have their own, of the opposite offset.
//
// As sums of products, along_x and along_y[beam][plane][offset][term][part][x] with rows of `stride` floats,
// of which 2 support + 1 are used and at least 8 more are there. Offsets are interpolated linearly, and so
// are the planes; plane p is for |w| = p * w_step, and reaches no farther than plane_support[p]. With two
// parts, real and imaginary, w is corrected for: for negative w, and for folded visibilities, the conjugate
// is taken. Functions are even. With one part all is real.
struct Kernels {
  const float* table;  // or null
  const float *along_x, *along_y;
  const std::int32_t* plane_support;
  int beams, planes, terms, parts, support, oversampling, stride;
  double w_step;

  bool separable() const { return !table; }
  int size() const { return 2 * support + 1; }
  int offsets() const { return 2 * (oversampling / 2) + 1; }
  std::int64_t table_at(int beam, int folded, int oy, int ox) const {
    const std::int64_t n = offsets();
    return (((std::int64_t(beam) * 2 + folded) * n + oy) * n + ox) * size() * stride;
  }
  // Floats of the terms of one axis.
  int axis_floats() const { return terms * parts * stride; }
  std::int64_t axis_at(int beam, int plane, int offset) const {
    return ((std::int64_t(beam) * planes + plane) * offsets() + offset) * axis_floats();
  }
};

// The visibilities of one spectral window. Rows of a group have one pointing and one baseline.
struct VisibilityBlock {
  std::int64_t rows;
  int channels;
  const double* row_x;           // [rows] position in cells is row_x * frequency
  const double* row_y;           // [rows]
  const double* row_w;           // [rows] w in wavelengths is row_w * frequency, towards the pointing centre
  const double* frequency;       // [channels] Hz
  const std::int32_t* beam;      // [channels] convolution function, -1 for none
  const std::int32_t* pointing;  // [rows] index of the pointing
  const double* pixel_x;         // [pointings] pixel of the pointing centre
  const double* pixel_y;
  const float* weight;              // [rows][channels] imaging weight, 0 where there are no data
  const std::int32_t* order;        // rows, grouped
  const std::int64_t* group_start;  // [groups + 1] into order
  std::int64_t groups;
};

struct Chunk {
  std::int64_t first;  // into order
  std::int32_t rows;
  std::int16_t channel_begin, channel_end;
  std::int32_t x, y;  // corner cell of the patch, y from -ny/2
  std::int16_t width, height;
};

// How the visibilities of a block are shared out over patches of the grid.
class GriddingPlan {
 public:
  GriddingPlan(const GridShape& shape, const Kernels& kernels, const VisibilityBlock& block);

  // Add data * weight to the grid, as Stokes I, Q, U, V. data: [rows][channels][4] RR, RL, LR, LL.
  void grid(const cfloat* data, float* grid, int threads) const;

  // Add the weights alone, for the point spread function at the image centre, to the first value of each
  // cell.
  void grid_psf(float* grid, int threads) const;

  // residual = data - prediction of the Stokes grid, for all visibilities with a weight.
  void subtract(const float* grid, const cfloat* data, cfloat* residual, int threads) const;

  // Prediction of Stokes I in two Taylor terms, the first two complex values of a cell, expanded around
  // reference_hz; written for all visibilities with a weight.
  void predict_taylor(const float* grid, double reference_hz, cfloat* model, int threads) const;

  // Sum of the weights of the visibilities on the grid.
  double weight_sum() const { return weight_sum_; }
  // The same for each pointing and beam: [pointings][beams].
  std::vector<double> beam_weights(int pointings) const;
  // Visibilities with a weight whose footprint would reach beyond the grid.
  std::int64_t outside() const { return outside_; }
  std::int64_t visibilities() const { return visibilities_; }
  std::int64_t chunks() const { return static_cast<std::int64_t>(chunks_.size()); }

 private:
  // Where a visibility goes: the nearest cell, which tabulated kernel, and whether it is conjugated.
  struct Place {
    double x, y;   // exact position, cells, before folding
    int ix, iy;    // nearest cell after folding
    int ox, oy;    // index of the offset: the nearest, or the lower of the two around
    float fx, fy;  // distance from there, steps; 0 unless interpolating
    int plane;     // the lower of the w planes around
    float fw;      // distance from there, planes
    int reach;     // support of the function
    bool folded;
    bool conjugate_kernel;
  };
  void check() const;
  bool place(std::int64_t row, int channel, Place& place) const;
  void tabulated_position(const Place& place, double& x, double& y) const;
  double phase_at_centre(std::int64_t row, double x, double y) const;
  void add_rows(std::int64_t first, std::int64_t last);
  void sort_into_tiles();
  template <bool WithW, typename Value>
  void grid_with(const Value& value, float* grid, int threads) const;
  template <typename Store>
  void degrid_with(const Store& store, const float* grid, int threads) const;
  struct Functions;
  struct Workspace;
  using Workspaces = std::vector<std::unique_ptr<Workspace>>;  // one for each thread
  Workspaces workspaces(int threads) const;
  template <typename Work>
  void work_on(std::vector<std::int64_t> tiles, const Workspaces& spaces, int threads,
               const Work& work) const;
  void leave_out_w(Place& place) const;
  Functions functions(int channel, const Place& place, bool with_w, Workspace& space) const;
  void ramp(const Chunk& chunk, std::vector<cfloat>& x, std::vector<cfloat>& y) const;

  GridShape shape_;
  Kernels kernels_;
  VisibilityBlock block_;
  std::vector<Chunk> chunks_;
  std::vector<std::int64_t> tile_start_;
  int tile_, tiles_x_, tiles_y_;
  double weight_sum_ = 0;
  std::int64_t outside_ = 0, visibilities_ = 0;
};

}  // namespace vlasscube
