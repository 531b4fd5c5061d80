"""Convolution functions without the shortcuts of CASA's: a wider support, interpolated, with w if wanted.

The function of a visibility is the Fourier transform of the antennas' power beam A(l, m) times the phase
π w (l² + m²) that w leaves at a distance from the pointing centre. A power beam is, to a few 1e-4, a sum of
few products of functions of l and of m alone, and the phase is such a product. So functions of one
dimension are tabulated, for positions within a cell and for planes of w, and interpolated linearly in both;
their products, added up, are the function wanted. The tables take megabytes where two-dimensional ones
would take gigabytes, and stay in the processor's cache.

A function of 2 s + 1 cells cannot have the beam as its transform, which ends at the first null with a kink.
Cutting the transform off leaves errors everywhere. Here the cells are those whose response is nearest to
the beam by least squares, with more weight where the beam is large: what a function brings into the image
is multiplied by the beam again. With a third of the cells the error is a third of that of cutting off.

Linear interpolation between steps that differ by a phase φ multiplies the response by sinc²(φ/2π) on
average; the functions are divided by this. What is left is below φ²/12 for each visibility, of either sign.

Notes
-----
With w seen from the pointing centre the phase is exactly -2π w (√(1 - r²) - 1). At the first null of VLASS's
lowest plane, r = 0.0062, -r²/2 is off by 2e-10: 1e-4 rad for the longest baselines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlasscube.mosaic.convolution import ConvolutionFunctions, PowerBeam, SeparableFunctions
from vlasscube.mosaic.grid import ImageGrid

OVERSAMPLING = 12
_LEAST_SUPPORT = 4
_MOST_SUPPORT = 128
_SCREEN_PIXELS = 256
_SAMPLES_BEYOND = 64
_BEAM_BANDWIDTH = 0.005
"""Largest fractional bandwidth of one beam."""
_NODES = 5
"""Positions of a moving pointing; beams of sixth order are averaged exactly, but for where they end."""
_W_PHASE = 0.1
"""Phase, rad, between neighbouring w planes for a source at the beam's half-power radius."""
_KNEE = 0.4
"""Power beam below which errors count less, in proportion to it."""
_RESPONSE_FLOOR = 0.04
"""How much errors count, and weigh in fits, at least."""
_PRODUCT_ERROR = 4e-4
"""Largest error of the sum of products, as it counts."""
_SUPPORT_ERROR = 8e-4
"""Largest error of the response of 2 s + 1 cells, as it counts."""
_MOST_TERMS = 12
_PRODUCT_FLOOR = 0.01

Complex = npt.NDArray[np.complex128]
Float = npt.NDArray[np.float64]


def exact_convolution_functions(
    grid: ImageGrid,
    frequency_hz: Float,
    power_beam: PowerBeam,
    beam_radius_rad: float,
    largest_w: float = 0.0,
    track_rad: tuple[float, float] = (0.0, 0.0),
) -> ConvolutionFunctions:
    """Compute the convolution functions of a spectral window.

    Parameters
    ----------
    grid : ImageGrid
        Image, padded so that no beam reaches over its border.
    frequency_hz : ndarray, shape (nchan,)
        Channel frequencies.
    power_beam : callable
        Power beam, 1 on axis, 0 from the first null outwards.
    beam_radius_rad : float
        Radius of the first null at the lowest frequency, or more.
    largest_w : float
        Largest absolute w of the visibilities in wavelengths; 0 to leave w out of account.
    track_rad : tuple of float
        Way along x and y that the beam moves, evenly and centred on the pointing, while visibilities are
        observed: the beam is averaged over it.

    Returns
    -------
    ConvolutionFunctions
        Their response is the power beam times exp(πi w r²) to 0.1 % inside half power, and to 2 % around the
        first null. The larger w, the more cells they have.
    """
    beam_frequency, beam_of_channel = _beam_channels(frequency_hz)
    radius = beam_radius_rad + float(np.hypot(*track_rad)) / 2
    steps = np.arange(_SCREEN_PIXELS, dtype=np.float64) - _SCREEN_PIXELS / 2 + 0.5
    samples: Float = steps * (2 * radius / _SCREEN_PIXELS)
    distance = np.hypot(samples, samples[:, None])
    screens = [
        _mean_beam(power_beam, float(frequency), samples, samples[:, None], track_rad)
        for frequency in beam_frequency
    ]
    products = [_products(screen) for screen in screens]
    widest, narrowest = int(beam_frequency.argmin()), int(beam_frequency.argmax())
    half_power = float(distance[screens[widest] > 0.5].max(initial=radius / 4))
    planes = 1 if largest_w == 0 else int(np.ceil(largest_w * np.pi * half_power**2 / _W_PHASE)) + 1
    w_step = largest_w / (planes - 1) if planes > 1 else 0.0
    sizes = [size * grid.cell_rad for size in (grid.nx, grid.ny)]
    beams = [
        tuple(
            _Axis(samples, extent, w_step, screen.max(axis=number), (entry.along_x, entry.along_y)[number])
            for number, extent in enumerate(sizes)
        )
        for screen, entry in zip(screens, products, strict=True)
    ]
    ends = [(screens[beam], beams[beam]) for beam in {widest, narrowest}]
    support = _supports(ends, planes, min(_MOST_SUPPORT, (min(grid.nx, grid.ny) - 1) // 2 - 1))
    odd = [entry.odd for entry in products]
    functions = SeparableFunctions(
        _tables([axes[0] for axes in beams], odd, support),
        _tables([axes[1] for axes in beams], odd, support, -1.0),
        support,
        w_step,
    )
    weight_support = min(2 * int(support[0]), (min(grid.nx, grid.ny) - 1) // 2)
    centre: Float = np.zeros(1)
    peaks = [
        _mean_beam(power_beam, float(frequency), centre, centre, track_rad)[0] for frequency in beam_frequency
    ]
    weight = _weight_functions(grid, samples, screens, weight_support) * np.square(peaks)[:, None, None]
    return ConvolutionFunctions(beam_of_channel, functions, OVERSAMPLING, weight)


@dataclass(frozen=True, eq=False)
class _Products:
    """A power beam as the sum of products of functions of one coordinate each."""

    odd: npt.NDArray[np.bool_]
    """Shape (terms,): whether the functions of a product are odd; the others are even."""
    along_x: Float
    """Shape (terms, samples)."""
    along_y: Float


def _importance(beam: Float) -> Float:
    """How much errors of the response count."""
    return np.minimum(beam / _KNEE, 1.0)


def _products(screen: Float) -> _Products:
    """Split a power beam (symmetric about its centre) into the fewest products that are near enough.

    The error is least where the beam is large: what reaches the image is multiplied by the beam once more.
    """
    importance = _importance(screen)
    weight_x = np.sqrt(np.maximum(importance.max(axis=0), _PRODUCT_FLOOR))
    weight_y = np.sqrt(np.maximum(importance.max(axis=1), _PRODUCT_FLOOR))
    mirrored = screen[:, ::-1]
    found = []
    for odd in (False, True):
        part = (screen - mirrored if odd else screen + mirrored) / 2
        # A round beam has no odd part.
        if np.abs(part).max() < 0.1 * _PRODUCT_ERROR:
            continue
        left, size, right = np.linalg.svd(part * weight_y[:, None] * weight_x)
        for term in range(_MOST_TERMS):
            root = np.sqrt(size[term])
            found.append((size[term], odd, right[term] / weight_x * root, left[:, term] / weight_y * root))
    found.sort(key=lambda entry: -entry[0])
    rest = screen.copy()
    for count in range(1, min(_MOST_TERMS, len(found)) + 1):
        _, _, along_x, along_y = found[count - 1]
        rest -= along_y[:, None] * along_x
        if np.abs(rest * np.maximum(importance, _RESPONSE_FLOOR)).max() < _PRODUCT_ERROR:
            break
    _, parity, all_x, all_y = zip(*found[:count], strict=True)
    return _Products(np.array(parity), np.array(all_x), np.array(all_y))


def _mean_beam(
    power_beam: PowerBeam, frequency_hz: float, x_rad: Float, y_rad: Float, track_rad: tuple[float, float]
) -> Float:
    """Average the power beam over the positions of a moving pointing; Gauss-Legendre quadrature.

    A visibility sees the beam at x - s when the pointing is displaced by s, and those of all s are gridded
    with one function: what they respond with is the mean over s.
    """
    along_x, along_y = track_rad
    is_still = along_x == along_y == 0
    nodes, weights = (np.zeros(1), np.full(1, 2.0)) if is_still else np.polynomial.legendre.leggauss(_NODES)
    mean: Float = np.zeros(np.broadcast_shapes(x_rad.shape, y_rad.shape))
    for node, weight in zip(nodes, weights, strict=True):
        distance = np.hypot(x_rad - node / 2 * along_x, y_rad - node / 2 * along_y)
        mean += weight / 2 * power_beam(np.degrees(distance) * 60, frequency_hz)
    return mean


def _beam_channels(frequency_hz: Float) -> tuple[Float, npt.NDArray[np.int32]]:
    """Frequencies of the beams, at most half a per cent apart, and the nearest of them for each channel."""
    lowest, highest, count = float(frequency_hz.min()), float(frequency_hz.max()), frequency_hz.size
    spacing = (highest - lowest) / max(count - 1, 1)
    beams = max(int(np.ceil((highest - lowest + spacing) / (highest * _BEAM_BANDWIDTH))), 1)
    if beams >= count:
        return frequency_hz.copy(), np.arange(count, dtype=np.int32)
    step = (highest - lowest + spacing) / beams
    beam_frequency: Float = lowest + (step - spacing) / 2 + step * np.arange(beams, dtype=np.float64)
    distance = np.abs(frequency_hz[:, None] - beam_frequency)
    return beam_frequency, distance.argmin(axis=1).astype(np.int32)


def _transform(samples: Float, extent: float, support: int, offsets: Float) -> Complex:
    """Fourier matrix from the screen to the cells; shape (offsets, 2 s + 1, samples)."""
    cells = np.arange(-support, support + 1)
    position = cells[None, :] + offsets[:, None]
    matrix: Complex = np.exp(-2j * np.pi * position[..., None] * samples / extent)
    return matrix


@dataclass(frozen=True, eq=False)
class _Axis:
    """An axis of the uv plane, and the functions of a beam's products along it."""

    samples: Float
    """Places on the sky, rad."""
    extent: float
    """Of the image, rad."""
    w_step: float
    profile: Float
    """The beam at the samples."""
    along: Float
    """Functions at the samples; shape (terms, samples)."""

    def on_sky(self, plane: int) -> Complex:
        """The functions with the phase of a w plane; shape (terms, samples)."""
        functions: Complex = self.along * np.exp(1j * np.pi * plane * self.w_step * self.samples**2)
        return functions

    def interpolated(self) -> Float:
        """What linear interpolation between offsets and between w planes leaves on average."""
        steps = np.sinc(self.samples / (self.extent * OVERSAMPLING)) ** 2
        response: Float = steps * np.sinc(self.w_step * self.samples**2 / 2) ** 2
        return response

    def fit(self, functions: Complex, support: int, to_cells: Complex) -> Complex:
        """Cells -s … s whose response is nearest to functions; shape (offsets, terms, 2 s + 1).

        What the response is between the last sample and the border of the image counts as well.
        """
        spacing = self.samples[1] - self.samples[0]
        inner = np.maximum(_importance(self.profile), _RESPONSE_FLOOR) ** 2
        outer = _RESPONSE_FLOOR**2
        lags = _transform(self.samples, self.extent, 2 * support, np.zeros(1))[0] @ (inner - outer) * spacing
        lags[2 * support] += outer * self.extent
        cells = np.arange(2 * support + 1)
        normal = lags[cells[:, None] - cells + 2 * support]
        offsets, terms = len(to_cells), len(functions)
        sums = np.einsum("oxj,tj->xot", to_cells, functions * (inner * spacing), optimize=True)
        fitted = np.linalg.solve(normal, sums.reshape(cells.size, -1)).reshape(-1, offsets, terms)
        return np.ascontiguousarray(np.moveaxis(fitted, 0, -1))

    def response(self, plane: int, support: int) -> Complex:
        """Response of the cells at the samples and at places beyond; shape (terms, places)."""
        edge = self.samples[-1]
        places = np.concatenate([self.samples, np.linspace(edge, self.extent - edge, _SAMPLES_BEYOND)])
        to_cells = _transform(self.samples, self.extent, support, np.zeros(1))
        cells = self.fit(self.on_sky(plane), support, to_cells)[0]
        to_sky = _transform(places, self.extent, support, np.zeros(1))[0].conj()
        response: Complex = cells @ to_sky
        return response


_Beam = tuple[_Axis, ...]
"""Along x and along y."""


def _supports(beams: list[tuple[Float, _Beam]], planes: int, most: int) -> npt.NDArray[np.int32]:
    """Half-widths with which the response of each w plane is near enough to the beam; shape (planes,)."""
    supports = np.empty(planes, dtype=np.int32)
    support = min(_LEAST_SUPPORT, most)
    for plane in range(planes):
        while support < most and max(_error(*beam, plane, support) for beam in beams) > _SUPPORT_ERROR:
            support += 1
        supports[plane] = support
    return supports


def _error(screen: Float, beam: _Beam, plane: int, support: int) -> float:
    """Largest error of the response of a w plane, as it counts."""
    x, y = (axis.response(plane, support) for axis in beam)
    error = y.T @ x
    phase_x, phase_y = (np.exp(1j * np.pi * plane * axis.w_step * axis.samples**2) for axis in beam)
    inner = slice(0, screen.shape[0])
    error[inner, inner] -= screen * phase_y[:, None] * phase_x
    counts = np.full(error.shape, _RESPONSE_FLOOR)
    counts[inner, inner] = np.maximum(_importance(screen), _RESPONSE_FLOOR)
    return float((np.abs(error) * counts).max())


def _tables(
    axes: list[_Axis],
    odd: list[npt.NDArray[np.bool_]],
    support: npt.NDArray[np.int32],
    sign: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Tabulate the functions of an axis; shape (beams, planes, offsets, terms, parts, padded).

    The sign is for the transforms of odd functions where no imaginary part is kept.
    """
    offsets: Float = np.arange(-(OVERSAMPLING // 2), OVERSAMPLING // 2 + 1, dtype=np.float64) / OVERSAMPLING
    widest = int(support[-1])
    terms = max(is_odd.size for is_odd in odd)
    parts = 1 if axes[0].w_step == 0 else 2
    # Room for a whole vector from any cell on.
    padded = -(-(2 * widest + 1) // 8) * 8 + 8
    table = np.zeros((len(axes), support.size, offsets.size, terms, parts, padded), dtype=np.float32)
    for plane, reach in enumerate(support.tolist()):
        if plane == 0 or reach != support[plane - 1]:
            to_cells = _transform(axes[0].samples, axes[0].extent, reach, offsets)
        used = slice(widest - reach, widest + reach + 1)
        for beam, (axis, is_odd) in enumerate(zip(axes, odd, strict=True)):
            values = axis.fit(axis.on_sky(plane) / axis.interpolated(), reach, to_cells)
            if parts == 2:
                table[beam, plane, :, : is_odd.size, 0, used] = values.real
                table[beam, plane, :, : is_odd.size, 1, used] = values.imag
            else:
                # The transform of an odd function is imaginary; the product of two is real.
                kept = np.where(is_odd[:, None], sign * values.imag, values.real)
                table[beam, plane, :, : is_odd.size, 0, used] = kept
    return table


def _weight_functions(grid: ImageGrid, samples: Float, screens: list[Float], support: int) -> Float:
    matrix_x = _transform(samples, grid.nx * grid.cell_rad, support, np.zeros(1))[0]
    matrix_y = _transform(samples, grid.ny * grid.cell_rad, support, np.zeros(1))[0]
    weight = np.stack([(matrix_y @ screen**2 @ matrix_x.T).real for screen in screens])
    norm: Float = weight.sum(axis=(1, 2), keepdims=True)
    return weight / norm
