//! The configuration of `key-auth`.

use model::types;
use schema::Field;

schema::record! {
    /// Clients prove who they are by a key.
    pub(super) struct Config {
        /// The names under which a key is looked for, in this order, in headers, query and body.
        pub(super) key_names: Vec<String> =
            Field::array(types::header_name()).required().default(vec!["apikey"]),
        /// Whether the key is kept from the upstream.
        pub(super) hide_credentials: bool = Field::boolean().required().default(false),
        /// The id or username of the consumer that a client without a good key becomes; without
        /// one, it is refused.
        pub(super) anonymous: Option<String> = Field::string(),
        /// Whether headers are looked at.
        pub(super) key_in_header: bool = Field::boolean().required().default(true),
        /// Whether the query is looked at.
        pub(super) key_in_query: bool = Field::boolean().required().default(true),
        /// Whether the body (a form or JSON) is looked at.
        pub(super) key_in_body: bool = Field::boolean().required().default(false),
        /// Whether `OPTIONS` requests need a key, too.
        pub(super) run_on_preflight: bool = Field::boolean().required().default(true),
        /// The realm of the challenge.
        pub(super) realm: Option<String> = Field::string().optional(),
    }
}
