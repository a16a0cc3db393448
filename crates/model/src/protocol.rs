//! Protocols.

schema::choice! {
    /// What is spoken with a client or an upstream.
    pub enum Protocol {
        /// gRPC without TLS.
        Grpc = "grpc",
        /// gRPC with TLS.
        Grpcs = "grpcs",
        /// HTTP without TLS.
        Http = "http",
        /// HTTP with TLS.
        Https = "https",
        /// Bytes over TCP.
        Tcp = "tcp",
        /// Bytes over TLS that is ended here.
        Tls = "tls",
        /// TLS that is passed on unopened.
        TlsPassthrough = "tls_passthrough",
        /// Datagrams.
        Udp = "udp",
    }
}
