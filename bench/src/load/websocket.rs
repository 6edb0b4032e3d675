//! A WebSocket's bytes, from the client's side: the upgrade, and binary messages whose payloads are one stream.

use anyhow::{bail, ensure};
use protocol::preface::WEBSOCKET_PATH;

/// Most bytes of the answer to an upgrade.
const MOST_HEAD_BYTES: usize = 8 * 1024;
const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;

#[derive(Default)]
pub struct WebSocket {
    upgraded: bool,
    /// The front of what is not whole: the answer to the upgrade, or a message's head.
    head: Vec<u8>,
    /// Bytes of the current message that have not come.
    rest: u64,
}

impl WebSocket {
    pub fn ask(&self, host: &str, out: &mut Vec<u8>) {
        let request = format!(
            "GET {WEBSOCKET_PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        out.extend_from_slice(request.as_bytes());
    }

    /// One binary message under the mask 0, which leaves the payload as it is.
    pub fn seal(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.push(0x80 | BINARY);
        match payload.len() {
            length @ ..126 => out.push(0x80 | length as u8),
            length @ ..65_536 => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(payload);
    }

    /// Appends the payloads; true if the upgrade has just been accepted.
    pub fn open(&mut self, mut raw: &[u8], plain: &mut Vec<u8>) -> anyhow::Result<bool> {
        let before = self.upgraded;
        while !raw.is_empty() {
            if self.rest > 0 {
                let (payload, rest) = raw.split_at(raw.len().min(self.rest as usize));
                plain.extend_from_slice(payload);
                self.rest -= payload.len() as u64;
                raw = rest;
                continue;
            }
            self.head.push(raw[0]);
            raw = &raw[1..];
            match self.upgraded {
                false => self.answered()?,
                true => self.message()?,
            }
        }
        Ok(self.upgraded && !before)
    }

    fn answered(&mut self) -> anyhow::Result<()> {
        if self.head.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&self.head);
            ensure!(
                head.starts_with("HTTP/1.1 101"),
                "no WebSocket: {}",
                head.lines().next().unwrap_or_default()
            );
            self.upgraded = true;
            self.head.clear();
        }
        ensure!(self.head.len() < MOST_HEAD_BYTES, "no WebSocket: an endless answer");
        Ok(())
    }

    /// Takes a message's head, if it is whole.
    fn message(&mut self) -> anyhow::Result<()> {
        let &[first, short, ..] = &self.head[..] else { return Ok(()) };
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(field) = self.head.get(2..2 + extended) else { return Ok(()) };
        if !matches!(first & 0x0F, BINARY | CONTINUATION) {
            bail!("the server closed the WebSocket");
        }
        let length = field.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        self.rest = if extended == 0 { short.into() } else { length };
        self.head.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_one_stream_however_they_are_cut() {
        let mut wire = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        let parts = [vec![1; 5], vec![2; 200], vec![3; 70_000]];
        for part in &parts {
            match part.len() {
                5 => wire.extend_from_slice(&[0x82, 5]),
                200 => wire.extend_from_slice(&[0x82, 126, 0, 200]),
                _ => wire.extend_from_slice(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
            }
            wire.extend_from_slice(part);
        }
        for cut in [1, 7, 4_096, wire.len()] {
            let (mut socket, mut plain, mut upgrades) = (WebSocket::default(), Vec::new(), 0);
            for piece in wire.chunks(cut) {
                upgrades += usize::from(socket.open(piece, &mut plain).unwrap());
            }
            assert_eq!((upgrades, &plain), (1, &parts.concat()), "{cut}");
        }
    }

    #[test]
    fn a_refused_upgrade_is_an_error() {
        let refused = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
        assert!(WebSocket::default().open(refused, &mut Vec::new()).is_err());
    }
}
