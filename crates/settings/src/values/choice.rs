//! Values that are one word of a few.

use crate::syntax::{Shown, Syntax, invalid, items, shown_list};

/// Declares an enumeration and the syntax that reads it.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])+
        $name:ident as $syntax:ident {
            $($(#[doc = $variant_doc:literal])+ $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $name {
            /// The word in the file.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<$name, String> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err(invalid(text, &[$($word),+].join(", "))),
                }
            }
        }

        pub(crate) const $syntax: Syntax<$name> = Syntax {
            what: concat!("one of", $(" ", $word),+),
            parse: |text| text.parse(),
            show: |value| Shown::Text(value.as_str().to_owned()),
        };
    };
}

choice! {
    /// Where the control plane keeps entities.
    Database as DATABASE {
        /// A file under `data_dir`; one control plane.
        Sqlite = "sqlite",
        /// A PostgreSQL server; any number of control planes.
        Postgres = "postgres",
        /// None: entities come from `declarative_config` or are loaded through `/config`, and are
        /// not changed one by one.
        Off = "off",
    }
}

choice! {
    /// Who belongs to the cluster.
    ClusterMtls as CLUSTER_MTLS {
        /// Whoever shows the one certificate that all share.
        Shared = "shared",
        /// Whoever shows a certificate of the cluster's authority.
        Pki = "pki",
    }
}

choice! {
    /// Which log lines are written; Kong's levels.
    LogLevel as LOG_LEVEL {
        /// Everything.
        Debug = "debug",
        /// What Weir and its libraries do.
        Info = "info",
        /// What Weir does.
        Notice = "notice",
        /// What should be looked at.
        Warn = "warn",
        /// What failed.
        Error = "error",
        /// As `error`.
        Crit = "crit",
        /// As `error`.
        Alert = "alert",
        /// As `error`.
        Emerg = "emerg",
    }
}

choice! {
    /// How a log line looks.
    LogFormat as LOG_FORMAT {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// How routes are written and matched.
    RouterFlavor as ROUTER_FLAVOR {
        /// Fields (hosts, paths…), matched as Kong 3.x does.
        TraditionalCompatible = "traditional_compatible",
        /// Fields, matched as Kong 2.x did.
        Traditional = "traditional",
        /// Kong's expression language.
        Expressions = "expressions",
    }
}

choice! {
    /// How a line of the access log looks.
    AccessLogFormat as ACCESS_LOG_FORMAT {
        /// nginx' combined format with the request's id behind it, as Kong has it.
        Combined = "combined",
        /// One JSON object.
        Json = "json",
    }
}

choice! {
    /// How the order of routes that match the same request is calculated.
    RouteMatchCalculation as ROUTE_MATCH_CALCULATION {
        /// As Kong 3.9 really does.
        Original = "original",
        /// As Kong documents.
        Strict = "strict",
    }
}

choice! {
    /// Whether a TLS client must show a certificate; nginx's `ssl_verify_client`.
    VerifyClient as VERIFY_CLIENT {
        /// None is asked for.
        Off = "off",
        /// It must.
        On = "on",
        /// It may; one that is shown must be right.
        Optional = "optional",
    }
}

choice! {
    /// Where the client's address is read from when a trusted proxy stands in front.
    RealIpHeader as REAL_IP_HEADER {
        /// The `X-Real-IP` header.
        XRealIp = "X-Real-IP",
        /// The `X-Forwarded-For` header.
        XForwardedFor = "X-Forwarded-For",
        /// The PROXY protocol's address.
        ProxyProtocol = "proxy_protocol",
    }
}

choice! {
    /// How strict TLS with clients is; Mozilla's recommendations of these names.
    CipherSuite as CIPHER_SUITE {
        /// TLS 1.3 only.
        Modern = "modern",
        /// TLS 1.2 and 1.3, forward secret and authenticated ciphers.
        Intermediate = "intermediate",
        /// As `ssl_protocols` and `ssl_ciphers` say.
        Custom = "custom",
    }
}

choice! {
    /// A version of TLS.
    TlsVersion as TLS_VERSION {
        /// RFC 5246.
        Tls12 = "TLSv1.2",
        /// RFC 8446.
        Tls13 = "TLSv1.3",
    }
}

/// Separated by spaces, as in nginx' files, or by commas.
pub(crate) const TLS_VERSIONS: Syntax<Vec<TlsVersion>> = Syntax {
    what: "one or both of TLSv1.2 TLSv1.3",
    parse: |text| {
        let words = text.split([' ', ',']).filter(|word| !word.is_empty());
        let versions: Vec<_> = words.map(TLS_VERSION.parse).collect::<Result<_, _>>()?;
        if versions.is_empty() {
            Err("must name at least one version".to_owned())
        } else {
            Ok(versions)
        }
    },
    show: |value| Shown::Text(value.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(" ")),
};

choice! {
    /// A type of DNS record to ask for.
    DnsOrder as DNS_RECORD {
        /// The type that answered last time.
        Last = "LAST",
        /// Service records.
        Srv = "SRV",
        /// IPv4 addresses.
        A = "A",
        /// IPv6 addresses.
        Aaaa = "AAAA",
        /// Aliases.
        Cname = "CNAME",
    }
}

pub(crate) const DNS_ORDER: Syntax<Vec<DnsOrder>> = Syntax {
    what: "a list of LAST, SRV, A, AAAA, CNAME",
    parse: |text| {
        let order: Vec<DnsOrder> = items(text)
            .map(|item| (DNS_RECORD.parse)(&item.to_ascii_uppercase()))
            .collect::<Result<_, _>>()?;
        if order.is_empty() {
            Err("must name at least one type of record".to_owned())
        } else {
            Ok(order)
        }
    },
    show: |value| shown_list(value),
};
