"""What happened inside a job: rules over saved tensors, and the profiler's report."""
