"""Questions asked of a live store, and the page."""
