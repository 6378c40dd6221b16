"""The profiler: what a job measured of itself, its rules, and AWS's JSON files."""
