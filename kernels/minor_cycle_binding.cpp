// Python's view of the minor cycle.
#include "minor_cycle.hpp"

#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <tuple>
#include <vector>

#include "bindings.hpp"

using namespace nanobind::literals;

namespace vlasscube {
namespace {

// (scale, y, x, flux)
std::vector<std::tuple<int, int, int, float>> components(const minor_cycle::Result& result) {
  std::vector<std::tuple<int, int, int, float>> list;
  for (const auto& component : result.components)
    list.emplace_back(component.scale, component.y, component.x, component.flux);
  return list;
}

}  // namespace

void bind_minor_cycle(nb::module_& m) {
  nb::class_<minor_cycle::Result>(m, "MinorCycleResult")
      .def_ro("start_peak", &minor_cycle::Result::start_peak)
      .def_ro("peak", &minor_cycle::Result::peak)
      .def_ro("reached_threshold", &minor_cycle::Result::reached_threshold)
      .def_prop_ro("iterations", [](const minor_cycle::Result& self) { return self.components.size(); })
      .def_prop_ro("components", &components);

  nb::class_<minor_cycle::ScaleMasks>(m, "ScaleMasks")
      .def(
          "__init__",
          [](minor_cycle::ScaleMasks* self, const minor_cycle::MinorCycle& cycle,
             Input<std::uint8_t, 2> mask) {
            require_shape(mask, static_cast<std::size_t>(cycle.ny()), static_cast<std::size_t>(cycle.nx()));
            nb::gil_scoped_release release;
            new (self) minor_cycle::ScaleMasks(cycle, mask.data());
          },
          "cycle"_a, "mask"_a)
      .def_prop_ro("pixels", [](const minor_cycle::ScaleMasks& self) {
        std::vector<std::int64_t> counts;
        for (const auto& scale : self.scales()) counts.push_back(scale.pixels);
        return counts;
      });

  nb::class_<minor_cycle::MinorCycle>(m, "MinorCycle")
      .def(
          "__init__",
          [](minor_cycle::MinorCycle* self, Input<float, 2> psf, const std::vector<float>& scales,
             float small_scale_bias, int threads) {
            nb::gil_scoped_release release;
            new (self)
                minor_cycle::MinorCycle(psf.data(), static_cast<int>(psf.shape(0)),
                                        static_cast<int>(psf.shape(1)), scales, small_scale_bias, threads);
          },
          "psf"_a, "scales"_a, "small_scale_bias"_a, "threads"_a)
      .def(
          "run",
          [](const minor_cycle::MinorCycle& self, Input<float, 2> residual,
             const minor_cycle::ScaleMasks& masks, float threshold, int max_components, float gain,
             InOut<float, 2> model) {
            require_shape(residual, static_cast<std::size_t>(self.ny()), static_cast<std::size_t>(self.nx()));
            require_shape(model, static_cast<std::size_t>(self.ny()), static_cast<std::size_t>(self.nx()));
            nb::gil_scoped_release release;
            return self.run(residual.data(), masks, threshold, max_components, gain, model.data());
          },
          "residual"_a, "masks"_a, "threshold"_a, "max_components"_a, "gain"_a, nb::arg("model").noconvert());
}

}  // namespace vlasscube
