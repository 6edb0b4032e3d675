//! Users and devices.

use super::conversation::Stores;
use super::{Copied, CopyError, News, Tell};
use crate::inventory::{MAX_ROWS, Page};

pub(super) async fn users(
    Stores { source, target }: Stores<'_>,
    tenant: &str,
    copied: &mut Copied,
    tell: &mut Tell<'_>,
) -> Result<(), CopyError> {
    let mut after = None;
    loop {
        let page = whole(
            source.inventory().all_users(Some(tenant), after, MAX_ROWS).await.map_err(CopyError::Source)?,
        )?;
        for ((tenant, user), info) in page.rows {
            target.put_user(&tenant, &user, info).await.map_err(CopyError::Target)?;
            copied.users += 1;
        }
        tell(News::Copied(*copied));
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

pub(super) async fn devices(
    Stores { source, target }: Stores<'_>,
    tenant: &str,
    copied: &mut Copied,
    tell: &mut Tell<'_>,
) -> Result<(), CopyError> {
    let mut after = None;
    loop {
        let page = whole(
            source.inventory().all_devices(Some(tenant), after, MAX_ROWS).await.map_err(CopyError::Source)?,
        )?;
        for (key, ours) in page.rows {
            let theirs = target.device(&key, Some(ours)).await.map_err(CopyError::Target)?;
            if let Some(theirs) = theirs.filter(|theirs| *theirs != ours) {
                return Err(CopyError::Device { key: Box::new(key), ours, theirs });
            }
            copied.devices += 1;
        }
        tell(News::Copied(*copied));
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// A page of the source without broken rows: what is damaged is not copied as if it were whole.
pub(super) fn whole<T>(mut page: Page<T>) -> Result<Page<T>, CopyError> {
    page.broken.pop().map_or(Ok(page), |why| Err(CopyError::Broken(why)))
}
