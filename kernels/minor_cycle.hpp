// The multi-scale minor cycle of one Stokes plane: components from a residual, a psf and a mask.
//
// Method: Rau and Cornwell (2011), A&A 532, A71, with one Taylor term, and the conventions of CASA's mtmfs:
// kernels of the scales, bias, masks of the scales and the size of the psf patch are its.
//
// Images are row-major (y, x) float32. Work is done in square tiles, and only where the mask of a scale has
// pixels, so that an image of any size costs what its mask costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vlasscube::minor_cycle {

constexpr int kTile = 64;

// The kernel of a scale: an inverted parabola, tapered by a spheroidal function, of unit sum, cut at the
// scale's radius; one quadrant of it, for it is symmetric.
struct ScaleKernel {
  float size = 0.0F;
  int radius = 0;               // of the last row with a tap
  std::vector<float> quadrant;  // (radius + 1)^2 taps, by |dy| and |dx|

  explicit ScaleKernel(float scale_size);
  float tap(int dy, int dx) const;
};

struct Component {
  int scale;
  int y;
  int x;
  float flux;  // already times the gain
};

struct Result {
  float start_peak = 0.0F;  // of the residual within the mask, as `peak`
  float peak = 0.0F;
  bool reached_threshold = false;
  std::vector<Component> components;
};

// Where a scale may place components: tiles that have such pixels, and which of their pixels they are.
struct ScaleMask {
  std::vector<int> tiles;           // numbers of the tiles, ascending
  std::vector<int> slot;            // by tile number: index in `tiles`, or -1
  std::vector<std::uint64_t> rows;  // kTile words a tile; bit x of word y
  std::int64_t pixels = 0;
};

class ScaleMasks;

// What belongs to a psf and a set of scales.
class MinorCycle {
 public:
  // `psf` has shape (ny, nx) and its peak near the centre. Scales that do not fit into the image are left
  // out. Throws std::invalid_argument for a psf without a positive peak.
  MinorCycle(const float* psf, int ny, int nx, const std::vector<float>& scale_sizes, float small_scale_bias,
             int threads);

  // Clean until the peak residual is below `threshold` or `max_components` are found, adding to `model`.
  // Pixels of `residual` that are not finite count as zero. The residual is not changed.
  Result run(const float* residual, const ScaleMasks& masks, float threshold, int max_components, float gain,
             float* model) const;

  int ny() const { return ny_; }
  int nx() const { return nx_; }
  int patch() const { return patch_; }
  int threads() const { return threads_; }
  const std::vector<ScaleKernel>& kernels() const { return kernels_; }

 private:
  const float* hessian(std::size_t scale, std::size_t other) const;

  int ny_;
  int nx_;
  int patch_;  // side of the square of the psf that is subtracted
  int threads_;
  std::vector<ScaleKernel> kernels_;
  std::vector<float> bias_;
  std::vector<float> hessian_;       // (scales, scales, patch, patch): psf (*) scale (*) other scale
  std::vector<float> inverse_peak_;  // of the hessian of a scale with itself
};

// The masks of all scales, from one mask of the image; they serve all cycles and Stokes planes with that
// mask.
class ScaleMasks {
 public:
  ScaleMasks(const MinorCycle& cycle, const std::uint8_t* mask);
  const std::vector<ScaleMask>& scales() const { return scales_; }

 private:
  std::vector<ScaleMask> scales_;
};

}  // namespace vlasscube::minor_cycle
