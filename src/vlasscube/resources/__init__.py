"""The continuum run's resources: `reimaging_resources.tgz`, read as hostile and checked against the data."""
