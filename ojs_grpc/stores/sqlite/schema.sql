-- Version 1 of a store file. Times are ms since the epoch, 0 for not set. States are named as in core.states.

-- Every number that only grows is taken from here: keys, places in line, leases.
CREATE TABLE IF NOT EXISTS counter (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    last     INTEGER NOT NULL
) STRICT;

INSERT INTO counter VALUES (1, 0) ON CONFLICT DO NOTHING;

-- The counts are kept with every change, since counting a million jobs would hold up the service.
CREATE TABLE IF NOT EXISTS queues (
    key        INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    paused     INTEGER NOT NULL DEFAULT 0,
    available  INTEGER NOT NULL DEFAULT 0,
    finished   INTEGER NOT NULL DEFAULT 0,  -- completed and cancelled
    dead       INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What changes in a job's life. What doesn't is in `envelopes`, so that no claim or ack rewrites a large envelope.
CREATE TABLE IF NOT EXISTS jobs (
    key           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    queue         INTEGER NOT NULL,            -- queues.key
    state         INTEGER NOT NULL,
    priority      INTEGER NOT NULL,
    seq           INTEGER NOT NULL,            -- available: place in line among its priority; ended: order among equal ended_at
    attempt       INTEGER NOT NULL DEFAULT 0,
    lease         INTEGER NOT NULL DEFAULT 0,  -- of the present or the last claim
    enqueued_at   INTEGER NOT NULL,
    started_at    INTEGER NOT NULL DEFAULT 0,
    ended_at      INTEGER NOT NULL DEFAULT 0,
    due_at        INTEGER NOT NULL,            -- active: end of the lease; scheduled, retryable: when it becomes available
    wake_at       INTEGER NOT NULL,            -- when somebody has to look at it: due_at, a timeout, a worker's silence
    expires_at    INTEGER NOT NULL,            -- end of its time to live
    visibility_ms INTEGER NOT NULL,
    timeout_ms    INTEGER NOT NULL,
    dead          INTEGER NOT NULL DEFAULT 0,
    worker        TEXT    NOT NULL DEFAULT '', -- the holder, while active
    tail          BLOB    NOT NULL DEFAULT x''
) STRICT;

CREATE TABLE IF NOT EXISTS envelopes (
    key  INTEGER PRIMARY KEY,                  -- jobs.key
    data BLOB NOT NULL
) STRICT;

-- The last two columns let a claim pass over expired jobs without visiting their rows.
CREATE INDEX IF NOT EXISTS jobs_in_line ON jobs (queue, priority DESC, seq, expires_at, started_at)
    WHERE state = {AVAILABLE};

CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs (wake_at)
    WHERE state IN ({SCHEDULED}, {RETRYABLE});

CREATE INDEX IF NOT EXISTS jobs_active ON jobs (wake_at)
    WHERE state = {ACTIVE};

CREATE INDEX IF NOT EXISTS jobs_held ON jobs (worker)
    WHERE state = {ACTIVE} AND worker <> '';

CREATE INDEX IF NOT EXISTS jobs_expiring ON jobs (expires_at)
    WHERE expires_at > 0 AND started_at = 0 AND state IN ({SCHEDULED}, {AVAILABLE}, {PENDING});

CREATE INDEX IF NOT EXISTS jobs_finished ON jobs (queue, ended_at, seq)
    WHERE state IN ({COMPLETED}, {CANCELLED});

CREATE INDEX IF NOT EXISTS jobs_discarded ON jobs (ended_at)
    WHERE state = {DISCARDED} AND dead = 0;

CREATE INDEX IF NOT EXISTS jobs_dead ON jobs (queue, ended_at, seq)
    WHERE dead = 1;

-- Workers that have sent a heartbeat.
CREATE TABLE IF NOT EXISTS workers (
    id      TEXT    PRIMARY KEY,
    state   INTEGER NOT NULL,
    beat_at INTEGER NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS workers_by_beat ON workers (beat_at);

CREATE TABLE IF NOT EXISTS idempotency_keys (
    key         TEXT    PRIMARY KEY,
    fingerprint BLOB    NOT NULL,
    reply       BLOB    NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS idempotency_keys_by_expiry ON idempotency_keys (expires_at);
