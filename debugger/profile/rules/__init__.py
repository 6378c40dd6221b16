"""The profiler's rules, one a file: pure functions from facts and parameters to a verdict.

Each docstring says where the rule differs from AWS's; AWS's arithmetic itself is in
`debugger.profile.aws`.
"""
