"""A package, so that the registry of its tests ends with the last of them, and not with the session."""
