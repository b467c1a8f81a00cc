-- Version 3 of a store file. Times are ms since the epoch, 0 for not set. States are named as in core.states.

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
    active     INTEGER NOT NULL DEFAULT 0,
    scheduled  INTEGER NOT NULL DEFAULT 0,
    retryable  INTEGER NOT NULL DEFAULT 0,
    pending    INTEGER NOT NULL DEFAULT 0,
    finished   INTEGER NOT NULL DEFAULT 0,  -- completed and cancelled, as far as they are stored
    cancelled  INTEGER NOT NULL DEFAULT 0,  -- as far as they are stored
    discarded  INTEGER NOT NULL DEFAULT 0,  -- dead or not, as far as they are stored
    dead       INTEGER NOT NULL DEFAULT 0,
    completed  INTEGER NOT NULL DEFAULT 0   -- ever
) STRICT;

-- What happened in a queue within a minute; written once a call.
CREATE TABLE IF NOT EXISTS minutes (
    queue       INTEGER NOT NULL,  -- queues.key
    minute      INTEGER NOT NULL,  -- since the epoch
    completed   INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    claimed     INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    wait_ms     INTEGER NOT NULL,
    PRIMARY KEY (queue, minute)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS minutes_by_age ON minutes (minute);

-- What changes in a job's life. What doesn't is in `envelopes`, so that no claim or ack rewrites a large envelope.
CREATE TABLE IF NOT EXISTS jobs (
    key           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    queue         INTEGER NOT NULL,            -- queues.key
    state         INTEGER NOT NULL,
    priority      INTEGER NOT NULL,
    seq           INTEGER NOT NULL,            -- available: place in line among its priority; dead: order among equal ended_at
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
    lane          INTEGER NOT NULL DEFAULT 0,  -- lanes.key, for a job with limits
    created_at    INTEGER NOT NULL DEFAULT 0,  -- of a job with a fingerprint
    fingerprint   BLOB,
    workflow      TEXT,
    tail          BLOB    NOT NULL DEFAULT x''
) STRICT;

-- The subject first: it is read for every event, and must not cost a walk through a large envelope.
CREATE TABLE IF NOT EXISTS envelopes (
    key     INTEGER PRIMARY KEY,               -- jobs.key
    subject BLOB NOT NULL,                     -- the first bytes of the envelope
    data    BLOB NOT NULL                      -- the others
) STRICT;

-- The last two columns let a claim pass over expired jobs without visiting their rows.
CREATE INDEX IF NOT EXISTS jobs_in_line ON jobs (queue, priority DESC, seq, expires_at, started_at)
    WHERE state = {AVAILABLE} AND lane = 0;

-- Those with limits, of all lanes of a queue together, for operators.
CREATE INDEX IF NOT EXISTS jobs_limited ON jobs (queue, priority DESC, seq)
    WHERE state = {AVAILABLE} AND lane > 0;

CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs (wake_at)
    WHERE state IN ({SCHEDULED}, {RETRYABLE});

CREATE INDEX IF NOT EXISTS jobs_active ON jobs (wake_at)
    WHERE state = {ACTIVE};

CREATE INDEX IF NOT EXISTS jobs_held ON jobs (worker)
    WHERE state = {ACTIVE} AND worker <> '';

CREATE INDEX IF NOT EXISTS jobs_expiring ON jobs (expires_at)
    WHERE expires_at > 0 AND started_at = 0 AND state IN ({SCHEDULED}, {AVAILABLE}, {PENDING});

-- One for all that is over, because each index costs something with every change of a job, also of others.
CREATE INDEX IF NOT EXISTS jobs_ended ON jobs (queue, state, dead, ended_at, seq)
    WHERE ended_at <> 0;

-- Keys follow, so that the newest comes last.
CREATE INDEX IF NOT EXISTS jobs_pending ON jobs (queue)
    WHERE state = {PENDING};

-- Keys follow, so that the newest comes last.
CREATE INDEX IF NOT EXISTS jobs_alike ON jobs (fingerprint, state)
    WHERE fingerprint IS NOT NULL;

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

CREATE TABLE IF NOT EXISTS documents (
    kind    TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    due_at  INTEGER NOT NULL,
    data    BLOB    NOT NULL,
    UNIQUE (kind, name)
) STRICT;

CREATE INDEX IF NOT EXISTS documents_due ON documents (kind, due_at)
    WHERE due_at > 0;

-- Jobs of workflows that ended, until the workflow knows.
CREATE TABLE IF NOT EXISTS endings (
    key      INTEGER PRIMARY KEY,
    job      TEXT    NOT NULL,  -- its id
    workflow TEXT    NOT NULL,
    state    INTEGER NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS endings_by_job ON endings (job);

-- The log: a row for all events of one call, packed as in events.py. The newest row is never deleted, so that no
-- number comes back.
CREATE TABLE IF NOT EXISTS events (
    seq   INTEGER PRIMARY KEY,
    at    INTEGER NOT NULL,
    total INTEGER NOT NULL,     -- events in this row and in all before it
    data  BLOB    NOT NULL
) STRICT;

-- What limits are about (behaviour section 15).
CREATE TABLE IF NOT EXISTS limits (
    key     INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL UNIQUE,
    lanes   INTEGER NOT NULL DEFAULT 0,  -- how many name it
    longest INTEGER NOT NULL,            -- for how many ms claims count
    claimed INTEGER NOT NULL DEFAULT 0,  -- claims so far
    used_at INTEGER NOT NULL DEFAULT 0   -- of the newest claim
) STRICT;

CREATE INDEX IF NOT EXISTS limits_without_lanes ON limits (used_at + longest)
    WHERE lanes = 0;

-- Active jobs of each limit: a row lives exactly as long as the lease.
CREATE TABLE IF NOT EXISTS uses (
    used  INTEGER NOT NULL,     -- limits.key
    job   INTEGER NOT NULL,     -- jobs.key
    queue INTEGER NOT NULL,     -- queues.key
    PRIMARY KEY (used, job)
) STRICT, WITHOUT ROWID;

-- Claims that count for a limit: a row for all that one call made.
CREATE TABLE IF NOT EXISTS claims (
    used   INTEGER NOT NULL,    -- limits.key
    before INTEGER NOT NULL,    -- how many claims there had been
    at     INTEGER NOT NULL,
    PRIMARY KEY (used, before)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS claims_by_time ON claims (used, at);

-- Jobs of one queue with the same limits stand in a lane of their own, so that those held back are in nobody's way.
-- An open lane may be given from, as far as is known; one that is not open holds no job, or waits at a gate. An open
-- lane that has a gate was let out of it.
CREATE TABLE IF NOT EXISTS lanes (
    key      INTEGER PRIMARY KEY,
    queue    INTEGER NOT NULL,            -- queues.key
    limits   TEXT    NOT NULL,            -- packed as in lanes.py
    open     INTEGER NOT NULL DEFAULT 0,
    gate     INTEGER NOT NULL DEFAULT 0,  -- gates.key
    priority INTEGER NOT NULL DEFAULT 0,  -- of the first job
    seq      INTEGER NOT NULL DEFAULT 0,  -- of the first job; 0 if there is none
    UNIQUE (queue, limits)
) STRICT;

CREATE INDEX IF NOT EXISTS lanes_open ON lanes (queue, priority DESC, seq)
    WHERE open = 1;

CREATE INDEX IF NOT EXISTS lanes_by_gate ON lanes (gate, open, priority DESC, seq)
    WHERE gate > 0;

CREATE INDEX IF NOT EXISTS jobs_in_lane ON jobs (lane, state, priority DESC, seq, expires_at, started_at)
    WHERE lane > 0;

-- Where lanes of a queue wait that the same limit holds back, or all of the queue. While the limit has room, one of the
-- lanes is let out: the first by order. It lets out the next one when it was given from. So a freed place costs the
-- same however many lanes wait for it.
CREATE TABLE IF NOT EXISTS gates (
    key         INTEGER PRIMARY KEY,
    queue       INTEGER NOT NULL,           -- queues.key
    used        INTEGER NOT NULL,           -- limits.key
    concurrency INTEGER NOT NULL,
    claims      INTEGER NOT NULL,
    period_ms   INTEGER NOT NULL,
    whole       INTEGER NOT NULL,           -- whether all of the queue waits
    opens_at    INTEGER NOT NULL DEFAULT 0, -- 0: when a lease ends
    UNIQUE (used, queue, concurrency, claims, period_ms, whole)
) STRICT;

CREATE INDEX IF NOT EXISTS gates_by_time ON gates (opens_at)
    WHERE opens_at > 0;

CREATE INDEX IF NOT EXISTS gates_of_queue ON gates (queue, opens_at)
    WHERE opens_at > 0;
