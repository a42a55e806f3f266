"""The trained model: its file, and the dynamics that it stands for."""
