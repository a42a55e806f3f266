"""``python -m cgplugin``: the command line."""

from cgplugin.cli.main import main

main()
