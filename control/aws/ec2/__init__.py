"""One training job on one EC2 instance: its request, its user data, how it is followed."""
