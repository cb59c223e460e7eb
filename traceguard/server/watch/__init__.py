"""What the server tells about itself: counts, its log, its own spans."""
