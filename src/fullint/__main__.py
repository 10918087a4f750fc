"""Serves `python -m fullint`."""

from fullint.cli import main

main()
