"""The function in Lambda before an endpoint: described, deployed, tried out and deleted."""
