//! The configuration of `request-size-limiting`.

use schema::Field;

schema::choice! {
    /// What a size is counted in.
    pub(super) enum Unit {
        /// 1,048,576 bytes.
        Megabytes = "megabytes",
        /// 1,024 bytes.
        Kilobytes = "kilobytes",
        /// Bytes.
        Bytes = "bytes",
    }
}

impl Unit {
    pub(super) fn bytes(self) -> u64 {
        match self {
            Unit::Megabytes => 1 << 20,
            Unit::Kilobytes => 1 << 10,
            Unit::Bytes => 1,
        }
    }
}

schema::record! {
    /// Refuses requests whose body is too long.
    pub(super) struct Config {
        /// The longest body that passes, in `size_unit`.
        pub(super) allowed_payload_size: i64 = Field::integer().default(128),
        /// What `allowed_payload_size` is counted in.
        pub(super) size_unit: Unit =
            Field::string().required().default("megabytes").one_of(Unit::WORDS),
        /// Whether a request must say how long its body is.
        pub(super) require_content_length: bool = Field::boolean().required().default(false),
    }
}
