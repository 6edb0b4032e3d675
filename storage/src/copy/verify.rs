//! Whether the target has all of it.

use super::conversation::Stores;
use super::people::whole;
use super::{CopyError, News, Tell};
use crate::check::{self, Fault, Finding, Scope};
use crate::inventory::{MAX_ROWS, Seat};
use crate::key::ConversationKey;

/// Checks the target's tenant, and compares where its logs end and what it knows of members with the source.
pub(super) async fn verify(stores: Stores<'_>, tenant: &str, tell: &mut Tell<'_>) -> Result<(), CopyError> {
    let mut checked = |news| match news {
        check::News::Found(finding) => tell(News::Found(finding)),
        check::News::Progress(checked) => tell(News::Verified(checked.entries)),
    };
    let scope = Scope::tenant(tenant);
    check::check(stores.target, &scope, &mut checked).await.map_err(CopyError::Target)?;
    let mut after = None;
    loop {
        let page = stores.source.inventory().all_conversations(Some(tenant), after, MAX_ROWS).await;
        let page = whole(page.map_err(CopyError::Source)?)?;
        for held in page.rows {
            same(stores, &held.key, tell).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn same(stores: Stores<'_>, key: &ConversationKey, tell: &mut Tell<'_>) -> Result<(), CopyError> {
    let tip = stores.source.tip(key).await.map_err(CopyError::Source)?;
    if stores.target.tip(key).await.map_err(CopyError::Target)? != tip {
        return Err(CopyError::Moved { key: key.clone(), tip });
    }
    let mut after = None;
    loop {
        let page =
            whole(stores.source.inventory().seats(key, after, MAX_ROWS).await.map_err(CopyError::Source)?)?;
        for seat in page.rows {
            if !has(stores, key, &seat).await? {
                let fault = Fault::Member { user: seat.user };
                tell(News::Found(Finding { key: Some(key.clone()), fault }));
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Whether the target has the seat, its cursors where they are or further.
async fn has(stores: Stores<'_>, key: &ConversationKey, seat: &Seat) -> Result<bool, CopyError> {
    let user = std::slice::from_ref(&seat.user);
    let membership = stores.target.member(key, &seat.user).await.map_err(CopyError::Target)?;
    let cursors = stores.target.cursors(key, user).await.map_err(CopyError::Target)?;
    let cursors = cursors.first().copied().unwrap_or_default();
    Ok(membership.map(|membership| membership.member) == seat.member && cursors.max(seat.cursors) == cursors)
}
