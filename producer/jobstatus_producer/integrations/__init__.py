"""Reports from job and web frameworks, a module for each. A module imports its framework, and nothing else does."""
