//! Numbers as text, without the formatting machinery.

/// Appends `number` in decimal.
pub fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    if number < 10 {
        // Most numbers of a head are this short.
        return out.push(b'0' + number as u8);
    }
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `number` in lower-case hexadecimal, as a chunk's size is written.
pub(crate) fn write_hexadecimal(out: &mut Vec<u8>, number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let length = (64 - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..length).rev() {
        out.push(DIGITS[(number >> (place * 4) & 0xf) as usize]);
    }
}

/// Reads a `Content-Length`: digits only, no sign, no space, no list (RFC 9112 §6.2); none if it is anything else
/// or more than 2^63 - 1.
pub(crate) fn parse_length(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut length = 0_u64;
    for digit in text {
        length = length * 10 + u64::from(digit - b'0');
    }
    (length <= i64::MAX as u64).then_some(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{parse_length, write_decimal, write_hexadecimal};

    proptest! {
        #[test]
        fn numbers_are_written_as_the_formatter_writes_them(number in any::<u64>(), shift in 0_u32..64) {
            let number = number >> shift;
            let mut out = Vec::new();
            write_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
            out.clear();
            write_hexadecimal(&mut out, number);
            assert_eq!(out, format!("{number:x}").as_bytes());
        }
    }

    #[test]
    fn lengths_are_digits_only() {
        assert_eq!(parse_length(b"0"), Some(0));
        assert_eq!(parse_length(b"0010"), Some(10));
        assert_eq!(parse_length(b"9223372036854775807"), Some(i64::MAX as u64));
        for bad in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1,1",
            "0x1",
            "1_0",
            "9223372036854775808",
            "99999999999999999999",
        ] {
            assert_eq!(parse_length(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
