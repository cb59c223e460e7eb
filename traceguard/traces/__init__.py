"""Spans to facts: linked request trees, the critical path, error origins, factors, cells."""
