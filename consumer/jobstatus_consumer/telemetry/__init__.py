"""What a running consumer tells: metrics, health over HTTP, and log lines. Each module is imported by itself, since
most commands need the log lines only."""
