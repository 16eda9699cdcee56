"""Reading the log again: which stretch of it, into the live table, into a new one, or only to say what would happen.

An event that is read again goes through the same fold and the same guard with the position that it always had, so
nothing newer is overwritten and a second replay changes nothing. The live group's offsets and the table's progress are
never touched: both say what the consumer did, and a replay is not the consumer.
"""
