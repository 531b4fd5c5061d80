"""A synthetic VLASS field with the products of its continuum run."""

from vlasscube.simulation.build import SimulationRecord, simulate
from vlasscube.simulation.presets import PRESETS, FieldSimulation, preset

__all__ = ["PRESETS", "FieldSimulation", "SimulationRecord", "preset", "simulate"]
