//! Numbers as text, without the formatting machinery.

use std::net::Ipv4Addr;

/// The numbers up to 255, each with its length behind it: most numbers of a head, and each part of an IPv4 address.
static SHORT: [([u8; 3], u8); 256] = {
    let mut table = [([0; 3], 0); 256];
    let mut number = 0;
    while number < table.len() {
        let digits = [
            b'0' + (number / 100) as u8,
            b'0' + (number / 10 % 10) as u8,
            b'0' + (number % 10) as u8,
        ];
        table[number] = match number {
            0..10 => ([digits[2], 0, 0], 1),
            10..100 => ([digits[1], digits[2], 0], 2),
            _ => (digits, 3),
        };
        number += 1;
    }
    table
};

/// Appends `number` in decimal.
pub fn write_decimal(out: &mut Vec<u8>, number: u64) {
    if let Ok(short) = u8::try_from(number) {
        let (digits, length) = SHORT[usize::from(short)];
        let end = out.len() + usize::from(length);
        out.extend_from_slice(&digits);
        return out.truncate(end);
    }
    out.extend_from_slice(Decimal::of(number).as_bytes());
}

/// The digits of a number.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    /// Those of `number`.
    #[must_use]
    pub fn of(mut number: u64) -> Decimal {
        let mut digits = [0; 20];
        let mut start = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            start -= 1;
            if number == 0 {
                break;
            }
        }
        Decimal { digits, start }
    }

    /// As text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

/// Appends an IPv4 address with its dots.
pub fn write_ipv4(out: &mut Vec<u8>, address: Ipv4Addr) {
    let mut text = [b'.'; 16];
    let mut end = 0;
    for octet in address.octets() {
        let (digits, length) = SHORT[usize::from(octet)];
        // At most at 12: the last octet begins behind three others of three digits and their dots.
        if let Some(place) = text.get_mut(end..end + digits.len()) {
            place.copy_from_slice(&digits);
        }
        end += usize::from(length);
        if let Some(dot) = text.get_mut(end) {
            *dot = b'.';
        }
        end += 1;
    }
    out.extend_from_slice(text.get(..end - 1).unwrap_or_default());
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

    use std::net::Ipv4Addr;

    use super::{parse_length, write_decimal, write_hexadecimal, write_ipv4};

    proptest! {
        #[test]
        fn numbers_are_written_as_the_formatter_writes_them(number in any::<u64>(), shift in 0_u32..64) {
            let number = number >> shift;
            let mut out = Vec::new();
            write_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
            out.clear();
            let address = Ipv4Addr::from_bits(number as u32);
            write_ipv4(&mut out, address);
            assert_eq!(out, address.to_string().as_bytes());
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
