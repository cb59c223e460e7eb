"""Who tends the live store: retention and forgetting."""
