//! Where to connect next. Pure.
//!
//! The address that the application gave is home. Where the server sends the client elsewhere it goes there once; while
//! attempts fail it tries, every other time, one of the places that the server named when all was well.

use protocol::v1::Welcome;
use rand::Rng;
use rand::seq::IndexedRandom as _;

use crate::connect::address::Address;

/// Places that are remembered.
const MOST: usize = 8;

/// The places of one client.
#[derive(Clone, Debug)]
pub struct Places {
    home: Address,
    /// Where the server asked to connect next.
    named: Option<Address>,
    others: Vec<Address>,
    /// Attempts in a row that came to nothing.
    failures: u32,
}

impl Places {
    pub fn new(home: Address) -> Places {
        Places { home, named: None, others: Vec::new(), failures: 0 }
    }

    /// A connection is up. An older server names no places.
    pub fn welcomed(&mut self, welcome: &Welcome) {
        self.failures = 0;
        let others = welcome.endpoints.iter().filter_map(|place| self.trusted(place));
        self.others = others.take(MOST).collect();
    }

    /// An attempt failed.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The server asks to connect there next; nothing for an empty name. Whether that will be tried.
    pub fn sent_to(&mut self, place: &str) -> bool {
        self.named = self.trusted(place);
        self.named.is_some()
    }

    /// Takes the place of the next attempt.
    pub fn next(&mut self, rng: &mut impl Rng) -> Address {
        if let Some(named) = self.named.take() {
            return named;
        }
        let other = if self.failures % 2 == 1 { self.others.choose(rng) } else { None };
        other.unwrap_or(&self.home).clone()
    }

    /// A place the server named, unless it would send the token where it is less protected.
    fn trusted(&self, place: &str) -> Option<Address> {
        let address = Address::parse(place).ok()?;
        (address.scheme.is_secure() || !self.home.scheme.is_secure()).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn places(home: &str, endpoints: &[&str]) -> (Places, impl FnMut(&mut Places) -> String) {
        let mut places = Places::new(Address::parse(home).unwrap());
        let endpoints = endpoints.iter().map(|place| (*place).to_owned()).collect();
        places.welcomed(&Welcome { endpoints, ..Welcome::default() });
        let mut rng = StdRng::seed_from_u64(1);
        (places, move |places: &mut Places| places.next(&mut rng).to_string())
    }

    #[test]
    fn a_named_place_is_tried_once() {
        let (mut places, mut next) = places("tcp://home:1", &[]);
        places.sent_to("tcp://other:2");
        assert_eq!([next(&mut places), next(&mut places)], ["tcp://other:2", "tcp://home:1"]);
        assert!(places.sent_to("tcp://other:2") && !places.sent_to(""));
        assert_eq!(next(&mut places), "tcp://home:1", "the latest word counts");
    }

    #[test]
    fn others_are_tried_in_turn_with_home_while_nothing_comes_of_it() {
        let (mut places, mut next) = places("tcp://home:1", &["tcp://a:1", "tcp://b:1"]);
        assert_eq!(next(&mut places), "tcp://home:1");
        let mut tried = Vec::new();
        for _ in 0..40 {
            places.failed();
            tried.push(next(&mut places));
        }
        assert!(tried.iter().skip(1).step_by(2).all(|place| place == "tcp://home:1"), "{tried:?}");
        for other in ["tcp://a:1", "tcp://b:1"] {
            assert!(tried.iter().step_by(2).any(|place| place == other), "{other}: {tried:?}");
        }
        places.welcomed(&Welcome::default());
        places.failed();
        assert_eq!(next(&mut places), "tcp://home:1", "an older server knows no others");
    }

    #[test]
    fn a_token_goes_nowhere_where_it_is_less_protected() {
        let (mut places, mut next) = places("tls://home:1", &["tcp://a:1", "no place"]);
        assert!(!places.sent_to("tcp://other:2"));
        places.failed();
        assert_eq!(next(&mut places), "tls://home:1");
        places.sent_to("wss://other");
        assert_eq!(next(&mut places), "wss://other:443");
    }
}
