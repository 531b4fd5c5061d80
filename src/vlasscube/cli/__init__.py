"""The command line: commands, options, messages, tables, progress."""

from vlasscube.cli.main import main

__all__ = ["main"]
