//! Whether a matched route takes the request as it came.

/// What of a request and its route decides. The protocols are those of the route.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// The route's protocols hold `http`.
    pub route_http: bool,
    /// The route's protocols hold `https`.
    pub route_https: bool,
    /// The route's protocols hold `grpc`.
    pub route_grpc: bool,
    /// The route's protocols hold `grpcs`.
    pub route_grpcs: bool,
    /// The client's side is HTTPS: by `X-Forwarded-Proto` if the peer is trusted, else really.
    pub https: bool,
    /// The request's content type begins with `application/grpc`.
    pub grpc: bool,
    /// The request came as HTTP/2.
    pub http2: bool,
}

/// What to do with a request whose route was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go on.
    Pass,
    /// The route wants HTTPS: answer with the route's `https_redirect_status_code`; 426 says
    /// `Please use HTTPS protocol`, the others redirect.
    NeedsHttps,
    /// A gRPC request that is not HTTP/2: 426, `Please use HTTP2 protocol`.
    NeedsHttp2,
    /// A gRPC route and no gRPC request: 415, `Non-gRPC request matched gRPC route`.
    NotGrpc,
    /// The route wants gRPC over TLS: gRPC status 1, `gRPC request matched gRPCs route`.
    NeedsGrpcs,
}

/// Decides in Kong's order. `protocols` is no condition of a match (except in the `expressions`
/// flavor), so that a plain request to an HTTPS route can be told so.
pub fn admit(arrival: &Arrival) -> Admission {
    let a = arrival;
    if a.route_https && !a.route_http && !a.https {
        return Admission::NeedsHttps;
    }
    if a.route_grpc || a.route_grpcs {
        if !a.grpc {
            return Admission::NotGrpc;
        }
        if !a.http2 {
            return Admission::NeedsHttp2;
        }
        if !a.route_grpc && !a.https {
            return Admission::NeedsGrpcs;
        }
    }
    Admission::Pass
}

#[cfg(test)]
mod tests {
    use super::{Admission, Arrival, admit};

    #[test]
    fn decides_in_kongs_order() {
        let https_only = Arrival { route_https: true, ..Arrival::default() };
        let both = Arrival { route_http: true, ..https_only };
        let grpcs = Arrival { route_grpcs: true, grpc: true, http2: true, ..Arrival::default() };
        for (arrival, admission) in [
            (https_only, Admission::NeedsHttps),
            (Arrival { https: true, ..https_only }, Admission::Pass),
            (both, Admission::Pass),
            (grpcs, Admission::NeedsGrpcs),
            (Arrival { https: true, ..grpcs }, Admission::Pass),
            (Arrival { route_grpc: true, ..grpcs }, Admission::Pass),
            (Arrival { http2: false, ..grpcs }, Admission::NeedsHttp2),
            (Arrival { grpc: false, http2: false, ..grpcs }, Admission::NotGrpc),
        ] {
            assert_eq!(admit(&arrival), admission, "{arrival:?}");
        }
    }
}
