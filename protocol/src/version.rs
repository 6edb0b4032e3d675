//! Protocol versions and features.

/// The lowest and the highest version of the device protocol this code speaks.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 1..=1;

/// The lowest and the highest version of the node protocol this code speaks. Version 2 has links between channel nodes,
/// and sessions that are announced with what they have said of presence.
pub const NODE_VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;

/// Feature bits this code understands; none is defined yet.
pub const FEATURES: u64 = 0;

/// The highest version of the device protocol in both ranges.
pub fn agree(min: u32, max: u32) -> Option<u32> {
    agree_on(&VERSIONS, min, max)
}

/// The highest version that is in `ours` and in theirs.
pub fn agree_on(ours: &std::ops::RangeInclusive<u32>, min: u32, max: u32) -> Option<u32> {
    let version = max.min(*ours.end());
    (version >= min && version >= *ours.start()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::{agree, agree_on};

    #[test]
    fn the_highest_shared_version_is_taken() {
        assert_eq!(agree(1, 1), Some(1));
        assert_eq!(agree(1, 9), Some(1));
        assert_eq!(agree(2, 9), None);
        assert_eq!(agree(0, 0), None);
        assert_eq!(agree(5, 1), None);
    }

    #[test]
    fn a_version_and_the_next_one_meet_at_the_older() {
        assert_eq!(agree_on(&(1..=2), 1, 1), Some(1));
        assert_eq!(agree_on(&(1..=1), 1, 2), Some(1));
        assert_eq!(agree_on(&(2..=3), 1, 1), None);
    }
}
