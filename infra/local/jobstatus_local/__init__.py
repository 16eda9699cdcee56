"""A real Apache Kafka and a real PostgreSQL as child processes, for the demo and the tests.

Nothing here is meant for production, and importing the package imports nothing heavy:

- :class:`jobstatus_local.kafka.LocalKafka`: one broker, or three
- :class:`jobstatus_local.postgres.LocalPostgres`
- :func:`jobstatus_local.stack.local_stack`: both at once
- :class:`jobstatus_local.mock.MockKafka`: librdkafka's built-in cluster, where the jars cannot be had
- :class:`jobstatus_local.proxy.TcpProxy`: faults on the network, in front of either
- :mod:`jobstatus_local.jars`: the Java archives, from a lock file with checksums

Linux and macOS; Python 3.11 or newer.
"""
