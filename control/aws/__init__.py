"""AWS's side of the command `kennel`: what is asked for, as plain data, and who asks."""
