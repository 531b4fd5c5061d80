"""The web log: pages and figures made from the records alone."""
