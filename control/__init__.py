"""The command `kennel`: it starts jobs and servers as processes and asks them over HTTP."""
