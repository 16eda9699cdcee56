"""A package, so that the console that its tests share ends with the last of them, and not with the session."""
