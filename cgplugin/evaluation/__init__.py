"""What ``cgplugin evaluate`` does: a model against reference MD."""
