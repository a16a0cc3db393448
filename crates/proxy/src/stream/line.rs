//! How a line of the access log of streams looks.

use std::{io::Write, net::SocketAddr};

use settings::AccessLogFormat;

use crate::{
    access_log::write_seconds,
    date::Date,
    log_line::{Named, write_common_time, write_rfc3339, write_text},
};

/// What the access log tells of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// When it ended, as HTTP writes it.
    pub(crate) date: [u8; Date::LENGTH],
    pub(crate) client: SocketAddr,
    pub(crate) protocol: &'static str,
    /// The name of the TLS handshake.
    pub(crate) sni: Option<&'a str>,
    pub(crate) status: u16,
    /// Bytes from the client.
    pub(crate) received: u64,
    /// Bytes to the client.
    pub(crate) sent: u64,
    /// How long it lasted, in milliseconds.
    pub(crate) session_ms: u64,
    /// The last target tried.
    pub(crate) target: Option<SocketAddr>,
    /// Attempts to reach a target.
    pub(crate) tries: usize,
    pub(crate) route: Option<Named<'a>>,
    pub(crate) service: Option<Named<'a>>,
    /// Why there was none.
    pub(crate) failure: Option<&'a str>,
}

impl Line<'_> {
    /// Appends the line.
    pub(crate) fn write(&self, format: AccessLogFormat, out: &mut Vec<u8>) {
        match format {
            AccessLogFormat::Combined => self.write_basic(out),
            AccessLogFormat::Json => self.write_json(out),
        }
    }

    /// Kong's format `basic`: `client [time] protocol status sent received session_time`.
    fn write_basic(&self, out: &mut Vec<u8>) {
        // Writing to memory does not fail, here and below.
        let _ = write!(out, "{} [", self.client.ip());
        write_common_time(&self.date, out);
        let protocol = if self.protocol == "udp" { "UDP" } else { "TCP" };
        let _ = write!(out, "] {protocol} {} {} {} ", self.status, self.sent, self.received);
        write_seconds(out, self.session_ms);
        out.push(b'\n');
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        write_rfc3339(&self.date, out);
        let _ = write!(
            out,
            "\",\"client\":\"{}\",\"protocol\":\"{}\",\"status\":{},\"sent_bytes\":{},\"received_bytes\":{},\"session_s\":",
            self.client.ip(),
            self.protocol,
            self.status,
            self.sent,
            self.received
        );
        write_seconds(out, self.session_ms);
        if let Some(sni) = self.sni {
            write_text(out, "sni", sni.as_bytes());
        }
        if let Some(target) = self.target {
            let _ = write!(out, ",\"target\":\"{target}\",\"tries\":{}", self.tries);
        }
        for (key, entity) in [("route", self.route), ("service", self.service)] {
            if let Some(entity) = entity {
                entity.write(key, out);
            }
        }
        if let Some(reason) = self.failure {
            write_text(out, "reason", reason.as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use settings::AccessLogFormat;
    use uuid::Uuid;

    use super::Line;
    use crate::log_line::Named;

    fn line(format: AccessLogFormat) -> String {
        let line = Line {
            date: *b"Sun, 06 Nov 1994 08:49:37 GMT",
            client: "10.0.0.5:4000".parse().unwrap(),
            protocol: "tls",
            sni: Some("a\"b"),
            status: 502,
            received: 10,
            sent: 20,
            session_ms: 1234,
            target: Some("10.0.0.9:5432".parse().unwrap()),
            tries: 2,
            route: Some(Named { name: Some("db"), id: Uuid::nil() }),
            service: Some(Named { name: None, id: Uuid::nil() }),
            failure: Some("connect_failed"),
        };
        let mut out = Vec::new();
        line.write(format, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn basic_is_kongs() {
        assert_eq!(
            line(AccessLogFormat::Combined),
            "10.0.0.5 [06/Nov/1994:08:49:37 +0000] TCP 502 20 10 1.234\n"
        );
    }

    #[test]
    fn json_is_one_object() {
        let value: serde_json::Value = serde_json::from_str(&line(AccessLogFormat::Json)).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "time": "1994-11-06T08:49:37Z", "client": "10.0.0.5", "protocol": "tls", "status": 502,
                "sent_bytes": 20, "received_bytes": 10, "session_s": 1.234, "sni": "a\"b",
                "target": "10.0.0.9:5432", "tries": 2, "route": "db",
                "service": "00000000-0000-0000-0000-000000000000", "reason": "connect_failed",
            })
        );
    }
}
