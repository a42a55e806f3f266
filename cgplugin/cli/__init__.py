"""The command line: one program, ``cgplugin``; each command in a module of its own, imported only when it is called."""
