"""The spool: accepted events in files, until the broker has acknowledged them, whatever becomes of the process."""
