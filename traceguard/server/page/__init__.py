"""The live page: a view a module, each at an address of its own that says all of what it shows."""
