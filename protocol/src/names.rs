//! Conversation ids. The first two bytes say how the id came about.
//!
//! | id | made from |
//! |---|---|
//! | `d:alice~bob` | the two users, smaller first: the direct conversation |
//! | `g:` and 26 characters | the creating device and its client_msg_id: a retry names the same conversation |
//! | anything else | chosen by the tenant's backend |

use crate::check;
use crate::limit::CLIENT_MSG_ID_BYTES;

/// Marks a direct conversation.
pub const DIRECT: &str = "d:";
/// Marks a group made by a device.
pub const GROUP: &str = "g:";
/// Stands between the two users of a direct conversation; no user id contains it.
pub const BETWEEN: char = '~';

/// The id of the direct conversation of two users, whichever comes first.
pub fn direct(one: &str, other: &str) -> String {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    format!("{DIRECT}{low}{BETWEEN}{high}")
}

/// The two users of a direct conversation; `None` for any other id, also for one that names no two users.
pub fn direct_users(conversation: &str) -> Option<(&str, &str)> {
    let (low, high) = conversation.strip_prefix(DIRECT)?.split_once(BETWEEN)?;
    let users = low < high && check::user(low).is_ok() && check::user(high).is_ok();
    users.then_some((low, high))
}

/// The user of a direct conversation who is not `me`; `None` if `me` is not one of the two.
pub fn direct_peer<'a>(conversation: &'a str, me: &str) -> Option<&'a str> {
    match direct_users(conversation)? {
        (low, high) if low == me => Some(high),
        (low, high) if high == me => Some(low),
        _ => None,
    }
}

/// The id of a group made by `device` with `client_msg_id`: 128 bits of both, readable and short.
pub fn group(device: u64, client_msg_id: &[u8; CLIENT_MSG_ID_BYTES]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    // Multiplying by an odd constant and adding the id keeps distinct (device, id) pairs of honest devices apart:
    // the id is random, the device only separates devices that reuse ids.
    let mixed = u128::from_be_bytes(*client_msg_id)
        .wrapping_add(u128::from(device).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
    let digits = (0..26).rev().map(|i| ALPHABET[((mixed >> (5 * i)) & 31) as usize] as char);
    GROUP.chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_conversation_has_one_name() {
        assert_eq!(direct("bob", "alice"), "d:alice~bob");
        assert_eq!(direct("alice", "bob"), "d:alice~bob");
        assert_eq!(direct_peer("d:alice~bob", "bob"), Some("alice"));
        assert_eq!(direct_peer("d:alice~bob", "eve"), None);
        assert_eq!(direct_users("d:bob~alice"), None);
        assert_eq!(direct_users("g:bob~alice"), None);
        assert_eq!(direct_users("d:bob"), None);
        assert_eq!(direct_users("d:~bob"), None);
        assert_eq!(direct_users("d:alice~bob~carol"), None);
        assert_eq!(direct_users(&format!("d:alice~{}", "x".repeat(65))), None);
    }

    #[test]
    fn a_group_is_named_by_device_and_id() {
        let name = group(7, &[1; 16]);
        assert_eq!(name.len(), 28);
        assert_eq!(name, group(7, &[1; 16]));
        assert_ne!(name, group(8, &[1; 16]));
        assert_ne!(name, group(7, &[2; 16]));
    }
}
