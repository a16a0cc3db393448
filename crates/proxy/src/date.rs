//! The Date field (RFC 9110 §5.6.7).

use std::time::{Duration, UNIX_EPOCH};

/// The time as HTTP writes it, kept while it is the same second.
#[derive(Debug, Default)]
pub(crate) struct Date {
    second: Option<i64>,
    text: [u8; Date::LENGTH],
}

impl Date {
    /// As long as `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub(crate) const LENGTH: usize = 29;

    /// The time of a second since 1970.
    pub(crate) fn at(&mut self, second: i64) -> [u8; Date::LENGTH] {
        if self.second != Some(second) {
            self.second = Some(second);
            let since = Duration::from_secs(u64::try_from(second).unwrap_or_default());
            let text = httpdate::fmt_http_date(UNIX_EPOCH + since);
            self.text = text.as_bytes().try_into().unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT");
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn the_second_decides() {
        let mut date = Date::default();
        for (second, text) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (-5, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&date.at(second)).unwrap(), text);
        }
    }
}
