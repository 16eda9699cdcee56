"""A real Apache Kafka and a real PostgreSQL as child processes, for the demo and the tests.

Nothing here is meant for production. It imports no other package of ours, and importing it loads nothing heavy:

- :class:`jobstatus_local.kafka.LocalKafka`: one broker, or three
- :class:`jobstatus_local.postgres.LocalPostgres`
- :func:`jobstatus_local.stack.local_stack`: both at once
- :class:`jobstatus_local.proxy.TcpProxy`: breaks the network in front of either server
- :mod:`jobstatus_local.jars`: the Java archives, locked with checksums

Linux and macOS; Python 3.11 or newer.
"""
