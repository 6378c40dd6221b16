"""Who may do what in AWS: policies of what commands call and no more, and the roles with them."""
