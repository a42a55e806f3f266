"""What is simulated: molecules, their files, force fields, periodic boxes."""
