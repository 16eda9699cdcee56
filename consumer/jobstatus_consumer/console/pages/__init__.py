"""One file a page: what it asks, its HTML and its JSON."""
