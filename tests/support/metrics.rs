//! What a gateway counts, as `/metrics` tells it.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::http;

/// The numbers at one moment.
pub struct Metrics(HashMap<String, u64>);

impl Metrics {
    /// Asks a gateway's HTTP port.
    pub async fn of(address: SocketAddr) -> Metrics {
        let answer = http::get(address, "/metrics").await.expect("the gateway tells its metrics");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let numbers = answer.body.lines().filter(|line| !line.starts_with('#'));
        let number = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Metrics(numbers.filter_map(number).collect())
    }

    /// One of them.
    pub fn get(&self, name: &str) -> u64 {
        *self.0.get(name).unwrap_or_else(|| panic!("the gateway does not count {name}"))
    }
}
