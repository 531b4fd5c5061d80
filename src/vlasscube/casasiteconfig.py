"""CASA's site configuration as `vlasscube.casa` sets it; executed by casaconfig, not imported."""

import os as _os

import casadata as _casadata

measurespath = _casadata.datapath
measures_auto_update = False
data_auto_update = False
cachedir = _os.environ.get("VLASSCUBE_CASA_SCRATCH", "/tmp")
startupfile = ""
logfile = _os.environ.get("VLASSCUBE_CASA_LOG", "")
nologfile = not logfile
nologger = True
nogui = True
agg = True
log2term = False
casaconfig_verbose = 0
