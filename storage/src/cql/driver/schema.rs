//! The tables, as `migrate` makes them: one list of statements for each version of the schema.
//!
//! `ks.` stands for the keyspace, `COMPACTION` for what the configuration says. Every statement may run twice.
//!
//! | type here | stored as |
//! |---|---|
//! | seqs, tips, epochs, versions, counts | `bigint`, never negative |
//! | device ids, node ids, the store's id | `bigint`, bit for bit |
//! | times | `bigint`, milliseconds since 1970 |
//! | batch ids, client message ids, encoded rows, payloads | `blob` |
//! | tenants, users, conversations, installations | `text` |
//! | kinds of logs (1 conversation, 2 presence stream, 1000 and more: ledgers), of list rows, states, roles, slots | `smallint` |

/// The version that this program works on.
pub const VERSION: u32 = 2;

/// The statements that lead to version 1, 2, 3 …
pub(super) const MIGRATIONS: [&[&str]; VERSION as usize] = [FIRST, SECOND];

const FIRST: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS ks.log (
        kind smallint, tenant text, conversation text, bucket int, seq bigint,
        epoch bigint static, tip bigint static, batch_id blob static, base bigint static, at_ms bigint static,
        version bigint static, silent bigint static, shown bigint static, wide boolean static, changes blob static,
        payload blob, meta blob, batch_of blob,
        PRIMARY KEY ((kind, tenant, conversation, bucket), seq)) COMPACTION",
    "CREATE TABLE IF NOT EXISTS ks.conversations (
        tenant text, conversation text, user text,
        tip bigint static, at_ms bigint static, version bigint static, changed bigint static,
        silent bigint static, shown bigint static, wide boolean static, info blob static,
        member blob, read bigint, delivered bigint, sent bigint, moved bigint,
        PRIMARY KEY ((tenant, conversation), user))",
    "CREATE TABLE IF NOT EXISTS ks.senders (
        tenant text, conversation text, device bigint, slot smallint, client_msg_id blob, seq bigint,
        PRIMARY KEY ((tenant, conversation), device, slot))",
    "CREATE TABLE IF NOT EXISTS ks.silences (
        tenant text, conversation text, seq bigint, silent bigint, shown bigint,
        PRIMARY KEY ((tenant, conversation), seq)) WITH CLUSTERING ORDER BY (seq DESC)",
    "CREATE TABLE IF NOT EXISTS ks.fates (
        tenant text, conversation text, seq bigint, edited bigint, recalled boolean,
        PRIMARY KEY ((tenant, conversation), seq))",
    // What a removal protects from is a copy that comes back; such a row is seen through.
    "CREATE TABLE IF NOT EXISTS ks.listings (
        tenant text, user text, kind smallint, period bigint, conversation text,
        PRIMARY KEY ((tenant, user), kind, period, conversation)) WITH gc_grace_seconds = 3600",
    "CREATE TABLE IF NOT EXISTS ks.devices (
        tenant text, user text, device_type smallint, installation text, id bigint,
        PRIMARY KEY ((tenant, user, device_type, installation)))",
    "CREATE TABLE IF NOT EXISTS ks.device_ids (
        id bigint PRIMARY KEY, tenant text, user text, device_type smallint, installation text)",
    "CREATE TABLE IF NOT EXISTS ks.workers (worker int PRIMARY KEY, id bigint)",
    "CREATE TABLE IF NOT EXISTS ks.users (
        tenant text, user text, name text, role int, PRIMARY KEY ((tenant, user)))",
    "CREATE TABLE IF NOT EXISTS ks.presence_tips (tenant text PRIMARY KEY, tip bigint)",
    "CREATE TABLE IF NOT EXISTS ks.standings (
        tenant text, shard smallint, user text, state smallint, since_ms bigint, seq bigint,
        PRIMARY KEY ((tenant, shard), user))",
    "CREATE TABLE IF NOT EXISTS ks.beats (node bigint PRIMARY KEY, at_ms bigint)",
];

/// Ledgers; and while the nodes do not agree yet that one of them is gone, a read that waits for it asks another one soon.
const SECOND: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS ks.ledgers (ledger int PRIMARY KEY, tip bigint)",
    "CREATE TABLE IF NOT EXISTS ks.settings (name text PRIMARY KEY, value bigint)",
    "ALTER TABLE ks.log WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.conversations WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.senders WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.silences WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.fates WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.listings WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.devices WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.device_ids WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.workers WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.users WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.presence_tips WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.standings WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.beats WITH speculative_retry = '50ms'",
    "ALTER TABLE ks.ledgers WITH speculative_retry = '50ms'",
];

/// What the store says of itself, in one row: `id` 0. It is there before everything else.
pub(super) const ABOUT: &str = "CREATE TABLE IF NOT EXISTS ks.about (
    id int PRIMARY KEY, version int, store bigint, migrator bigint)";
