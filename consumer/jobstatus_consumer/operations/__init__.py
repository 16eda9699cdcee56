"""What an operator does with the log: replay, rebuild, verify, repair, history, redrive.

An event that is read again goes through the same fold and the same guard, with its own position. So nothing newer is
overwritten, and a second replay changes nothing. The live group's offsets and the table's progress say what the
consumer did; nothing in this package changes them, except that a rebuild writes the progress of its own new table.
"""
