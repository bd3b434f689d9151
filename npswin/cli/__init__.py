"""The command npswin."""

from npswin.cli.main import main

__all__ = ["main"]
