//! `bench-pingora LISTEN BACKEND`: one thread, one backend, the header fields of a gateway.
#![forbid(unsafe_code)]

use std::time::Instant;

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Balancer {
    backend: String,
}

struct Request {
    begun: Instant,
    id: String,
}

#[async_trait]
impl ProxyHttp for Balancer {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        let begun = Instant::now();
        Request { begun, id: format!("{:032x}", std::ptr::from_ref(&begun).addr()) }
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Request) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.backend.as_str(), false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Request,
    ) -> Result<()> {
        let client = session.client_addr().map(ToString::to_string).unwrap_or_default();
        let path = session.req_header().uri.path().to_owned();
        let host = session.get_header("host").and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default().to_owned();
        for (name, value) in [
            ("X-Forwarded-For", client.as_str()),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", host.as_str()),
            ("X-Forwarded-Port", "80"),
            ("X-Forwarded-Path", path.as_str()),
            ("X-Real-IP", client.as_str()),
            ("Via", "1.1 pingora"),
            ("X-Request-Id", context.id.as_str()),
        ] {
            request.insert_header(name, value)?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Request,
    ) -> Result<()> {
        let took = context.begun.elapsed().as_millis().to_string();
        for (name, value) in [
            ("X-Upstream-Latency", took.as_str()),
            ("X-Proxy-Latency", "0"),
            ("Via", "1.1 pingora"),
            ("X-Request-Id", context.id.as_str()),
        ] {
            response.insert_header(name, value)?;
        }
        Ok(())
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(backend)) = (arguments.next(), arguments.next()) else {
        eprintln!("bench-pingora LISTEN BACKEND");
        std::process::exit(2);
    };
    let configuration =
        ServerConf { threads: 1, upstream_keepalive_pool_size: 2000, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Balancer { backend });
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
