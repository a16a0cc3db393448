//! The configuration of `basic-auth`.

use schema::Field;

schema::record! {
    /// Clients prove who they are by a username and a password.
    pub(super) struct Config {
        /// The id or username of the consumer that a client without good credentials becomes;
        /// without one, it is refused.
        pub(super) anonymous: Option<String> = Field::string(),
        /// Whether the credentials are kept from the upstream.
        pub(super) hide_credentials: bool = Field::boolean().required().default(false),
        /// The realm of the challenge.
        pub(super) realm: String = Field::string().required().default("service"),
    }
}
