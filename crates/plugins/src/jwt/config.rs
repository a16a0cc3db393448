//! The configuration of `jwt`.

use schema::{Field, Subschema};

schema::choice! {
    /// A claim that can be verified.
    pub(super) enum Claim {
        /// When the token expires.
        Exp = "exp",
        /// When it begins to be valid.
        Nbf = "nbf",
    }
}

schema::record! {
    /// Clients prove who they are by a signed token.
    pub(super) struct Config {
        /// The query arguments that a token may be in.
        pub(super) uri_param_names: Option<Vec<String>> =
            Field::set(Field::string()).default(vec!["jwt"]),
        /// The cookies that a token may be in.
        pub(super) cookie_names: Option<Vec<String>> =
            Field::set(Field::string()).default(Vec::<String>::new()),
        /// The claim that names the credential; looked for in the payload, then in the header of
        /// the token.
        pub(super) key_claim_name: Option<String> = Field::string().default("iss"),
        /// Whether the secrets of credentials are kept as base64.
        pub(super) secret_is_base64: bool = Field::boolean().required().default(false),
        /// The claims that are verified.
        pub(super) claims_to_verify: Option<Vec<Claim>> =
            Field::set(Field::string().one_of(Claim::WORDS)),
        /// The id or username of the consumer that a client without a good token becomes; without
        /// one, it is refused.
        pub(super) anonymous: Option<String> = Field::string(),
        /// Whether `OPTIONS` requests need a token, too.
        pub(super) run_on_preflight: bool = Field::boolean().required().default(true),
        /// The longest time that a token may be valid from now, in seconds; 0 for any.
        pub(super) maximum_expiration: Option<f64> =
            Field::number().default(0).between(0, 31_536_000),
        /// The header fields that a token may be in, behind `Bearer`.
        pub(super) header_names: Option<Vec<String>> =
            Field::set(Field::string()).default(vec!["authorization"]),
        /// The realm of the challenge.
        pub(super) realm: Option<String> = Field::string().optional(),
    }
}

/// Adds the rule between fields: who limits the expiration has it verified.
pub(super) fn rules(subschema: Subschema) -> Subschema {
    subschema.conditional(
        "config.maximum_expiration",
        |f| f.greater_than(0),
        "config.claims_to_verify",
        |f| f.contains("exp"),
    )
}
