"""The built-in rules over saved tensors: small pure functions, and what runs them."""
