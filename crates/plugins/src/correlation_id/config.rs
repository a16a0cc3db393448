//! The configuration of `correlation-id`.

use schema::Field;

schema::choice! {
    /// How an id is made.
    pub(super) enum Generator {
        /// A random UUID for every request.
        Uuid = "uuid",
        /// One UUID and a number that grows with every request.
        Counter = "uuid#counter",
        /// The addresses of the connection, the request and the time.
        Tracker = "tracker",
    }
}

schema::record! {
    /// Gives every request an id.
    pub(super) struct Config {
        /// The header field that holds the id.
        pub(super) header_name: String = Field::string().default("Kong-Request-ID"),
        /// How an id is made.
        pub(super) generator: Generator =
            Field::string().one_of(Generator::WORDS).required().default("uuid#counter"),
        /// Whether the client is told the id, too.
        pub(super) echo_downstream: bool = Field::boolean().required().default(false),
    }
}
