//! A user's full name as a map key: one small allocation, and lookups that make none.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::Equivalent;

/// Tenant and user, owned: the tenant's length, the tenant, the user. 16 bytes and one allocation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserKey(Box<[u8]>);

/// Tenant and user, borrowed; finds a [`UserKey`] in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRef<'a> {
    pub tenant: &'a str,
    pub user: &'a str,
}

impl From<&UserRef<'_>> for UserKey {
    /// `protocol::check` holds tenants to 64 bytes, so the length fits its byte.
    fn from(name: &UserRef<'_>) -> UserKey {
        debug_assert!(name.tenant.len() <= usize::from(u8::MAX));
        let mut bytes = Vec::with_capacity(1 + name.tenant.len() + name.user.len());
        bytes.push(name.tenant.len() as u8);
        bytes.extend_from_slice(name.tenant.as_bytes());
        bytes.extend_from_slice(name.user.as_bytes());
        UserKey(bytes.into_boxed_slice())
    }
}

impl UserKey {
    /// Tenant and user as text.
    pub fn texts(&self) -> (&str, &str) {
        let (tenant, user) = self.parts();
        // Both were text when the key was made; the empty text stands for what cannot happen.
        (std::str::from_utf8(tenant).unwrap_or(""), std::str::from_utf8(user).unwrap_or(""))
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        match self.0.split_first() {
            Some((&length, rest)) => rest.split_at(usize::from(length).min(rest.len())),
            None => (&[], &[]),
        }
    }
}

impl Hash for UserKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (tenant, user) = self.parts();
        hash(tenant, user, state);
    }
}

impl Hash for UserRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.tenant.as_bytes(), self.user.as_bytes(), state);
    }
}

impl Equivalent<UserKey> for UserRef<'_> {
    fn equivalent(&self, key: &UserKey) -> bool {
        key.parts() == (self.tenant.as_bytes(), self.user.as_bytes())
    }
}

impl Equivalent<Arc<UserKey>> for UserRef<'_> {
    fn equivalent(&self, key: &Arc<UserKey>) -> bool {
        self.equivalent(&**key)
    }
}

fn hash<H: Hasher>(tenant: &[u8], user: &[u8], state: &mut H) {
    // Without their lengths: names whose bytes run into each other may have one hash, and are rare.
    state.write(user);
    state.write(tenant);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_finds_its_key_and_no_other() {
        let mut map = hashbrown::HashMap::new();
        map.insert(UserKey::from(&UserRef { tenant: "a", user: "bc" }), 1);
        assert_eq!(map.get(&UserRef { tenant: "a", user: "bc" }), Some(&1));
        assert_eq!(map.get(&UserRef { tenant: "ab", user: "c" }), None);
        assert_eq!(UserKey::from(&UserRef { tenant: "ab", user: "é" }).texts(), ("ab", "é"));
        assert_eq!(UserKey::from(&UserRef { tenant: "", user: "" }).texts(), ("", ""));
    }
}
