// The Python module vlasscube._kernels.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.hpp"
#include "vector_loops.hpp"

using namespace nanobind::literals;
using namespace vlasscube;

NB_MODULE(_kernels, m) {
  m.doc() =
      "The time-critical part of imaging, in C++; see vlasscube.mosaic and vlasscube.images for how it "
      "is used.";
  bind_gridding(m);
  bind_minor_cycle(m);
  bind_images(m);
  m.def("available_instruction_sets", [] {
    int count = 0;
    const char* const* names = available_vector_loops(count);
    return std::vector<std::string>(names, names + count);
  });
  m.def(
      "select_instruction_set",
      [](const std::string& name) {
        if (!select_vector_loops(name.c_str()))
          throw std::invalid_argument("this processor cannot run instruction set '" + name + "'");
      },
      "name"_a);
}
