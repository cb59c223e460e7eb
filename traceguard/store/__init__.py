"""Where spans lie: one DuckDB file, its schema and the queries over it.

What always holds: acknowledged means committed; one process owns a live file; a duplicate that a client's retry made
may lie in the tables and is counted by nobody. This room is the one door to duckdb.
"""

from traceguard.store import queries
from traceguard.store.hot import Store
from traceguard.store.open import open_store

__all__ = ["Store", "open_store", "queries"]
