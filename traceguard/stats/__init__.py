"""Statistics that know nothing of spans: regression from sums, multiplicity."""
