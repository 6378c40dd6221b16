"""Scaling: how many instances an endpoint has over time: policies, requests and a simulator."""
