"""Exports on their way in: from bytes on a port to rows on disk, and the answer."""
