"""The embedded store: an SQLite file, or a database in memory (design section 4).

- store: what `open_store` gives out; each method hands an operation to the writer or a query to the reader
- group_commit: the one writer; operations that arrive while a commit is under way share the next transaction
- connection: opening and checking a file
- session: what an operation works with inside a transaction
- ledger: what an operation writes beside the jobs, once for all of them: figures, events, endings, limits
- listeners: those who wait for events
- units, jobs, delivery, leases, schedule, queues, documents, workflows, events, statistics, dead_letter, retention:
  operations and queries as plain functions, each with its statements in the .sql file beside it
- listing, operators: what only operators ask for
- unique: which job is a duplicate
- limits, lanes, line: what limits have used up, where jobs wait that they hold back, and the order in which a claim
  gives jobs, merged from both kinds
"""
