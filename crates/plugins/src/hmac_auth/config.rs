//! The configuration of `hmac-auth`.

use schema::Field;

pub(super) const ALGORITHMS: [&str; 4] = ["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"];

schema::record! {
    /// Clients prove who they are by signing their requests with a shared secret.
    pub(super) struct Config {
        /// Whether the signature is kept from the upstream.
        pub(super) hide_credentials: bool = Field::boolean().required().default(false),
        /// How far the client's date may be from now, in seconds.
        pub(super) clock_skew: f64 = Field::number().default(300).greater_than(0),
        /// The id or username of the consumer that a client without a good signature becomes;
        /// without one, it is refused.
        pub(super) anonymous: Option<String> = Field::string(),
        /// Whether the field `Digest` must fit the body.
        pub(super) validate_request_body: bool = Field::boolean().required().default(false),
        /// The header fields that must be signed.
        pub(super) enforce_headers: Option<Vec<String>> =
            Field::array(Field::string()).default(Vec::<String>::new()),
        /// How a request may be signed.
        pub(super) algorithms: Option<Vec<String>> =
            Field::array(Field::string().one_of(ALGORITHMS)).default(ALGORITHMS.to_vec()),
        /// The realm of the challenge.
        pub(super) realm: Option<String> = Field::string().optional(),
    }
}
