// Python's view of the statistics, noise maps and reduction of images.
#include <nanobind/stl/tuple.h>

#include <cstdint>
#include <tuple>

#include "bindings.hpp"
#include "plane_statistics.hpp"
#include "rms_map.hpp"
#include "sample_arrays.hpp"

using namespace nanobind::literals;

namespace vlasscube {

void bind_images(nb::module_& m) {
  m.def(
      "find_peaks",
      [](Input<float, 2> values, Input<std::uint8_t, 2> inside, Input<std::uint8_t, 2> mask, int threads) {
        require_shape(inside, values.shape(0), values.shape(1));
        require_shape(mask, values.shape(0), values.shape(1));
        plane_statistics::Peaks peaks;
        {
          nb::gil_scoped_release release;
          peaks =
              plane_statistics::find_peaks(values.data(), inside.data(), mask.data(), values.size(), threads);
        }
        return std::make_tuple(peaks.count, peaks.inside, peaks.within_mask);
      },
      "values"_a, "inside"_a, "mask"_a, "threads"_a);

  m.def(
      "robust_statistics",
      [](Input<float, 2> values, Input<std::uint8_t, 2> use, int threads) {
        require_shape(use, values.shape(0), values.shape(1));
        plane_statistics::RobustStatistics statistics;
        {
          nb::gil_scoped_release release;
          statistics = plane_statistics::robust_statistics(values.data(), use.data(), values.size(), threads);
        }
        return std::make_tuple(statistics.count, statistics.median, statistics.mad);
      },
      "values"_a, "use"_a, "threads"_a);
  m.def(
      "local_rms",
      [](Input<float, 2> image, InOut<float, 2> rms, std::int64_t first_y, std::int64_t first_x,
         std::int64_t step, std::int64_t reach, int threads) {
        const rms_map::Grid grid{first_y,
                                 first_x,
                                 static_cast<std::int64_t>(rms.shape(0)),
                                 static_cast<std::int64_t>(rms.shape(1)),
                                 step,
                                 reach};
        nb::gil_scoped_release release;
        rms_map::local_rms(image.data(), static_cast<std::int64_t>(image.shape(0)),
                           static_cast<std::int64_t>(image.shape(1)), grid, rms.data(), threads);
      },
      "image"_a, nb::arg("rms").noconvert(), "first_y"_a, "first_x"_a, "step"_a, "reach"_a, "threads"_a);
  const auto reduced = [](auto reduce) {
    return [reduce](Input<float, 2> image, InOut<float, 2> out, std::size_t size) {
      require(size > 0 && out.shape(0) == (image.shape(0) + size - 1) / size &&
                  out.shape(1) == (image.shape(1) + size - 1) / size,
              "out must have a pixel for each block");
      nb::gil_scoped_release release;
      reduce(image.data(), image.shape(0), image.shape(1), size, out.data());
    };
  };
  m.def("block_mean", reduced(&sample_arrays::block_mean), "image"_a, nb::arg("out").noconvert(), "size"_a);
  m.def("block_extreme", reduced(&sample_arrays::block_extreme), "image"_a, nb::arg("out").noconvert(),
        "size"_a);
  m.def(
      "encode_samples",
      [](Input<float, 2> values, double step) {
        sample_arrays::Coded coded;
        {
          nb::gil_scoped_release release;
          coded = sample_arrays::encode(values.data(), values.shape(0), values.shape(1), step);
        }
        return std::make_tuple(nb::bytes(coded.bytes.data(), coded.bytes.size()), coded.bytes_per_sample,
                               coded.differences);
      },
      "values"_a, "step"_a);
  m.def("chauvenet_limit", &rms_map::chauvenet_limit, "count"_a);
}

}  // namespace vlasscube
