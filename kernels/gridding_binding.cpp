// Python's view of gridding.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <vector>

#include "bindings.hpp"
#include "gridding.hpp"
#include "vector_loops.hpp"

using namespace nanobind::literals;

namespace vlasscube {
namespace {

// A plan together with the arrays it points into.
class Gridder {
 public:
  Gridder(int nx, int ny, int margin, int columns, std::optional<Input<float, 6>> table,
          std::optional<Input<float, 6>> along_x, std::optional<Input<float, 6>> along_y,
          std::optional<Input<std::int32_t, 1>> plane_support, double w_step, int oversampling,
          Input<double, 1> row_x, Input<double, 1> row_y, Input<double, 1> row_w, Input<double, 1> frequency,
          Input<std::int32_t, 1> beam, Input<std::int32_t, 1> pointing, Input<double, 1> pixel_x,
          Input<double, 1> pixel_y, Input<float, 2> weight, Input<std::int32_t, 1> order,
          Input<std::int64_t, 1> group_start)
      : table_(table),
        along_x_(along_x),
        along_y_(along_y),
        plane_support_(plane_support),
        row_x_(row_x),
        row_y_(row_y),
        row_w_(row_w),
        frequency_(frequency),
        beam_(beam),
        pointing_(pointing),
        pixel_x_(pixel_x),
        pixel_y_(pixel_y),
        weight_(weight),
        order_(order),
        group_start_(group_start),
        shape_{nx, ny, margin, columns},
        pointings_(static_cast<int>(pixel_x.shape(0))) {
    const std::size_t rows = row_x.shape(0), channels = frequency.shape(0);
    require(row_y.shape(0) == rows && row_w.shape(0) == rows && pointing.shape(0) == rows,
            "arrays of rows differ in length");
    require(weight.shape(0) == rows && weight.shape(1) == channels, "weight must be [rows][channels]");
    require(beam.shape(0) == channels, "beam must be [channels]");
    require(channels < 32768, "too many channels");
    require(pixel_y.shape(0) == pixel_x.shape(0), "pixel_x and pixel_y differ in length");
    const std::size_t offsets = 2 * (oversampling / 2) + 1;
    Kernels kernels = table ? tabulated(*table, offsets) : separable(offsets, w_step);
    kernels.oversampling = oversampling;
    kernels.w_step = w_step;
    require(kernels.stride % kCell == 0, "rows of kernels must be padded to whole vectors");
    require(margin >= kernels.support + 1, "the margin is smaller than the support");
    require(group_start.shape(0) >= 1, "group_start is empty");
    for (std::size_t i = 0; i < rows; ++i)
      require(pointing.data()[i] >= 0 && pointing.data()[i] < pointings_, "pointing out of range");
    for (std::size_t i = 0; i < channels; ++i) require(beam.data()[i] < kernels.beams, "beam out of range");
    for (std::size_t i = 0; i < order.shape(0); ++i)
      require(order.data()[i] >= 0 && static_cast<std::size_t>(order.data()[i]) < rows, "order out of range");
    for (std::size_t i = 0; i + 1 < group_start.shape(0); ++i)
      require(group_start.data()[i] <= group_start.data()[i + 1], "group_start must ascend");
    require(group_start.data()[0] >= 0 &&
                static_cast<std::size_t>(group_start.data()[group_start.shape(0) - 1]) <= order.shape(0),
            "group_start out of range");
    const VisibilityBlock block{static_cast<std::int64_t>(rows),
                                static_cast<int>(channels),
                                row_x.data(),
                                row_y.data(),
                                row_w.data(),
                                frequency.data(),
                                beam.data(),
                                pointing.data(),
                                pixel_x.data(),
                                pixel_y.data(),
                                weight.data(),
                                order.data(),
                                group_start.data(),
                                static_cast<std::int64_t>(group_start.shape(0)) - 1};
    nb::gil_scoped_release release;
    plan_ = std::make_unique<GriddingPlan>(shape_, kernels, block);
  }

  void grid(Input<std::complex<float>, 3> data, InOut<float, 3> grid, int threads) const {
    check_data(data.shape(0), data.shape(1), data.shape(2));
    check_grid(grid.shape(0), grid.shape(1), grid.shape(2), grid.data());
    nb::gil_scoped_release release;
    plan_->grid(data.data(), grid.data(), threads);
  }

  void grid_psf(InOut<float, 3> grid, int threads) const {
    check_grid(grid.shape(0), grid.shape(1), grid.shape(2), grid.data());
    nb::gil_scoped_release release;
    plan_->grid_psf(grid.data(), threads);
  }

  void subtract(Input<float, 3> grid, Input<std::complex<float>, 3> data,
                InOut<std::complex<float>, 3> residual, int threads) const {
    check_data(data.shape(0), data.shape(1), data.shape(2));
    check_data(residual.shape(0), residual.shape(1), residual.shape(2));
    check_grid(grid.shape(0), grid.shape(1), grid.shape(2), grid.data());
    nb::gil_scoped_release release;
    plan_->subtract(grid.data(), data.data(), residual.data(), threads);
  }

  void predict_taylor(Input<float, 3> grid, double reference_hz, InOut<std::complex<float>, 3> model,
                      int threads) const {
    check_data(model.shape(0), model.shape(1), model.shape(2));
    check_grid(grid.shape(0), grid.shape(1), grid.shape(2), grid.data());
    nb::gil_scoped_release release;
    plan_->predict_taylor(grid.data(), reference_hz, model.data(), threads);
  }

  double weight_sum() const { return plan_->weight_sum(); }
  std::vector<double> beam_weights() const { return plan_->beam_weights(pointings_); }
  std::int64_t outside() const { return plan_->outside(); }
  std::int64_t visibilities() const { return plan_->visibilities(); }
  std::int64_t chunks() const { return plan_->chunks(); }

 private:
  static Kernels tabulated(const Input<float, 6>& table, std::size_t offsets) {
    require(table.shape(1) == 2, "kernels must come with those of folded visibilities");
    require(table.shape(2) == offsets && table.shape(3) == offsets, "kernels do not fit the oversampling");
    require(table.shape(4) % 2 == 1 && table.shape(5) >= table.shape(4), "kernels must be odd in size");
    Kernels kernels{};
    kernels.table = table.data();
    kernels.beams = static_cast<int>(table.shape(0));
    kernels.planes = 1;
    kernels.support = static_cast<int>(table.shape(4) / 2);
    kernels.stride = static_cast<int>(table.shape(5));
    return kernels;
  }
  Kernels separable(std::size_t offsets, double w_step) const {
    require(along_x_ && along_y_ && plane_support_,
            "kernels are needed: a table, or functions along x and y");
    for (int axis = 0; axis < 6; ++axis)
      require(along_x_->shape(axis) == along_y_->shape(axis), "functions along x and y differ in shape");
    require(along_x_->shape(2) == offsets, "kernels do not fit the oversampling");
    const std::size_t planes = along_x_->shape(1), parts = along_x_->shape(4), stride = along_x_->shape(5);
    require(planes >= 1 && plane_support_->shape(0) == planes, "plane_support must be [planes]");
    require(parts == (planes > 1 ? 2 : 1), "several w planes need a real and an imaginary part");
    require(planes == 1 || w_step > 0, "w_step must be positive");
    for (std::size_t plane = 0; plane < planes; ++plane)
      require(plane_support_->data()[plane] >= (plane == 0 ? 0 : plane_support_->data()[plane - 1]),
              "plane_support must ascend");
    const std::int32_t support = plane_support_->data()[planes - 1];
    require(stride >= 2 * static_cast<std::size_t>(support) + 1 + kCell,
            "functions must be padded by a whole vector");
    Kernels kernels{};
    kernels.along_x = along_x_->data();
    kernels.along_y = along_y_->data();
    kernels.plane_support = plane_support_->data();
    kernels.beams = static_cast<int>(along_x_->shape(0));
    kernels.planes = static_cast<int>(planes);
    kernels.terms = static_cast<int>(along_x_->shape(3));
    kernels.parts = static_cast<int>(parts);
    kernels.support = support;
    kernels.stride = static_cast<int>(stride);
    return kernels;
  }
  void check_data(std::size_t rows, std::size_t channels, std::size_t correlations) const {
    require(rows == row_x_.shape(0) && channels == frequency_.shape(0) && correlations == 4,
            "visibilities must be [rows][channels][4]");
  }
  void check_grid(std::size_t ny, std::size_t width, std::size_t cell, const float* data) const {
    require(ny == static_cast<std::size_t>(shape_.ny) && width == static_cast<std::size_t>(shape_.width()) &&
                cell == kCell,
            "the grid must be [ny][margin + columns][8]");
    require(reinterpret_cast<std::uintptr_t>(data) % 32 == 0, "the grid must be aligned to 32 bytes");
  }

  std::optional<Input<float, 6>> table_, along_x_, along_y_;
  std::optional<Input<std::int32_t, 1>> plane_support_;
  Input<double, 1> row_x_, row_y_, row_w_, frequency_;
  Input<std::int32_t, 1> beam_, pointing_;
  Input<double, 1> pixel_x_, pixel_y_;
  Input<float, 2> weight_;
  Input<std::int32_t, 1> order_;
  Input<std::int64_t, 1> group_start_;
  GridShape shape_;
  int pointings_;
  std::unique_ptr<GriddingPlan> plan_;
};

}  // namespace

void bind_gridding(nb::module_& m) {
  nb::class_<Gridder>(m, "Gridder")
      .def(nb::init<int, int, int, int, std::optional<Input<float, 6>>, std::optional<Input<float, 6>>,
                    std::optional<Input<float, 6>>, std::optional<Input<std::int32_t, 1>>, double, int,
                    Input<double, 1>, Input<double, 1>, Input<double, 1>, Input<double, 1>,
                    Input<std::int32_t, 1>, Input<std::int32_t, 1>, Input<double, 1>, Input<double, 1>,
                    Input<float, 2>, Input<std::int32_t, 1>, Input<std::int64_t, 1>>(),
           "nx"_a, "ny"_a, "margin"_a, "columns"_a, "table"_a.none(), "along_x"_a.none(), "along_y"_a.none(),
           "plane_support"_a.none(), "w_step"_a, "oversampling"_a, "row_x"_a, "row_y"_a, "row_w"_a,
           "frequency"_a, "beam"_a, "pointing"_a, "pixel_x"_a, "pixel_y"_a, "weight"_a, "order"_a,
           "group_start"_a)
      .def("grid", &Gridder::grid, "data"_a, nb::arg("grid").noconvert(), "threads"_a)
      .def("grid_psf", &Gridder::grid_psf, nb::arg("grid").noconvert(), "threads"_a)
      .def("subtract", &Gridder::subtract, "grid"_a, "data"_a, nb::arg("residual").noconvert(), "threads"_a)
      .def("predict_taylor", &Gridder::predict_taylor, "grid"_a, "reference_hz"_a,
           nb::arg("model").noconvert(), "threads"_a)
      .def_prop_ro("weight_sum", &Gridder::weight_sum)
      .def("beam_weights", &Gridder::beam_weights)
      .def_prop_ro("outside", &Gridder::outside)
      .def_prop_ro("visibilities", &Gridder::visibilities)
      .def_prop_ro("chunks", &Gridder::chunks);
}

}  // namespace vlasscube
