//! Presence: events in a ring per tenant, one standing per user, one beat per node.

use super::Group;
use crate::embedded::heads::OpenLog;
use crate::embedded::keys;
use crate::embedded::rows::{EventRow, Head, Row};
use crate::error::StoreError;
use crate::presence::{PresenceChange, RecordOutcome, Standing};

impl Group<'_> {
    /// Takes a tenant's presence log over.
    pub(in crate::embedded) fn take_presence(&mut self, tenant: &str) -> Result<u64, StoreError> {
        let head_key = keys::presence_head(tenant)?;
        let head = self.head(&head_key)?;
        let epoch = self.epochs.next();
        self.logs.insert(head_key, OpenLog { epoch, head });
        Ok(epoch)
    }

    pub(in crate::embedded) fn record(
        &mut self,
        tenant: &str,
        epoch: u64,
        changes: &[PresenceChange],
    ) -> RecordOutcome {
        self.try_record(tenant, epoch, changes).unwrap_or_else(RecordOutcome::Refused)
    }

    pub(in crate::embedded) fn beat(&mut self, node: u64, at_ms: i64) {
        self.rows.insert(keys::beat(node), Some(at_ms.cast_unsigned().encode().into()));
    }

    /// Everything that may fail comes before the first change.
    fn try_record(
        &mut self,
        tenant: &str,
        epoch: u64,
        changes: &[PresenceChange],
    ) -> Result<RecordOutcome, StoreError> {
        let head_key = keys::presence_head(tenant)?;
        let Some(log) = self.logs.get_mut(head_key.as_slice()).copied().filter(|log| log.epoch == epoch)
        else {
            return Ok(RecordOutcome::Conflict);
        };
        let mut tip = log.head.tip;
        let mut rows = std::collections::HashMap::new();
        for PresenceChange { user, state, at_ms } in changes {
            let key = keys::standing(tenant, user)?;
            let known = match rows.get(&key) {
                Some(standing) => Some(*standing),
                None => self.row::<Standing>(&key)?,
            };
            // Who was never recorded is offline.
            if known.map_or_else(Default::default, |standing| standing.state) == *state {
                continue;
            }
            tip += 1;
            let event = EventRow { seq: tip, epoch, state: *state, at_ms: *at_ms, user: user.clone() };
            self.rows.insert(keys::presence_event(tenant, tip)?, Some(event.encode().into()));
            rows.insert(key, Standing { state: *state, since_ms: *at_ms, seq: tip });
        }
        if tip > log.head.tip {
            let head = Head { tip, ..log.head };
            self.logs.insert(head_key.clone(), OpenLog { epoch, head });
            self.rows.insert(head_key, Some(head.encode().into()));
            self.rows.extend(rows.into_iter().map(|(key, standing)| (key, Some(standing.encode().into()))));
        }
        Ok(RecordOutcome::Applied { tip })
    }
}
