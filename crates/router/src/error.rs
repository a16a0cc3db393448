//! Why a route cannot be served.

/// A route that cannot be compiled; the message says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A route without any condition.
    #[error(
        "the route has no condition; set at least one of methods, hosts, paths, headers, snis, sources, destinations or expression"
    )]
    NoCondition,
    /// A pattern that the regular expression engine does not take.
    #[error("the regular expression '{pattern}' cannot be used: {reason}")]
    Regex {
        /// The pattern as configured.
        pattern: String,
        /// What the engine says.
        reason: String,
    },
    /// An expression that does not parse, or that compares what cannot be compared.
    #[error("the expression cannot be used: {0}")]
    Expression(String),
    /// An expression route where the flavor knows none.
    #[error(
        "the route is an expression; the traditional router has none, set router_flavor to expressions"
    )]
    Flavor,
}
