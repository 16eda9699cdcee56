"""The demo: the crisis the old way, and its end, on a real Kafka and a real PostgreSQL.

    plan      what the workers report, and the names of the run
    servers   where the broker and the database come from
    command   runs `jobstatus` as a process; the demo uses the product in no other way
    topic     the topic of one run
    tables    the tables of one run
    stage     both together, and their removal
    before    the crisis: a connection for every update
    after     the same updates through jobstatus, with the consumer killed half way
    children  the processes of both parts; `worker` is one of them, `tether` ends them with the demo
    watch     reads the table again and again: no row may go back
    recount   reads the whole topic again and compares every row
    figures   what was counted
    report    the figures, the bounds that they must keep, and the verdict
    show      what a person sees
    run       one part after the other

It imports nothing of `jobstatus_consumer`. Every figure is computed from the database and the topic.
"""
