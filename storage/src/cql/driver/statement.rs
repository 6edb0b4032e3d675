//! The statements, prepared once. Every one binds all columns of its partition's key, so each goes to a node that has
//! the partition; `ks.` stands for the keyspace.

use std::sync::Arc;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};

use super::config::{DriverConfig, Scope};
use super::retry::Elsewhere;

/// Rows of one page. Where rows are large, a reader sets its own.
const PAGE_ROWS: i32 = 1_000;
/// Entries of one page: each may have 64 KiB.
const PAGE_ENTRIES: i32 = 64;

/// What is asked of the nodes for a kind of statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Reads what a majority has. May be tried again.
    Read,
    /// The same, in small pages.
    Entries,
    /// Completes what conditional writes have left unfinished, and reads.
    Serial,
    /// An answer says that a majority has it. May be tried again: its timestamp is part of it.
    Write,
    /// Never tried again behind the caller's back.
    Conditional,
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $kind:ident $text:expr;)+) => {
        /// All statements.
        pub struct Statements {
            $($(#[$doc])* pub $name: PreparedStatement,)+
            /// Of batches of plain writes and of conditional ones.
            pub profiles: Profiles,
        }

        impl Statements {
            pub async fn prepare(session: &Session, config: &DriverConfig) -> Result<Statements, PrepareError> {
                let profiles = Profiles::new(config);
                Ok(Statements {
                    $($name: Box::pin(prepare(session, config, &profiles, Kind::$kind, $text)).await?,)+
                    profiles,
                })
            }
        }
    };
}

const HEAD: &str = "SELECT DISTINCT epoch, tip, batch_id, base, at_ms, version, silent, shown, wide, changes
    FROM ks.log WHERE kind = ? AND tenant = ? AND conversation = ? AND bucket = ?";

statements! {
    head: Read HEAD;
    head_serial: Serial HEAD;
    entries: Entries "SELECT seq, payload, meta, batch_of FROM ks.log
        WHERE kind = ? AND tenant = ? AND conversation = ? AND bucket = ? AND seq >= ? AND seq <= ?
        ORDER BY seq ASC LIMIT ?";
    entries_backwards: Entries "SELECT seq, payload, meta, batch_of FROM ks.log
        WHERE kind = ? AND tenant = ? AND conversation = ? AND bucket = ? AND seq >= ? AND seq <= ?
        ORDER BY seq DESC LIMIT ?";
    fence: Conditional "UPDATE ks.log SET epoch = ?
        WHERE kind = ? AND tenant = ? AND conversation = ? AND bucket = ? IF epoch = ?";
    commit: Conditional "UPDATE ks.log SET epoch = ?, tip = ?, batch_id = ?, base = ?, at_ms = ?, version = ?,
        silent = ?, shown = ?, wide = ?, changes = ?
        WHERE kind = ? AND tenant = ? AND conversation = ? AND bucket = ? IF epoch = ? AND tip = ?";
    entry: Conditional "INSERT INTO ks.log (kind, tenant, conversation, bucket, seq, payload, meta)
        VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?";
    first_entry: Conditional "INSERT INTO ks.log
        (kind, tenant, conversation, bucket, seq, payload, meta, batch_of)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?";
    put_end: Write "UPDATE ks.log USING TIMESTAMP ? SET epoch = ?, tip = ?, batch_id = ?, base = ?, at_ms = ?,
        version = ?, silent = ?, shown = ?, wide = ?, changes = ?
        WHERE kind = ? AND tenant = ? AND conversation = ? AND bucket = ?";
    put_epoch: Write "UPDATE ks.log USING TIMESTAMP ? SET epoch = ?
        WHERE kind = ? AND tenant = ? AND conversation = ? AND bucket = ?";
    put_entry: Write "INSERT INTO ks.log (kind, tenant, conversation, bucket, seq, payload, meta)
        VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
    put_first_entry: Write "INSERT INTO ks.log
        (kind, tenant, conversation, bucket, seq, payload, meta, batch_of)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
    trim: Write "DELETE FROM ks.log USING TIMESTAMP ?
        WHERE kind = ? AND tenant = ? AND conversation = ? AND bucket = ? AND seq >= 0";

    conversation: Read "SELECT DISTINCT tip, at_ms, version, changed, silent, shown, wide, info
        FROM ks.conversations WHERE tenant = ? AND conversation = ?";
    seat: Read "SELECT tip, at_ms, version, changed, silent, shown, wide, info,
        user, member, read, delivered, sent, moved
        FROM ks.conversations WHERE tenant = ? AND conversation = ? AND user = ?";
    seats: Read "SELECT user, member, read, delivered, sent, moved
        FROM ks.conversations WHERE tenant = ? AND conversation = ? AND user > ? LIMIT ?";
    put_conversation: Write "UPDATE ks.conversations USING TIMESTAMP ?
        SET tip = ?, at_ms = ?, version = ?, changed = ?, silent = ?, shown = ?, wide = ?
        WHERE tenant = ? AND conversation = ?";
    put_info: Write "UPDATE ks.conversations USING TIMESTAMP ? SET info = ?
        WHERE tenant = ? AND conversation = ?";
    put_member: Write "UPDATE ks.conversations USING TIMESTAMP ? SET member = ?
        WHERE tenant = ? AND conversation = ? AND user = ?";
    put_sent: Write "UPDATE ks.conversations USING TIMESTAMP ? SET sent = ?
        WHERE tenant = ? AND conversation = ? AND user = ?";
    put_read: Write "UPDATE ks.conversations USING TIMESTAMP ? SET read = ?, moved = ?
        WHERE tenant = ? AND conversation = ? AND user = ?";
    put_delivered: Write "UPDATE ks.conversations USING TIMESTAMP ? SET delivered = ?
        WHERE tenant = ? AND conversation = ? AND user = ?";

    slots: Read "SELECT slot, client_msg_id, seq FROM ks.senders
        WHERE tenant = ? AND conversation = ? AND device = ?";
    put_slot: Write "UPDATE ks.senders USING TIMESTAMP ? SET client_msg_id = ?, seq = ?
        WHERE tenant = ? AND conversation = ? AND device = ? AND slot = ?";
    silence: Read "SELECT seq, silent, shown FROM ks.silences
        WHERE tenant = ? AND conversation = ? AND seq <= ? LIMIT 1";
    put_silence: Write "UPDATE ks.silences USING TIMESTAMP ? SET silent = ?, shown = ?
        WHERE tenant = ? AND conversation = ? AND seq = ?";
    fates: Read "SELECT seq, edited, recalled FROM ks.fates
        WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq <= ?";
    put_edited: Write "UPDATE ks.fates USING TIMESTAMP ? SET edited = ?
        WHERE tenant = ? AND conversation = ? AND seq = ?";
    put_recalled: Write "UPDATE ks.fates USING TIMESTAMP ? SET recalled = true
        WHERE tenant = ? AND conversation = ? AND seq = ?";

    listed_falling: Read "SELECT period, conversation FROM ks.listings
        WHERE tenant = ? AND user = ? AND kind = ? AND (period, conversation) < (?, ?)
        ORDER BY kind DESC, period DESC, conversation DESC LIMIT ?";
    listed_rising: Read "SELECT period, conversation FROM ks.listings
        WHERE tenant = ? AND user = ? AND kind = ? AND (period, conversation) >= (?, ?) LIMIT ?";
    list: Write "INSERT INTO ks.listings (tenant, user, kind, period, conversation)
        VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    unlist: Write "DELETE FROM ks.listings USING TIMESTAMP ?
        WHERE tenant = ? AND user = ? AND kind = ? AND period = ? AND conversation = ?";

    device: Read "SELECT id FROM ks.devices
        WHERE tenant = ? AND user = ? AND device_type = ? AND installation = ?";
    device_serial: Serial "SELECT id FROM ks.devices
        WHERE tenant = ? AND user = ? AND device_type = ? AND installation = ?";
    name_device: Conditional "INSERT INTO ks.devices (tenant, user, device_type, installation, id)
        VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
    claim_id: Conditional "INSERT INTO ks.device_ids (id, tenant, user, device_type, installation)
        VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
    last_device: Read "SELECT id FROM ks.workers WHERE worker = ?";
    put_last_device: Write "UPDATE ks.workers USING TIMESTAMP ? SET id = ? WHERE worker = ?";
    user: Read "SELECT name, role FROM ks.users WHERE tenant = ? AND user = ?";
    put_user: Write "UPDATE ks.users USING TIMESTAMP ? SET name = ?, role = ? WHERE tenant = ? AND user = ?";

    presence_tip: Read "SELECT tip FROM ks.presence_tips WHERE tenant = ?";
    put_presence_tip: Write "UPDATE ks.presence_tips USING TIMESTAMP ? SET tip = ? WHERE tenant = ?";
    standing: Read "SELECT state, since_ms, seq FROM ks.standings
        WHERE tenant = ? AND shard = ? AND user = ?";
    /// The rest of one partition.
    standings_of_shard: Read "SELECT tenant, user, state, since_ms, seq FROM ks.standings
        WHERE tenant = ? AND shard = ? AND user > ? LIMIT ?";
    /// The partitions behind one, by token.
    standings_behind: Read "SELECT tenant, user, state, since_ms, seq FROM ks.standings
        WHERE token(tenant, shard) > token(?, ?) LIMIT ?";
    standings_from_first: Read "SELECT tenant, user, state, since_ms, seq FROM ks.standings LIMIT ?";
    put_standing: Write "UPDATE ks.standings USING TIMESTAMP ? SET state = ?, since_ms = ?, seq = ?
        WHERE tenant = ? AND shard = ? AND user = ?";
    all_conversations: Read "SELECT DISTINCT tenant, conversation,
        tip, at_ms, version, changed, silent, shown, wide, info FROM ks.conversations LIMIT ?";
    all_conversations_behind: Read "SELECT DISTINCT tenant, conversation,
        tip, at_ms, version, changed, silent, shown, wide, info FROM ks.conversations
        WHERE token(tenant, conversation) > token(?, ?) LIMIT ?";
    all_users: Read "SELECT tenant, user, name, role FROM ks.users LIMIT ?";
    all_users_behind: Read "SELECT tenant, user, name, role FROM ks.users
        WHERE token(tenant, user) > token(?, ?) LIMIT ?";
    all_devices: Read "SELECT tenant, user, device_type, installation, id FROM ks.devices LIMIT ?";
    all_devices_behind: Read "SELECT tenant, user, device_type, installation, id FROM ks.devices
        WHERE token(tenant, user, device_type, installation) > token(?, ?, ?, ?) LIMIT ?";
    all_slots: Read "SELECT device, slot, client_msg_id, seq FROM ks.senders
        WHERE tenant = ? AND conversation = ? AND (device, slot) > (?, ?) LIMIT ?";

    ledger: Read "SELECT tip FROM ks.ledgers WHERE ledger = ?";
    put_ledger: Write "UPDATE ks.ledgers USING TIMESTAMP ? SET tip = ? WHERE ledger = ?";

    beat: Read "SELECT at_ms FROM ks.beats WHERE node = ?";
    put_beat: Write "UPDATE ks.beats USING TIMESTAMP ? SET at_ms = ? WHERE node = ?";
}

/// How requests are made.
pub struct Profiles {
    pub plain: ExecutionProfileHandle,
    pub serial: ExecutionProfileHandle,
    pub conditional: ExecutionProfileHandle,
}

impl Profiles {
    pub fn new(config: &DriverConfig) -> Profiles {
        let (quorum, serial) = match config.scope {
            Scope::Cluster => (Consistency::Quorum, SerialConsistency::Serial),
            Scope::Datacenter => (Consistency::LocalQuorum, SerialConsistency::LocalSerial),
        };
        let base = ExecutionProfile::builder()
            .consistency(quorum)
            .serial_consistency(Some(serial))
            .speculative_execution_policy(None)
            .load_balancing_policy(balancing(config));
        let serial = base
            .clone()
            .retry_policy(Arc::new(DefaultRetryPolicy::new()))
            .request_timeout(Some(config.request_timeout));
        // Of two that ask for one partition serially at once, each is in the other's way.
        let plain =
            serial.clone().retry_policy(Arc::new(Elsewhere)).speculative_execution_policy(Some(Arc::new(
                SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: config.impatience },
            )));
        let conditional = base
            .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
            .request_timeout(Some(config.conditional_timeout));
        Profiles {
            plain: plain.build().into_handle(),
            serial: serial.build().into_handle(),
            conditional: conditional.build().into_handle(),
        }
    }
}

fn balancing(config: &DriverConfig) -> Arc<dyn scylla::policies::load_balancing::LoadBalancingPolicy> {
    let builder = scylla::policies::load_balancing::DefaultPolicy::builder().token_aware(true);
    match &config.datacenter {
        Some(name) => builder.prefer_datacenter(name.clone()).permit_dc_failover(false).build(),
        None => builder.build(),
    }
}

async fn prepare(
    session: &Session,
    config: &DriverConfig,
    profiles: &Profiles,
    kind: Kind,
    text: &str,
) -> Result<PreparedStatement, PrepareError> {
    let mut statement = session.prepare(in_keyspace(text, &config.keyspace)).await?;
    let profile = match kind {
        Kind::Conditional => &profiles.conditional,
        Kind::Serial => &profiles.serial,
        Kind::Read | Kind::Entries | Kind::Write => &profiles.plain,
    };
    statement.set_execution_profile_handle(Some(profile.clone()));
    statement.set_is_idempotent(kind != Kind::Conditional);
    statement.set_page_size(if kind == Kind::Entries { PAGE_ENTRIES } else { PAGE_ROWS });
    if kind == Kind::Serial {
        statement.set_consistency(match config.scope {
            Scope::Cluster => Consistency::Serial,
            Scope::Datacenter => Consistency::LocalSerial,
        });
    }
    Ok(statement)
}

/// A statement's text with the keyspace's name.
pub(super) fn in_keyspace(text: &str, keyspace: &str) -> String {
    text.replace("ks.", &format!("{keyspace}."))
}
