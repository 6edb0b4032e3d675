//! Ports that no other test takes.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which outgoing connections get their ports.
const FIRST: u16 = 11_000;
const COUNT: u16 = 20_000;

/// A TCP port that is free on some loopback addresses. It stays reserved: whoever looks for a port in the same way finds
/// the UDP port of that number taken, also before the server has bound its own and while it is down.
pub struct Port {
    pub number: u16,
    _reserved: Vec<UdpSocket>,
}

impl Port {
    /// A port that is free on 127.0.0.1 to 127.0.0.`hosts`.
    pub fn reserve(hosts: u8) -> Port {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = (std::process::id() % u32::from(COUNT)) as u16;
        loop {
            let number = FIRST + (start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))) % COUNT;
            let sockets: Option<Vec<UdpSocket>> = (1..=hosts).map(|host| bind(host, number)).collect();
            if let Some(reserved) = sockets {
                return Port { number, _reserved: reserved };
            }
        }
    }
}

fn bind(host: u8, port: u16) -> Option<UdpSocket> {
    let address = (Ipv4Addr::new(127, 0, 0, host), port);
    TcpListener::bind(address).ok()?;
    UdpSocket::bind(address).ok()
}
