"""Endpoints: what a deployment asks for, the requests that make it, and how it is followed."""
