"""Benchmarks: our server beside TorchServe, Flask, FastAPI and LitServe, and beside its limit."""
