// What the parts of the Python module share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

namespace vlasscube {

namespace nb = nanobind;

template <typename T, int Dimensions>
using Input = nb::ndarray<const T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;
template <typename T, int Dimensions>
using InOut = nb::ndarray<T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;

inline void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

template <class Array>
void require_shape(const Array& array, std::size_t ny, std::size_t nx) {
  require(array.shape(0) == ny && array.shape(1) == nx, "the planes differ in shape");
}

void bind_gridding(nb::module_& m);
void bind_minor_cycle(nb::module_& m);
void bind_images(nb::module_& m);

}  // namespace vlasscube
