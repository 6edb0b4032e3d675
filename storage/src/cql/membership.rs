//! One user's place in one conversation, as a whole.

use super::rows::decode;
use super::tables::{Seat, Silence, Tables};
use super::takeover::seated;
use super::{CqlStore, Found};
use crate::directory::Membership;
use crate::key::ConversationKey;
use crate::member::{Cursors, MemberRow};

/// A membership, and where it stands in the user's lists.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) membership: Membership,
    /// Of the latest entry, or of the one by which the user left.
    pub(super) entry: u64,
    /// Of the latest change, the user's own reading included.
    pub(super) changed: u64,
}

impl<T: Tables> CqlStore<T> {
    /// `None` for one who never was a member.
    pub(super) async fn placed(&self, key: &ConversationKey, user: &str) -> Found<Option<Placed>> {
        let Some(seat) = self.tables.seat(key, user).await? else { return Ok(None) };
        let Some(seated) = seated(key, user, &seat)? else { return Ok(None) };
        let (entry, changed) = if seated.member.is_active() {
            (seat.end.version, seat.end.changed)
        } else {
            (seated.version, seated.changed)
        };
        let changed = changed.max(seat.moved);
        let membership = self.membership(key, seat, seated.member).await?;
        Ok(Some(Placed { membership, entry, changed }))
    }

    async fn membership(&self, key: &ConversationKey, seat: Seat, member: MemberRow) -> Found<Membership> {
        let cursors = cursors(&seat);
        let (shown, silent) = self.counts(key, &seat, &member, cursors).await?;
        let info = seat.info.as_ref().map(|info| decode(info, || format!("the description of {key}")));
        Ok(Membership {
            conversation: key.conversation.to_string(),
            info: info.transpose()?.unwrap_or_default(),
            member,
            cursors,
            tip: seat.end.tip,
            tip_at_ms: seat.end.at_ms,
            shown,
            silent,
        })
    }

    /// The last shown entry that the member may see, and how many unread ones are not shown. Two short looks, and
    /// none where everything is shown.
    async fn counts(
        &self,
        key: &ConversationKey,
        seat: &Seat,
        member: &MemberRow,
        cursors: Cursors,
    ) -> Found<(u64, u64)> {
        let tip = member.visible_tip(seat.end.tip);
        if seat.end.silent == 0 {
            return Ok((tip, 0));
        }
        let Some((last, upto_tip)) = self.tables.silence(key, tip).await? else { return Ok((tip, 0)) };
        let shown = if last == tip { upto_tip.shown } else { tip };
        let seen = tip - member.cursors_since_joining(cursors).unread(tip);
        let upto_seen = if last > seen {
            self.tables.silence(key, seen).await?.map_or(Silence::default(), |(_, row)| row)
        } else {
            upto_tip
        };
        Ok((shown, upto_tip.count.saturating_sub(upto_seen.count)))
    }
}

pub(super) fn cursors(seat: &Seat) -> Cursors {
    Cursors { read: seat.read, delivered: seat.delivered, sent: seat.sent }
}
