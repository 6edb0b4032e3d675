//! The XOR that clients apply to what they send.

/// Unmasks `bytes` in place; `mask[0]` belongs to `bytes[0]`.
pub fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_definition(bytes: Vec<u8>, mask: [u8; 4]) {
            let expected: Vec<u8> = bytes.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            let mut unmasked = bytes;
            unmask(&mut unmasked, mask);
            prop_assert_eq!(unmasked, expected);
        }
    }
}
