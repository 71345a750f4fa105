-- tallysync state file, newest schema. One file holds everything an operator may ask about:
-- what was seen, what is linked, what all sides should say, what is waiting and why, what was written.
--
-- Conventions: times are UTC text `2026-11-21T18:14:00.123456Z`; values of fields are JSON text, so that
-- null, text and numbers stay apart; documents are JSON objects `path -> value`. Rows that a command can
-- act on carry its number in a column `id`. Nothing here is newer than SQLite 3.40: Debian's sqlite3 opens it.
-- The tables are the program's own; the views at the end are the interface and are versioned with it.

-- Facts about the file itself: `state_id`, `epoch`.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

-- Outside systems: who we are there, how their clock stands, and whether they work.
CREATE TABLE system (
  name            TEXT PRIMARY KEY,
  connector       TEXT NOT NULL,
  fingerprint     TEXT,                       -- tenant and principal, without secrets
  title           TEXT,
  clock_offset_ms INTEGER,                    -- their clock minus ours
  clock_error_ms  INTEGER NOT NULL DEFAULT 0,
  probed_at       TEXT,
  paused          INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  blocked_until   TEXT,                       -- no calls before this
  blocked_why     TEXT
) STRICT;

-- One entity of one system, as far as syncs ask for it.
CREATE TABLE stream (
  id            INTEGER PRIMARY KEY,
  system        TEXT NOT NULL,
  entity        TEXT NOT NULL,
  template      TEXT NOT NULL DEFAULT '',
  cursor        TEXT,                         -- where the incremental listing continues
  delete_cursor TEXT,                         -- likewise for the delete feed
  form          TEXT NOT NULL DEFAULT '',     -- the listing form that the raw hashes belong to
  fingerprint   TEXT,                         -- principal at the last complete sweep
  polled_at     TEXT,                         -- last listing that succeeded
  swept_at      TEXT,                         -- last complete sweep
  swept_count   INTEGER,                      -- records in it
  failure       TEXT,                         -- why the last listing failed
  failed_at     TEXT,
  UNIQUE (system, entity, template)
) STRICT;

-- The mirror, part one: which records there are, and the hash of the text each was last seen as. Kept
-- apart from the documents: a poll that finds nothing new reads only this.
CREATE TABLE seen (
  stream INTEGER NOT NULL REFERENCES stream(id),
  rid    TEXT NOT NULL,
  raw    INTEGER NOT NULL,                    -- hash of the listing text, seeded with its form
  record INTEGER NOT NULL,
  PRIMARY KEY (stream, rid)
) STRICT, WITHOUT ROWID;

-- The mirror, part two: what was last seen of every record.
CREATE TABLE record (
  id            INTEGER PRIMARY KEY,
  stream        INTEGER NOT NULL REFERENCES stream(id),
  rid           TEXT NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('present', 'archived', 'missing', 'gone')),
  document      TEXT NOT NULL CHECK (json_valid(document)),
  version       TEXT,                         -- opaque: the condition of the next write
  updated_at    TEXT,                         -- by the system's own clock
  seen_at       TEXT NOT NULL,                -- when the document was last found different
  read_at       TEXT,                         -- when it was last read by id
  absent_sweeps INTEGER NOT NULL DEFAULT 0,   -- complete sweeps in a row that did not list it
  absent_since  TEXT,                         -- when the first of them started
  gone_evidence TEXT                          -- what proved that it was deleted
) STRICT;
CREATE INDEX record_astray ON record (stream) WHERE state IN ('missing', 'gone') OR absent_sweeps > 0;

-- The change log: every difference that was ever observed, numbered, never rewritten.
CREATE TABLE change (
  seq    INTEGER PRIMARY KEY AUTOINCREMENT,
  at     TEXT NOT NULL,
  stream INTEGER NOT NULL REFERENCES stream(id),
  rid    TEXT NOT NULL,
  kind   TEXT NOT NULL CHECK (kind IN ('created', 'updated', 'archived', 'restored', 'missing', 'returned', 'gone')),
  cause  TEXT NOT NULL CHECK (cause IN ('poll', 'sweep', 'read', 'confirm', 'tombstone', 'hint')),
  fields TEXT CHECK (fields IS NULL OR json_valid(fields))   -- path -> [before, after]
) STRICT;
CREATE INDEX change_stream ON change (stream);  -- and, as in every index, the row's number: seq

-- How far each reader of the change log has come.
CREATE TABLE consumer (
  name   TEXT NOT NULL,
  stream INTEGER NOT NULL REFERENCES stream(id),
  seq    INTEGER NOT NULL,
  PRIMARY KEY (name, stream)
) STRICT, WITHOUT ROWID;

-- Listings: what was read, when, and whether it may prove absence.
CREATE TABLE poll (
  id       INTEGER PRIMARY KEY,
  stream   INTEGER NOT NULL REFERENCES stream(id),
  kind     TEXT NOT NULL CHECK (kind IN ('incremental', 'sweep')),
  started  TEXT NOT NULL,
  ended    TEXT,
  pages    INTEGER NOT NULL DEFAULT 0,
  items    INTEGER NOT NULL DEFAULT 0,
  changed  INTEGER NOT NULL DEFAULT 0,
  complete INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
  remark   TEXT                               -- why it failed or proves nothing
) STRICT;

-- Syncs of the config, and what of each was accepted (a changed meaning writes nothing).
CREATE TABLE sync (
  name          TEXT PRIMARY KEY,
  meaning       TEXT CHECK (meaning IS NULL OR json_valid(meaning)),
  accepted_at   TEXT,
  accepted_plan INTEGER,
  config        TEXT,                         -- short name of the accepted meaning, as audit rows cite it
  paused        INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  passed_at     TEXT                          -- last pass that went through
) STRICT;

-- Links: the knowledge that records on several sides are the same thing.
CREATE TABLE link (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  sync       TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('live', 'left', 'ending', 'ended')),
  key        TEXT,                            -- agreed key values, as matching compares them
  title      TEXT,                            -- for people
  why        TEXT,                            -- why it is not live
  created_at TEXT NOT NULL,
  ended_at   TEXT
) STRICT;
CREATE INDEX link_key ON link (sync, key);
CREATE INDEX link_title ON link (sync, title);
CREATE INDEX link_state ON link (sync, state);

-- At most one record per side and link, and one live link per record and side.
CREATE TABLE member (
  link      INTEGER NOT NULL REFERENCES link(id),
  side      TEXT NOT NULL,
  sync      TEXT NOT NULL,
  stream    INTEGER NOT NULL REFERENCES stream(id),
  rid       TEXT NOT NULL,
  active    INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
  joined_at TEXT NOT NULL,
  PRIMARY KEY (link, side)
) STRICT;
CREATE UNIQUE INDEX member_active ON member (sync, side, rid) WHERE active = 1;
CREATE INDEX member_record ON member (stream, rid);

-- Records that take part in a sync but are not linked, and why.
CREATE TABLE candidate (
  sync       TEXT NOT NULL,
  side       TEXT NOT NULL,
  rid        TEXT NOT NULL,
  stream     INTEGER NOT NULL REFERENCES stream(id),
  key        TEXT,                            -- NULL: a key field is blank
  state      TEXT NOT NULL CHECK (state IN ('fresh', 'alone', 'blank', 'ambiguous', 'outside', 'former', 'waiting')),
  why        TEXT,
  not_before TEXT,                            -- settle
  PRIMARY KEY (sync, side, rid)
) STRICT, WITHOUT ROWID;
CREATE INDEX candidate_key ON candidate (sync, key, side, rid);
CREATE INDEX candidate_fresh ON candidate (sync, key, side, rid) WHERE state IN ('fresh', 'waiting');
CREATE INDEX candidate_ambiguous ON candidate (sync) WHERE state = 'ambiguous';

-- Per link and field: what all sides should say, numbered.
CREATE TABLE agreed (
  link       INTEGER NOT NULL REFERENCES link(id),
  field      TEXT NOT NULL,
  number     INTEGER NOT NULL,
  value      TEXT NOT NULL CHECK (json_valid(value)),
  origin     TEXT NOT NULL,                   -- the sides whose change made it, comma separated
  stamp      TEXT,                            -- their record's stamp then
  rule       TEXT NOT NULL,                   -- how it was decided, one sentence
  decided_at TEXT NOT NULL,
  PRIMARY KEY (link, field)
) STRICT, WITHOUT ROWID;

-- Per member and field: what that side showed when it was last accounted for, which agreed value that
-- stands for, and the lens it was made under.
CREATE TABLE base (
  link   INTEGER NOT NULL REFERENCES link(id),
  side   TEXT NOT NULL,
  field  TEXT NOT NULL,
  value  TEXT NOT NULL CHECK (json_valid(value)),
  stands INTEGER NOT NULL,
  lens   TEXT NOT NULL,
  at     TEXT NOT NULL,
  PRIMARY KEY (link, side, field)
) STRICT, WITHOUT ROWID;

-- Links to look at again.
CREATE TABLE due (
  link       INTEGER PRIMARY KEY REFERENCES link(id),
  since      TEXT NOT NULL,
  not_before TEXT NOT NULL,
  why        TEXT NOT NULL
) STRICT;
CREATE INDEX due_why ON due (why, not_before);

-- What a guard holds, as one numbered batch that `approve` releases once.
CREATE TABLE batch (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  sync      TEXT NOT NULL,
  guard     TEXT NOT NULL CHECK (guard IN ('deletes', 'creates', 'updates', 'blanks', 'emptied')),
  stream    INTEGER REFERENCES stream(id),    -- for `emptied`
  state     TEXT NOT NULL CHECK (state IN ('held', 'approved', 'withdrawn')),
  why       TEXT NOT NULL,
  made_at   TEXT NOT NULL,
  closed_at TEXT
) STRICT;

-- The outbox: one row per intended call that changes a system, committed before anything is sent.
CREATE TABLE write (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  sync      TEXT NOT NULL,
  link      INTEGER NOT NULL REFERENCES link(id),
  side      TEXT NOT NULL,
  system    TEXT NOT NULL,
  stream    INTEGER NOT NULL REFERENCES stream(id),
  rid       TEXT,                             -- NULL until a create is confirmed
  op        TEXT NOT NULL CHECK (op IN ('create', 'update', 'archive', 'delete')),
  state     TEXT NOT NULL CHECK (state IN ('new', 'held', 'open', 'sent', 'uncertain', 'parked', 'done', 'dropped', 'superseded')),
  fields    TEXT NOT NULL CHECK (json_valid(fields)),  -- field -> {before, after, number}
  mark      TEXT,                             -- by which a create is found again
  reason    TEXT NOT NULL,
  batch     INTEGER REFERENCES batch(id),
  attempts  INTEGER NOT NULL DEFAULT 0,
  next_at   TEXT NOT NULL,
  made_at   TEXT NOT NULL,
  sent_at   TEXT,
  closed_at TEXT,
  failure   TEXT                              -- what the system answered, and what happens next
) STRICT;
CREATE INDEX write_state ON write (state, sync, next_at);
CREATE INDEX write_made ON write (sync, op, made_at);
CREATE INDEX write_batch ON write (batch) WHERE batch IS NOT NULL;
CREATE INDEX write_link ON write (link, side);

-- Conflicts: several sides changed one unit and no rule decided.
CREATE TABLE conflict (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  sync       TEXT NOT NULL,
  link       INTEGER NOT NULL REFERENCES link(id),
  unit       TEXT NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('edit', 'first', 'delete', 'alternating')),
  state      TEXT NOT NULL CHECK (state IN ('open', 'resolved', 'closed')),
  agreed     TEXT,                            -- field -> value before
  candidates TEXT NOT NULL CHECK (json_valid(candidates)),
  observed   TEXT NOT NULL CHECK (json_valid(observed)),   -- side -> what it showed; a decision made on other values is stale
  why        TEXT NOT NULL,
  opened_at  TEXT NOT NULL,
  closed_at  TEXT,
  resolution TEXT
) STRICT;
CREATE UNIQUE INDEX conflict_open ON conflict (link, unit) WHERE state = 'open';

-- The audit: append-only account of every write. `before` is what the write displaced.
CREATE TABLE audit (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  at      TEXT NOT NULL,
  write   INTEGER NOT NULL,
  event   TEXT NOT NULL CHECK (event IN ('sent', 'confirmed', 'refused', 'unknown', 'found', 'not-applied', 'decided')),
  sync    TEXT NOT NULL,
  link    INTEGER NOT NULL,
  side    TEXT NOT NULL,
  system  TEXT NOT NULL,
  entity  TEXT NOT NULL,
  rid     TEXT,
  op      TEXT NOT NULL,
  field   TEXT,
  before  TEXT,
  after   TEXT,
  reason  TEXT NOT NULL,
  config  TEXT
) STRICT;
CREATE INDEX audit_link ON audit (link, field);
CREATE INDEX audit_at ON audit (at);

-- Plans that were printed, and what became of them.
CREATE TABLE plan (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  sync    TEXT NOT NULL,
  made_at TEXT NOT NULL,
  state   TEXT NOT NULL CHECK (state IN ('printed', 'accepted', 'replaced')),
  meaning TEXT NOT NULL,
  actions TEXT NOT NULL CHECK (json_valid(actions)),
  document TEXT NOT NULL
) STRICT;

-- Secrets that must outlive the process (rotated refresh tokens), sealed with a key from outside the file.
CREATE TABLE secret (
  name   TEXT PRIMARY KEY,
  sealed BLOB NOT NULL
) STRICT;

-- ---- the interface: views -------------------------------------------------------------------------

-- How each sync stands.
CREATE VIEW status AS
SELECT s.name AS sync,
       CASE WHEN s.paused THEN 'paused' WHEN s.accepted_at IS NULL THEN 'not accepted' ELSE 'live' END AS state,
       s.passed_at AS last_pass,
       (SELECT count(*) FROM link l WHERE l.sync = s.name AND l.state = 'live') AS linked,
       (SELECT count(*) FROM candidate c WHERE c.sync = s.name AND c.state <> 'outside') AS unlinked,
       (SELECT count(*) FROM conflict c WHERE c.sync = s.name AND c.state = 'open') AS conflicts,
       (SELECT count(*) FROM write w WHERE w.sync = s.name AND w.state IN ('new', 'open', 'sent')) AS waiting,
       (SELECT count(*) FROM write w WHERE w.sync = s.name AND w.state = 'held') AS held,
       (SELECT count(*) FROM write w WHERE w.sync = s.name AND w.state = 'parked') AS parked,
       (SELECT count(*) FROM write w WHERE w.sync = s.name AND w.state = 'uncertain') AS uncertain
FROM sync s;

-- Which records are the same thing: one row per member.
CREATE VIEW linked_records AS
SELECT l.id, l.sync, l.title, l.key, l.state, m.side, t.system, t.entity, m.rid AS record,
       r.state AS record_state, r.document, m.joined_at
FROM link l
JOIN member m ON m.link = l.id AND m.active = 1
JOIN stream t ON t.id = m.stream
LEFT JOIN seen s ON s.stream = m.stream AND s.rid = m.rid
LEFT JOIN record r ON r.id = s.record;

-- Which records are not linked, and why; `outside` does not take part at all.
CREATE VIEW unlinked_records AS
SELECT c.sync, c.side, t.system, t.entity, c.rid AS record, c.key, c.state, c.why, c.not_before
FROM candidate c JOIN stream t ON t.id = c.stream;

-- What a person must decide: `tallysync resolve ID --take SIDE`.
CREATE VIEW open_conflicts AS
SELECT c.id, c.sync, c.link, l.title, c.unit AS field, c.kind, c.agreed, c.candidates, c.why, c.opened_at
FROM conflict c JOIN link l ON l.id = c.link
WHERE c.state = 'open';

-- What is waiting to be written, and why it is not written yet.
CREATE VIEW open_writes AS
SELECT w.id, w.sync, w.link, l.title, w.system, t.entity, w.rid AS record, w.op, w.state, w.fields, w.reason,
       w.attempts, w.next_at, w.failure, w.batch, w.made_at, b.why AS held_why
FROM write w JOIN link l ON l.id = w.link JOIN stream t ON t.id = w.stream LEFT JOIN batch b ON b.id = w.batch AND b.state = 'held'
WHERE w.state IN ('new', 'held', 'open', 'sent', 'uncertain', 'parked');

-- What was observed, newest first.
CREATE VIEW recent_changes AS
SELECT c.seq, c.at, t.system, t.entity, c.rid AS record, c.kind, c.cause, c.fields
FROM change c JOIN stream t ON t.id = c.stream
ORDER BY c.seq DESC;

-- Links that will be looked at again: since when, when at the latest, and why.
CREATE VIEW waiting_links AS
SELECT d.link AS id, l.sync, l.title, d.why, d.since, d.not_before
FROM due d JOIN link l ON l.id = d.link;

-- What was sent and what became of it, newest first: one row per event and field. `before` is what it displaced.
CREATE VIEW recent_writes AS
SELECT u.at, u.event, u.sync, l.title, u.system, u.entity, u.rid AS record, u.op, u.field, u.before, u.after, u.reason,
       u.write, u.link, u.config
FROM audit u JOIN link l ON l.id = u.link
ORDER BY u.id DESC;

-- Everything that needs a person or a closer look, with the command that helps.
CREATE VIEW problems AS
SELECT 'conflict' AS problem, c.sync AS subject, c.id AS id, l.title AS record,
       c.unit || ': ' || c.why AS detail, c.opened_at AS since,
       'tallysync resolve ' || c.id || ' --take SIDE' AS remedy
FROM conflict c JOIN link l ON l.id = c.link WHERE c.state = 'open'
UNION ALL
SELECT 'parked write', w.sync, w.id, l.title, w.op || ' in ' || w.system || ': ' || coalesce(w.failure, ''), w.made_at,
       'tallysync retry ' || w.id || ' or tallysync drop ' || w.id
FROM write w JOIN link l ON l.id = w.link WHERE w.state = 'parked'
UNION ALL
SELECT 'uncertain write', w.sync, w.id, l.title, w.op || ' in ' || w.system || ': ' || coalesce(w.failure, ''), w.made_at,
       'tallysync adopt ' || w.id || ' RECORD or tallysync retry ' || w.id
FROM write w JOIN link l ON l.id = w.link WHERE w.state = 'uncertain'
UNION ALL
SELECT 'failing write', w.sync, w.id, l.title, w.op || ' in ' || w.system || ': ' || coalesce(w.failure, ''), w.made_at,
       'it is tried again by itself; tallysync drop ' || w.id || ' gives it up'
FROM write w JOIN link l ON l.id = w.link WHERE w.state = 'open' AND w.attempts >= 5
UNION ALL
SELECT 'held batch', b.sync, b.id, b.guard, b.why, b.made_at, 'tallysync approve ' || b.id
FROM batch b WHERE b.state = 'held'
UNION ALL
SELECT 'ambiguous key', c.sync, NULL, c.side || ':' || c.rid, coalesce(c.why, ''), NULL, 'make the key unique'
FROM candidate c WHERE c.state = 'ambiguous'
UNION ALL
SELECT 'system', s.name, NULL, s.connector, coalesce(s.blocked_why, 'paused'), s.blocked_until, 'tallysync check'
FROM system s WHERE s.blocked_why IS NOT NULL
UNION ALL
SELECT 'listing', t.system, NULL, t.entity, t.failure, t.failed_at, 'tallysync check'
FROM stream t WHERE t.failure IS NOT NULL
UNION ALL
SELECT 'not accepted', s.name, NULL, NULL, 'nothing is written until its plan is accepted', NULL,
       'tallysync plan ' || s.name || ', then tallysync accept ' || s.name
FROM sync s WHERE s.accepted_at IS NULL;

-- Where the value of a field came from: what was decided, what each side showed, what was sent and displaced.
CREATE VIEW why AS
SELECT a.link, l.sync, l.title, a.field, a.decided_at AS at, 'agreed' AS event, a.origin AS side, NULL AS write,
       NULL AS before, a.value AS after, a.rule AS reason
FROM agreed a JOIN link l ON l.id = a.link
UNION ALL
SELECT b.link, l.sync, l.title, b.field, b.at, 'accounted', b.side, NULL, NULL, b.value, 'stands for agreed value ' || b.stands
FROM base b JOIN link l ON l.id = b.link
UNION ALL
SELECT u.link, u.sync, l.title, u.field, u.at, u.event, u.side, u.write, u.before, u.after, u.reason
FROM audit u JOIN link l ON l.id = u.link;
