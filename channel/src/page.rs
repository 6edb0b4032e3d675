//! Where a list of conversations begins and goes on: the opaque values a device is given and brings back. Pure.

use bytes::{BufMut, Bytes, BytesMut};
use protocol::check::{self, Refused, invalid};
use protocol::v1::ListConversations;
use storage::directory::{Listed, Listing, Place};

/// A store's version, as devices keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub store: u64,
    pub number: u64,
}

/// The end of a page that is not the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub is_latest: bool,
    /// Of the store when the first page was read.
    pub version: Version,
    pub place: Place,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Everything, from the latest entry on.
    All,
    /// What has changed since.
    Since(Version),
    /// The page behind another.
    Behind(Page),
}

const LATEST: u8 = 0;
const CHANGED: u8 = 1;

impl Start {
    pub fn of(asked: &ListConversations) -> Result<Start, Refused> {
        if !asked.page.is_empty() {
            let page = Page::decode(&asked.page);
            return Ok(Start::Behind(page.ok_or_else(|| invalid("page is not one that was given out"))?));
        }
        if asked.since_version.is_empty() {
            return Ok(Start::All);
        }
        let version = Version::decode(&asked.since_version);
        Ok(Start::Since(version.ok_or_else(|| invalid("since_version is not one that was given out"))?))
    }

    pub fn is_latest(&self) -> bool {
        matches!(self, Start::All | Start::Behind(Page { is_latest: true, .. }))
    }

    pub fn listing(&self) -> Listing {
        match self {
            Start::All => Listing::Latest { before: None },
            Start::Behind(Page { is_latest: true, place, .. }) => {
                Listing::Latest { before: Some(place.clone()) }
            }
            Start::Behind(Page { place, .. }) => Listing::Changed { after: place.clone() },
            Start::Since(version) => {
                let after = Place { version: version.number.saturating_add(1), conversation: String::new() };
                Listing::Changed { after }
            }
        }
    }

    /// What the device brings next time. A list from the latest entry on is as old as its first page: what changes
    /// meanwhile moves to the front of it. In a list of changes it moves to the end, so the last page knows all.
    pub fn version_of(&self, listed: &Listed) -> Version {
        match self {
            Start::Behind(Page { is_latest: true, version, .. }) => *version,
            _ => Version { store: listed.store, number: listed.version },
        }
    }
}

impl Version {
    pub fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        self.put(&mut out);
        out.freeze()
    }

    fn put(self, out: &mut BytesMut) {
        out.put_u64(self.store);
        out.put_u64(self.number);
    }

    fn decode(bytes: &[u8]) -> Option<Version> {
        let (store, number) = bytes.split_first_chunk::<8>()?;
        let number = number.try_into().ok()?;
        Some(Version { store: u64::from_be_bytes(*store), number: u64::from_be_bytes(number) })
    }
}

impl Page {
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(25 + self.place.conversation.len());
        out.put_u8(if self.is_latest { LATEST } else { CHANGED });
        self.version.put(&mut out);
        out.put_u64(self.place.version);
        out.put_slice(self.place.conversation.as_bytes());
        out.freeze()
    }

    fn decode(bytes: &[u8]) -> Option<Page> {
        let (&kind, rest) = bytes.split_first()?;
        let (version, rest) = rest.split_first_chunk::<16>()?;
        let (at, conversation) = rest.split_first_chunk::<8>()?;
        let conversation = std::str::from_utf8(conversation).ok()?.to_owned();
        check::conversation(&conversation).ok()?;
        let place = Place { version: u64::from_be_bytes(*at), conversation };
        (kind <= CHANGED).then_some(())?;
        Some(Page { is_latest: kind == LATEST, version: Version::decode(version)?, place })
    }
}

#[cfg(test)]
mod tests {
    use protocol::code::Code;

    use super::*;

    fn asked(page: &[u8], since: &[u8]) -> Result<Start, Refused> {
        let (page, since_version) = (Bytes::copy_from_slice(page), Bytes::copy_from_slice(since));
        Start::of(&ListConversations { page, since_version, limit: 0 })
    }

    #[test]
    fn what_was_given_out_comes_back() {
        let version = Version { store: 7, number: u64::MAX };
        assert_eq!(asked(b"", b""), Ok(Start::All));
        assert_eq!(asked(b"", &version.encode()), Ok(Start::Since(version)));
        for is_latest in [true, false] {
            let place = Place { version: 5, conversation: "d:a~ü".into() };
            let page = Page { is_latest, version, place };
            assert_eq!(asked(&page.encode(), b"nobody looks"), Ok(Start::Behind(page)));
        }
    }

    #[test]
    fn what_was_not_is_refused() {
        let long = [1; 200];
        for bad in [&b"1"[..], &[0; 24], &[0; 25], &[2; 30], &long, b"\x00123456781234567812345678\xff"] {
            assert_eq!(asked(bad, b"").map_err(|e| e.code), Err(Code::INVALID_REQUEST));
        }
        for bad in [&b"1"[..], &[0; 15], &[0; 17]] {
            assert_eq!(asked(b"", bad).map_err(|e| e.code), Err(Code::INVALID_REQUEST));
        }
    }
}
