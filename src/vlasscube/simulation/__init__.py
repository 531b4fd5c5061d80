"""A synthetic VLASS field with the products of its continuum run."""

from vlasscube.simulation.build import SimulationRecord, simulate
from vlasscube.simulation.parameters import FieldSimulation
from vlasscube.simulation.presets import PRESETS, preset

__all__ = ["PRESETS", "FieldSimulation", "SimulationRecord", "preset", "simulate"]
