// Python's view of the minor cycle and the plane statistics.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "minor_cycle.hpp"
#include "plane_statistics.hpp"

namespace nb = nanobind;

namespace {

using Plane = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using WritablePlane = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using MaskPlane = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class Array>
void require_shape(const Array& array, std::size_t ny, std::size_t nx) {
  if (array.shape(0) != ny || array.shape(1) != nx) throw std::invalid_argument("planes of different shapes");
}

nb::list components(const minor_cycle::Result& result) {
  nb::list list;
  for (const auto& component : result.components) {
    list.append(nb::make_tuple(component.scale, component.y, component.x, component.flux));
  }
  return list;
}

}  // namespace

void bind_minor_cycle(nb::module_& module) {
  nb::class_<minor_cycle::Result>(module, "MinorCycleResult")
      .def_ro("start_peak", &minor_cycle::Result::start_peak)
      .def_ro("peak", &minor_cycle::Result::peak)
      .def_ro("reached_threshold", &minor_cycle::Result::reached_threshold)
      .def_prop_ro("iterations", [](const minor_cycle::Result& self) { return self.components.size(); })
      .def_prop_ro("components", &components);

  nb::class_<minor_cycle::ScaleMasks>(module, "ScaleMasks")
      .def(
          "__init__",
          [](minor_cycle::ScaleMasks* self, const minor_cycle::MinorCycle& cycle, const MaskPlane& mask) {
            require_shape(mask, static_cast<std::size_t>(cycle.ny()), static_cast<std::size_t>(cycle.nx()));
            nb::gil_scoped_release release;
            new (self) minor_cycle::ScaleMasks(cycle, mask.data());
          },
          nb::arg("cycle"), nb::arg("mask"))
      .def_prop_ro("pixels", [](const minor_cycle::ScaleMasks& self) {
        std::vector<std::int64_t> counts;
        for (const auto& scale : self.scales()) counts.push_back(scale.pixels);
        return counts;
      });

  nb::class_<minor_cycle::MinorCycle>(module, "MinorCycle")
      .def(
          "__init__",
          [](minor_cycle::MinorCycle* self, const Plane& psf, const std::vector<float>& scales,
             float small_scale_bias, int threads) {
            nb::gil_scoped_release release;
            new (self)
                minor_cycle::MinorCycle(psf.data(), static_cast<int>(psf.shape(0)),
                                        static_cast<int>(psf.shape(1)), scales, small_scale_bias, threads);
          },
          nb::arg("psf"), nb::arg("scales"), nb::arg("small_scale_bias"), nb::arg("threads"))
      .def_prop_ro("patch", &minor_cycle::MinorCycle::patch)
      .def(
          "run",
          [](const minor_cycle::MinorCycle& self, const Plane& residual, const minor_cycle::ScaleMasks& masks,
             float threshold, int max_components, float gain, const WritablePlane& model) {
            require_shape(residual, static_cast<std::size_t>(self.ny()), static_cast<std::size_t>(self.nx()));
            require_shape(model, static_cast<std::size_t>(self.ny()), static_cast<std::size_t>(self.nx()));
            nb::gil_scoped_release release;
            return self.run(residual.data(), masks, threshold, max_components, gain, model.data());
          },
          nb::arg("residual"), nb::arg("masks"), nb::arg("threshold"), nb::arg("max_components"),
          nb::arg("gain"), nb::arg("model").noconvert());

  module.def(
      "find_peaks",
      [](const Plane& values, const MaskPlane& inside, const MaskPlane& mask, int threads) {
        require_shape(inside, values.shape(0), values.shape(1));
        require_shape(mask, values.shape(0), values.shape(1));
        plane_statistics::Peaks peaks;
        {
          nb::gil_scoped_release release;
          peaks =
              plane_statistics::find_peaks(values.data(), inside.data(), mask.data(), values.size(), threads);
        }
        return nb::make_tuple(peaks.count, peaks.inside, peaks.within_mask);
      },
      nb::arg("values"), nb::arg("inside"), nb::arg("mask"), nb::arg("threads"));

  module.def(
      "robust_statistics",
      [](const Plane& values, const MaskPlane& use, int threads) {
        require_shape(use, values.shape(0), values.shape(1));
        plane_statistics::RobustStatistics statistics;
        {
          nb::gil_scoped_release release;
          statistics = plane_statistics::robust_statistics(values.data(), use.data(), values.size(), threads);
        }
        return nb::make_tuple(statistics.count, statistics.median, statistics.mad);
      },
      nb::arg("values"), nb::arg("use"), nb::arg("threads"));
}
