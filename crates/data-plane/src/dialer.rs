//! Connections for plugins, by `upstream`.

use std::time::Duration;

use plugin::{Connection, Destination, DialError, Dialing};
use upstream::{Connector, ConnectorError};

/// Opens connections for plugins, with the gateway's own name resolution.
#[derive(Debug)]
pub(crate) struct Dialer(pub(crate) Connector);

impl plugin::Dialer for Dialer {
    fn dial<'a>(&'a self, to: &'a Destination, limit: Duration) -> Dialing<'a> {
        Box::pin(async move {
            let told = |error: ConnectorError| DialError(error.to_string());
            let secured =
                to.tls.as_ref().map(|tls| Connector::secured(&tls.server_name, tls.verify));
            let secured = secured.transpose().map_err(told)?;
            let opened = self.0.connect(&to.host, to.port, secured.as_ref(), limit).await;
            opened.map(|stream| Box::new(stream) as Box<dyn Connection>).map_err(told)
        })
    }
}
