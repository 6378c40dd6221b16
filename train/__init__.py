"""The command `train`: from /opt/ml to a bundle. Read process.py first."""
