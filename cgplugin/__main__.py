"""``python -m cgplugin``: the command line."""

from .cli.main import main

main()
