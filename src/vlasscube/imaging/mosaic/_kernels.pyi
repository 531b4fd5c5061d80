import numpy as np
import numpy.typing as npt

_Float = npt.NDArray[np.float32]
_Double = npt.NDArray[np.float64]
_Complex = npt.NDArray[np.complex64]
_Int = npt.NDArray[np.int32]
_Long = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.uint8]

class Gridder:
    def __init__(
        self,
        nx: int,
        ny: int,
        margin: int,
        columns: int,
        kernels: _Float,
        kernels_imaginary: _Float | None,
        w_step: float,
        oversampling: int,
        interpolate: bool,
        row_x: _Double,
        row_y: _Double,
        row_w: _Double,
        frequency: _Double,
        beam: _Int,
        pointing: _Int,
        pixel_x: _Double,
        pixel_y: _Double,
        weight: _Float,
        order: _Int,
        group_start: _Long,
    ) -> None: ...
    def grid(self, data: _Complex, grid: _Float, threads: int) -> None: ...
    def grid_psf(self, grid: _Float, threads: int) -> None: ...
    def subtract(self, grid: _Float, data: _Complex, residual: _Complex, threads: int) -> None: ...
    def predict_taylor(self, grid: _Float, reference_hz: float, model: _Complex, threads: int) -> None: ...
    def beam_weights(self) -> list[float]: ...
    @property
    def weight_sum(self) -> float: ...
    @property
    def outside(self) -> int: ...
    @property
    def visibilities(self) -> int: ...
    @property
    def chunks(self) -> int: ...

class MinorCycleResult:
    @property
    def start_peak(self) -> float: ...
    @property
    def peak(self) -> float: ...
    @property
    def reached_threshold(self) -> bool: ...
    @property
    def iterations(self) -> int: ...
    @property
    def components(self) -> list[tuple[int, int, int, float]]: ...

class ScaleMasks:
    def __init__(self, cycle: MinorCycle, mask: _Mask) -> None: ...
    @property
    def pixels(self) -> list[int]: ...

class MinorCycle:
    def __init__(self, psf: _Float, scales: list[float], small_scale_bias: float, threads: int) -> None: ...
    def run(
        self,
        residual: _Float,
        masks: ScaleMasks,
        threshold: float,
        max_iterations: int,
        gain: float,
        model: _Float,
    ) -> MinorCycleResult: ...

def find_peaks(residual: _Float, inside: _Mask, mask: _Mask, threads: int) -> tuple[int, float, float]: ...
def robust_statistics(values: _Float, region: _Mask, threads: int) -> tuple[int, float, float]: ...
def local_rms(
    image: _Float, rms: _Float, first_y: int, first_x: int, step: int, reach: int, threads: int
) -> None: ...
def chauvenet_limit(count: int) -> float: ...
def available_instruction_sets() -> list[str]: ...
def select_instruction_set(name: str) -> None: ...
