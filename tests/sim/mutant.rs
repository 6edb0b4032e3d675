//! Bugs that are planted in the simulation's glue, never in the product: each must be caught.

use crate::planted::Bug;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The store says Applied when the append arrives, before it is on stable storage.
    AckBeforeCommit,
    /// A takeover of a log reports what is not on stable storage yet as committed.
    OpenSeesUnsynced,
    /// A farewell removes the device's route whatever its epoch.
    UnconditionalDetach,
    /// A device's ring is empty when it is loaded.
    NoDedupe,
    /// A timeout of the store is reported as a definite failure.
    TimeoutIsFailure,
    /// Appends are plain writes: neither tip nor epoch is compared.
    PlainWrites,
    /// Some pushes are lost on the link, and so is every Head.
    PushLost,
    /// Tips are not told again.
    TipsToldOnce,
    /// A gateway takes itself for the only one that appends to the store, and is not.
    OthersForgotten,
    /// Nobody finds what has changed since a version.
    ChangesUnlisted,
    /// An answer to Sync lacks its last message and does not say so.
    SyncClipped,
    /// A device that connects again does not end its older connection.
    KickLost,
    /// Who has left a conversation still gets its pushes.
    LeaverPushed,
    /// A session seq is given to two pushes.
    SessionSeqReused,
    /// Reads are served from a copy that lags behind.
    StaleReads,
    /// Cursors are plain writes: a late one lowers them.
    CursorsFall,
    /// The predecessor that a send names is not looked at.
    AfterIgnored,
    /// The store's key lacks the tenant.
    TenantIgnored,
    /// Reads do not look for recalls.
    RecallForgotten,
    /// Lists do not look for edits.
    EditForgotten,
    /// An edit is stored as a message to show.
    EditCounted,
    /// A presence that is known already is recorded again.
    PresenceTwice,
    /// The standing of who goes offline stays what it was.
    StandingStays,
    /// A gateway that drains acknowledges what it does not store any more.
    DrainLosesAcked,
    /// A gateway that drains hangs up without a word.
    GoAwayLost,
    /// A channel node goes by the owners that there were when it started.
    OwnersStay,
    /// Connectors do not tell an owner of the sessions that it has got.
    SessionsUntold,
    /// What one channel node pushes to users of another is lost.
    PeersUntold,
    /// Between the CQL store and its tables.
    Cql(Bug),
}

impl Mutant {
    pub const ALL: [Mutant; 31] = [
        Mutant::AckBeforeCommit,
        Mutant::UnconditionalDetach,
        Mutant::NoDedupe,
        Mutant::TimeoutIsFailure,
        Mutant::PlainWrites,
        Mutant::OpenSeesUnsynced,
        Mutant::PushLost,
        Mutant::TipsToldOnce,
        Mutant::OthersForgotten,
        Mutant::ChangesUnlisted,
        Mutant::SyncClipped,
        Mutant::KickLost,
        Mutant::LeaverPushed,
        Mutant::SessionSeqReused,
        Mutant::StaleReads,
        Mutant::CursorsFall,
        Mutant::AfterIgnored,
        Mutant::TenantIgnored,
        Mutant::RecallForgotten,
        Mutant::EditForgotten,
        Mutant::EditCounted,
        Mutant::PresenceTwice,
        Mutant::StandingStays,
        Mutant::DrainLosesAcked,
        Mutant::GoAwayLost,
        Mutant::OwnersStay,
        Mutant::SessionsUntold,
        Mutant::PeersUntold,
        Mutant::Cql(Bug::Unconditional),
        Mutant::Cql(Bug::NotRedone),
        Mutant::Cql(Bug::AnsweredEarly),
    ];

    /// Whether it shows only where gateways go on beside their successors.
    pub fn wants_zombies(self) -> bool {
        self == Mutant::OthersForgotten
    }

    /// Whether it shows only where several nodes are.
    pub fn wants_cluster(self) -> bool {
        matches!(self, Mutant::OwnersStay | Mutant::SessionsUntold | Mutant::PeersUntold)
    }

    /// Whether it shows only where gateways have the store on CQL.
    pub fn bug(self) -> Option<Bug> {
        if let Mutant::Cql(bug) = self { Some(bug) } else { None }
    }

    /// The name on the command line.
    pub fn name(self) -> String {
        let mut name = String::new();
        for (at, letter) in format!("{self:?}").replace(['(', ')'], "").char_indices() {
            if at > 0 && letter.is_ascii_uppercase() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    pub fn named(name: &str) -> Option<Mutant> {
        Mutant::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}
