//! The field names that a gateway looks at, recognised once when a head is read.

/// Declares the names in order of length, which is how they are told apart.
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
        let candidates: &[Name] = match name.len() {
            2 => &[Name::Te],
            3 => &[Name::Via],
            4 => &[Name::Host, Name::Date],
            5 => &[Name::Proxy],
            6 => &[Name::Accept, Name::Cookie, Name::Server, Name::Expect],
            7 => &[Name::Upgrade, Name::Trailer],
            8 => &[Name::Location],
            9 => &[Name::XRealIp],
            10 => &[Name::Connection, Name::UserAgent, Name::SetCookie, Name::KeepAlive],
            12 => &[Name::ContentType],
            13 => &[Name::Authorization],
            14 => &[Name::ContentLength],
            15 => &[Name::XForwardedFor],
            16 => &[
                Name::XForwardedHost,
                Name::XForwardedPath,
                Name::XForwardedPort,
                Name::ProxyConnection,
            ],
            17 => &[
                Name::XForwardedProto,
                Name::TransferEncoding,
                Name::XKongRequestId,
                Name::XAccelBuffering,
            ],
            18 => &[Name::XForwardedPrefix],
            20 => &[Name::XKongProxyLatency],
            22 => &[Name::XKongUpstreamStatus],
            23 => &[Name::XKongUpstreamLatency, Name::XKongResponseLatency],
            _ => &[],
        };
        candidates
            .iter()
            .copied()
            .find(|candidate| is_same(name, candidate.text().as_bytes()))
            .unwrap_or(Name::Other)
    }

    /// The bit of this name in the set of names that a head has; none for [`Name::Other`].
    pub(crate) const fn bit(self) -> u64 {
        match self {
            Name::Other => 0,
            known => 1 << known as u8,
        }
    }
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
        _ => u64::from(
            name.iter().zip(known).fold(0, |all, (one, other)| all | (one ^ other)) & !0x20,
        ),
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
