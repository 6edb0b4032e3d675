//! Protocol versions and features.

/// The lowest and the highest version of the device protocol this code speaks.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 1..=1;

/// Feature bits this code understands; none is defined yet.
pub const FEATURES: u64 = 0;

/// The highest version in both ranges.
pub fn agree(min: u32, max: u32) -> Option<u32> {
    let version = max.min(*VERSIONS.end());
    (version >= min && version >= *VERSIONS.start()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::agree;

    #[test]
    fn the_highest_shared_version_is_taken() {
        assert_eq!(agree(1, 1), Some(1));
        assert_eq!(agree(1, 9), Some(1));
        assert_eq!(agree(2, 9), None);
        assert_eq!(agree(0, 0), None);
        assert_eq!(agree(5, 1), None);
    }
}
