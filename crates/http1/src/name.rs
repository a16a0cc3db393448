//! The field names that a gateway looks at, recognised once when a head is read.

/// Declares the names, in order of length.
macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// A field name that the gateway itself acts on; every other one is [`Name::Other`].
        ///
        /// Recognising a name once, while the head is read, makes each later question a comparison of two bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $($(#[$doc])* #[doc = concat!("`", $text, "`")] $variant,)+
            /// A name that only plugins and upstreams care about.
            Other,
        }

        impl Name {
            /// All names but [`Name::Other`].
            pub const ALL: &'static [Name] = &[$(Name::$variant,)+];

            /// The usual spelling, empty for [`Name::Other`].
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Name::$variant => $text,)+
                    Name::Other => "",
                }
            }
        }
    };
}

names! {
    Te = "TE",
    Via = "Via",
    Date = "Date",
    Host = "Host",
    Proxy = "Proxy",
    Accept = "Accept",
    Cookie = "Cookie",
    Expect = "Expect",
    Server = "Server",
    Trailer = "Trailer",
    Upgrade = "Upgrade",
    Location = "Location",
    XRealIp = "X-Real-IP",
    Connection = "Connection",
    KeepAlive = "Keep-Alive",
    SetCookie = "Set-Cookie",
    UserAgent = "User-Agent",
    Authorization = "Authorization",
    ContentType = "Content-Type",
    ContentLength = "Content-Length",
    XForwardedFor = "X-Forwarded-For",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedPath = "X-Forwarded-Path",
    XForwardedPort = "X-Forwarded-Port",
    ProxyConnection = "Proxy-Connection",
    XForwardedProto = "X-Forwarded-Proto",
    XKongRequestId = "X-Kong-Request-Id",
    TransferEncoding = "Transfer-Encoding",
    XAccelBuffering = "X-Accel-Buffering",
    XForwardedPrefix = "X-Forwarded-Prefix",
    XKongProxyLatency = "X-Kong-Proxy-Latency",
    XKongUpstreamStatus = "X-Kong-Upstream-Status",
    XKongUpstreamLatency = "X-Kong-Upstream-Latency",
    XKongResponseLatency = "X-Kong-Response-Latency",
}

impl Name {
    /// Recognises `name`, whatever the case of its letters.
    #[must_use]
    pub fn recognise(name: &[u8]) -> Name {
        let candidate = CANDIDATES[place_of(name)];
        let text = candidate.text().as_bytes();
        if name.len() == text.len() && is_same(name, text) { candidate } else { Name::Other }
    }

    /// The bit of this name in the set of names that a head has; none for [`Name::Other`].
    pub(crate) const fn bit(self) -> u64 {
        match self {
            Name::Other => 0,
            known => 1 << known as u8,
        }
    }
}

/// The one name that may be at each place of [`place_of`].
static CANDIDATES: [Name; PLACES] = {
    let mut table = [Name::Other; PLACES];
    let mut number = 0;
    while number < Name::ALL.len() {
        let place = place_of(Name::ALL[number].text().as_bytes());
        assert!(matches!(table[place], Name::Other), "two names share a place: change `place_of`");
        table[place] = Name::ALL[number];
        number += 1;
    }
    table
};

const PLACES: usize = 128;

/// A number that tells all known names apart, whatever the case of their letters.
const fn place_of(name: &[u8]) -> usize {
    if name.len() < 2 {
        return 0;
    }
    let (middle, end) = (name[name.len() / 2] | 0x20, name[name.len() - 2] | 0x20);
    (name.len() + middle as usize * 5 + end as usize * 8) % PLACES
}

/// Whether two names of the same length are one but for the case of letters: among the characters of a name
/// (RFC 9110 §5.6.2) only the cases of a letter differ in this one bit alone. By words instead of bytes; the last one
/// overlaps the one before.
#[inline]
fn is_same(name: &[u8], known: &[u8]) -> bool {
    const CASE: u64 = u64::from_ne_bytes([0x20; 8]);
    let unlike = match (name.last_chunk::<8>(), known.last_chunk::<8>()) {
        (Some(end), Some(known_end)) => {
            let words = name.as_chunks::<8>().0.iter().zip(known.as_chunks::<8>().0);
            let unlike = |one: &[u8; 8], other: &[u8; 8]| {
                u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other)
            };
            words.fold(unlike(end, known_end), |all, (one, other)| all | unlike(one, other)) & !CASE
        }
        _ => {
            let bytes = name.iter().zip(known);
            u64::from(bytes.fold(0, |all, (one, other)| all | (one ^ other)) & !0x20)
        }
    };
    unlike == 0
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn every_name_is_recognised_in_any_case() {
        for name in Name::ALL {
            let text = name.text();
            assert_eq!(Name::recognise(text.as_bytes()), *name, "{text}");
            assert_eq!(Name::recognise(text.to_ascii_uppercase().as_bytes()), *name, "{text}");
            assert_eq!(Name::recognise(text.to_ascii_lowercase().as_bytes()), *name, "{text}");
        }
        assert!(Name::ALL.len() < 64, "the set of names is kept in 64 bits");
    }

    #[test]
    fn near_misses_are_other_names() {
        for name in ["", "Hos", "Hostx", "Content_Length", "X-Forwarded-Fort", "Content-Lengtg"] {
            assert_eq!(Name::recognise(name.as_bytes()), Name::Other, "{name}");
        }
    }
}
