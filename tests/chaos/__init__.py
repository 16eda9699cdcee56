"""A package, so that the servers of its tests end with the last of them, and not with the session."""
