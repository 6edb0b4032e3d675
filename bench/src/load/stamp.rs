//! The front of every payload: when the message was due, and its number among those of its sender.

/// Bytes of a stamp; no payload is shorter.
pub const STAMP_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// On [`super::clock`]. Latency counts from here, not from when the generator got round to it.
    pub due: u64,
    /// 1, 2, 3 and so on: what shows a lost message.
    pub number: u64,
}

impl Stamp {
    /// # Panics
    /// If the payload is shorter than [`STAMP_BYTES`]: every plan is checked for that.
    pub fn write(self, payload: &mut [u8]) {
        payload[..8].copy_from_slice(&self.due.to_be_bytes());
        payload[8..STAMP_BYTES].copy_from_slice(&self.number.to_be_bytes());
    }

    /// None where the payload is not ours.
    pub fn read(payload: &[u8]) -> Option<Stamp> {
        let number = |at: usize| Some(u64::from_be_bytes(payload.get(at..at + 8)?.try_into().ok()?));
        Some(Stamp { due: number(0)?, number: number(8)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back() {
        let (mut payload, stamp) = ([0; 20], Stamp { due: 7, number: 1 << 40 });
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..STAMP_BYTES - 1]), None);
    }
}
