//! The configuration of `cors`.

use schema::Field;

const METHODS: [&str; 9] =
    ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

schema::record! {
    /// Lets pages of other origins use an API.
    pub(super) struct Config {
        /// Origins that may: `*`, an origin, or a regular expression; all when absent.
        pub(super) origins: Option<Vec<String>> =
            Field::array(Field::string().check(super::origins::check)),
        /// The header fields that a request may have; when absent, those that it asks for.
        pub(super) headers: Option<Vec<String>> = Field::array(Field::string()),
        /// The header fields of an answer that a page may read.
        pub(super) exposed_headers: Option<Vec<String>> = Field::array(Field::string()),
        /// The methods that a request may have.
        pub(super) methods: Option<Vec<String>> =
            Field::array(Field::string().one_of(METHODS)).default(METHODS.to_vec()),
        /// How long a browser may remember the answer to a preflight request, in seconds.
        pub(super) max_age: Option<serde_json::Number> = Field::number(),
        /// Whether a page may send cookies and other credentials.
        pub(super) credentials: bool = Field::boolean().required().default(false),
        /// Whether a public page may use a private network's API.
        pub(super) private_network: bool = Field::boolean().required().default(false),
        /// Whether preflight requests are sent on to the upstream.
        pub(super) preflight_continue: bool = Field::boolean().required().default(false),
    }
}
