//! The names of rows: a table's tag, then every text but the last with its length in front, so that no conversation's
//! or user's rows lie among another's. The last stands as it is, which keeps rows in its byte order.

use idgen::DeviceId;

use crate::directory::DeviceKey;
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::presence::{EVENTS_KEPT, UserName};

/// A row's name.
pub(super) type Key = Vec<u8>;

/// The kinds of rows. The tag is the first byte of a key and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Table {
    Entry = 1,
    Head = 2,
    Sender = 3,
    Cursors = 4,
    Sent = 5,
    Commit = 6,
    Info = 7,
    Member = 8,
    Membership = 9,
    Device = 10,
    DeviceId = 11,
    User = 12,
    /// A user's conversations by their places in the list.
    Active = 13,
    /// A user's conversations by the version at which the user's read cursor rose last.
    Moved = 14,
    /// A user's large conversations.
    Wide = 15,
    /// Says that the three above are kept.
    Listed = 16,
    /// Entries that are not shown.
    Silent = 17,
    /// What later entries have made of one.
    Fate = 18,
    /// Where a tenant's presence log ends.
    PresenceHead = 28,
    PresenceEvent = 29,
    /// What the presence log says of one user now.
    Standing = 30,
    /// When a node was last alive.
    Beat = 31,
}

/// Keyspaces: rows that live alike share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// Written once, read in ranges.
    Entries,
    /// Small and rewritten by every append.
    State,
    /// Rarely written.
    Directory,
}

/// The keyspace of a row.
pub(super) fn space(key: &[u8]) -> Space {
    match key.first() {
        Some(&tag) if tag == Table::Entry as u8 => Space::Entries,
        Some(&tag) if tag <= Table::Commit as u8 => Space::State,
        Some(&tag) if tag == Table::Active as u8 || tag == Table::Moved as u8 => Space::State,
        Some(&tag) if tag == Table::Silent as u8 || tag == Table::Fate as u8 => Space::State,
        _ => Space::Directory,
    }
}

pub(super) fn entry(key: &ConversationKey, seq: u64) -> Result<Key, StoreError> {
    Ok(with(conversation(Table::Entry, key)?, &seq.to_be_bytes()))
}

/// The seq at the end of an entry's key.
pub(super) fn entry_seq(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

pub(super) fn silent(key: &ConversationKey, seq: u64) -> Result<Key, StoreError> {
    Ok(with(conversation(Table::Silent, key)?, &seq.to_be_bytes()))
}

pub(super) fn fate(key: &ConversationKey, seq: u64) -> Result<Key, StoreError> {
    Ok(with(conversation(Table::Fate, key)?, &seq.to_be_bytes()))
}

pub(super) fn head(key: &ConversationKey) -> Result<Key, StoreError> {
    conversation(Table::Head, key)
}

pub(super) fn info(key: &ConversationKey) -> Result<Key, StoreError> {
    conversation(Table::Info, key)
}

/// The common beginning of a table's rows, or of a tenant's in it. Not for tables that do not begin with the tenant.
pub(super) fn table(table: Table, tenant: Option<&str>) -> Result<Key, StoreError> {
    let tag = vec![table as u8];
    tenant.map_or(Ok(tag.clone()), |tenant| text(tag, tenant))
}

/// The common beginning of all slots of a conversation.
pub(super) fn all_senders(key: &ConversationKey) -> Result<Key, StoreError> {
    conversation(Table::Sender, key)
}

/// Device and slot of a slot's key.
pub(super) fn sender_of(key: &[u8], prefix: &[u8]) -> Option<(u64, u8)> {
    let (device, slot) = key.strip_prefix(prefix)?.split_first_chunk::<8>()?;
    let [slot] = slot else { return None };
    Some((u64::from_be_bytes(*device), *slot))
}

/// The common beginning of a device's slots.
pub(super) fn senders(key: &ConversationKey, device: u64) -> Result<Key, StoreError> {
    Ok(with(all_senders(key)?, &device.to_be_bytes()))
}

pub(super) fn sender(key: &ConversationKey, device: u64, slot: u8) -> Result<Key, StoreError> {
    Ok(with(senders(key, device)?, &[slot]))
}

/// The common beginning of a conversation's cursors.
pub(super) fn all_cursors(key: &ConversationKey) -> Result<Key, StoreError> {
    conversation(Table::Cursors, key)
}

pub(super) fn cursors(key: &ConversationKey, user: &str) -> Result<Key, StoreError> {
    last(all_cursors(key)?, user)
}

/// The common beginning of who has sent something into a conversation.
pub(super) fn all_sent(key: &ConversationKey) -> Result<Key, StoreError> {
    conversation(Table::Sent, key)
}

pub(super) fn sent(key: &ConversationKey, user: &str) -> Result<Key, StoreError> {
    last(all_sent(key)?, user)
}

/// The common beginning of a conversation's members.
pub(super) fn members(key: &ConversationKey) -> Result<Key, StoreError> {
    conversation(Table::Member, key)
}

pub(super) fn member(key: &ConversationKey, user: &str) -> Result<Key, StoreError> {
    last(members(key)?, user)
}

/// The common beginning of a user's conversations.
pub(super) fn memberships(tenant: &str, user: &str) -> Result<Key, StoreError> {
    text(text(vec![Table::Membership as u8], tenant)?, user)
}

pub(super) fn membership(key: &ConversationKey, user: &str) -> Result<Key, StoreError> {
    last(memberships(&key.tenant, user)?, &key.conversation)
}

/// The common beginning of a user's rows in `Active`, `Moved` or `Wide`.
pub(super) fn list(table: Table, tenant: &str, user: &str) -> Result<Key, StoreError> {
    text(text(vec![table as u8], tenant)?, user)
}

/// A conversation's row at a version.
pub(super) fn place(list: &[u8], version: u64, conversation: &str) -> Result<Key, StoreError> {
    last(with(list.to_vec(), &version.to_be_bytes()), conversation)
}

/// Version and conversation of such a row.
pub(super) fn placed<'a>(key: &'a [u8], list: &[u8]) -> Option<(u64, &'a str)> {
    let (version, conversation) = key.strip_prefix(list)?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*version), std::str::from_utf8(conversation).ok()?))
}

pub(super) fn wide(key: &ConversationKey, user: &str) -> Result<Key, StoreError> {
    last(list(Table::Wide, &key.tenant, user)?, &key.conversation)
}

pub(super) fn listed() -> Key {
    vec![Table::Listed as u8]
}

/// The tenant, the user and the conversation of a membership's row.
pub(super) fn names_of(key: &[u8]) -> Option<(&str, &str, &str)> {
    let (tenant, rest) = first_text(key.get(1..)?)?;
    let (user, conversation) = first_text(rest)?;
    Some((tenant, user, std::str::from_utf8(conversation).ok()?))
}

fn first_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(length.into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Above every key that begins like this and goes on with a text: no UTF-8 has this byte.
pub(super) fn end(prefix: &[u8]) -> Key {
    with(prefix.to_vec(), &[0xFF])
}

/// The text that follows a common beginning.
pub(super) fn last_text<'a>(key: &'a [u8], prefix: &[u8]) -> Option<&'a str> {
    std::str::from_utf8(key.strip_prefix(prefix)?).ok()
}

pub(super) fn device(key: &DeviceKey) -> Result<Key, StoreError> {
    let owner = text(text(vec![Table::Device as u8], &key.tenant)?, &key.user)?;
    last(with(owner, &[key.device_type]), &key.installation)
}

/// The device that a device's key names.
pub(super) fn device_of(key: &[u8]) -> Option<DeviceKey> {
    let (tenant, rest) = first_text(key.get(1..)?)?;
    let (user, rest) = first_text(rest)?;
    let (&device_type, installation) = rest.split_first()?;
    let installation = std::str::from_utf8(installation).ok()?.to_owned();
    Some(DeviceKey { tenant: tenant.to_owned(), user: user.to_owned(), device_type, installation })
}

pub(super) fn device_id(id: DeviceId) -> Key {
    with(vec![Table::DeviceId as u8], &id.as_u64().to_be_bytes())
}

pub(super) fn user(tenant: &str, user: &str) -> Result<Key, StoreError> {
    last(text(vec![Table::User as u8], tenant)?, user)
}

pub(super) fn presence_head(tenant: &str) -> Result<Key, StoreError> {
    last(vec![Table::PresenceHead as u8], tenant)
}

/// A place in the tenant's ring: the event that comes [`EVENTS_KEPT`] later takes it over.
pub(super) fn presence_event(tenant: &str, seq: u64) -> Result<Key, StoreError> {
    let ring = text(vec![Table::PresenceEvent as u8], tenant)?;
    Ok(with(ring, &(seq % EVENTS_KEPT).to_be_bytes()))
}

pub(super) fn standing(tenant: &str, user: &str) -> Result<Key, StoreError> {
    last(text(vec![Table::Standing as u8], tenant)?, user)
}

/// The first and last key of the standings after one user's, or of all.
pub(super) fn standings_after(after: Option<&UserName>) -> Result<(Key, Key), StoreError> {
    let first = match after {
        Some((tenant, user)) => with(standing(tenant, user)?, &[0]),
        None => vec![Table::Standing as u8],
    };
    Ok((first, vec![Table::Standing as u8 + 1]))
}

/// Whom a user's or a standing's key names.
pub(super) fn user_name(key: &[u8]) -> Option<UserName> {
    let (tenant, user) = first_text(key.get(1..)?)?;
    Some((tenant.to_owned(), std::str::from_utf8(user).ok()?.to_owned()))
}

pub(super) fn beat(node: u64) -> Key {
    with(vec![Table::Beat as u8], &node.to_be_bytes())
}

/// The row that every commit writes first.
pub(super) fn commit() -> Key {
    vec![Table::Commit as u8]
}

fn conversation(table: Table, key: &ConversationKey) -> Result<Key, StoreError> {
    let mut bytes = Vec::with_capacity(key.tenant.len() + key.conversation.len() + 32);
    bytes.push(table as u8);
    text(text(bytes, &key.tenant)?, &key.conversation)
}

fn text(mut key: Key, text: &str) -> Result<Key, StoreError> {
    key.push(length(text)?);
    Ok(with(key, text.as_bytes()))
}

fn last(key: Key, text: &str) -> Result<Key, StoreError> {
    length(text)?;
    Ok(with(key, text.as_bytes()))
}

/// Names were checked where they came in and are far shorter; a longer one is refused rather than cut.
fn length(text: &str) -> Result<u8, StoreError> {
    let length = u8::try_from(text.len());
    length.map_err(|_| StoreError::Corrupt(format!("a name of {} bytes, 255 is the most", text.len())))
}

fn with(mut key: Key, bytes: &[u8]) -> Key {
    key.extend_from_slice(bytes);
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_conversation_lies_within_another(a in "[ab]{0,4}", b in "[ab]{0,4}", c in "[ab]{0,4}", d in "[ab]{0,4}") {
            let (one, other) = (ConversationKey::new(a, b), ConversationKey::new(c, d));
            let nested = entry(&other, 1).unwrap().starts_with(&conversation(Table::Entry, &one).unwrap());
            prop_assert_eq!(nested, one == other);
        }

        #[test]
        fn the_last_text_comes_back(user in "\\PC{0,60}") {
            let key = ConversationKey::new("t", "c");
            let row = member(&key, &user).unwrap();
            prop_assert_eq!(last_text(&row, &members(&key).unwrap()), Some(user.as_str()));
        }
    }

    #[test]
    fn entries_sort_by_seq() {
        let key = ConversationKey::new("t", "c");
        let keys: Vec<Key> = [1, 255, 256, u64::MAX].map(|seq| entry(&key, seq).unwrap()).into();
        assert!(keys.is_sorted());
        assert_eq!(entry_seq(&keys[2]), Some(256));
        assert!(entry(&ConversationKey::new("t", "c".repeat(256)), 1).is_err());
    }
}
