"""Pages about a job: its profile, its findings, its training."""
