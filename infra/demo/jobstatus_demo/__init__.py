"""The demo: the crisis as it was, and its end, on a real Kafka and a real PostgreSQL.

    plan      what the workers report, and what the run is called
    servers   where the broker and the database come from
    stage     the topic and the tables of one run, and their removal
    before    the crisis: a connection for every update
    after     the same updates through jobstatus, with the consumer killed half way
    watch     looks at the table all the while: nothing may go back
    recount   reads the whole topic again and compares every row
    report    the figures, the bounds they must keep, the verdict
    show      all of it for people
    run       one after the other

Every figure is computed from the database and the topic; none is assumed.
"""
