"""The prediction of the continuum run's model. Oracle: the calls of the simulated run, written out here."""

from __future__ import annotations

from pathlib import Path

from vlasscube.measurement_set.restore import continuum_prediction_arguments
from vlasscube.records import DataSelection, ImageGeometry
from vlasscube.simulation import continuum, preset
from vlasscube.simulation.build import observe


def test_arguments_are_those_of_the_continuum_run(monkeypatch, tmp_path):
    parameters = preset("tiny")
    files = continuum.ContinuumFiles(tmp_path, parameters)
    calls = []
    monkeypatch.setattr(continuum.casa, "run_task", lambda name, **arguments: calls.append(arguments))
    monkeypatch.setattr(continuum.shutil, "copytree", lambda *paths: None)
    continuum._predict(files, observe(parameters, 1))
    first, second = calls
    assert (first.pop("calcpsf"), first.pop("savemodel")) == (True, "none")
    assert (second.pop("calcpsf"), second.pop("savemodel")) == (False, "modelcolumn")
    assert first == second
    selected = {key: first[key] for key in ("field", "spw", "antenna", "scan", "intent", "uvrange")}
    made = continuum_prediction_arguments(
        files.ms,
        Path(first["imagename"]),
        DataSelection(**selected),
        ImageGeometry(320, 320, 8.0, parameters.phasecenter),
        robust=-2.0,
        uvtaper=("2.6476arcsec",),
        nterms=2,
        reffreq="3.0GHz",
        pblimit=0.1,
    )
    assert made == first
