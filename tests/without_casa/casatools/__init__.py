"""Stands in for CASA where tests are to do without it: see ``make test-fast``."""

raise ImportError("this test needs CASA: mark it with @pytest.mark.casa")
