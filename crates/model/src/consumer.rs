//! Consumers: who sends requests.

use schema::Field;
use uuid::Uuid;

use crate::types;

schema::record! {
    /// Who sends requests: a user or an application.
    pub struct Consumer in "consumers" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// A unique name.
        pub username: Option<String> = Field::string().unique(),
        /// Its unique name in another system.
        pub custom_id: Option<String> = Field::string().unique(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
    rules |record| record.at_least_one_of(&["custom_id", "username"])
}

#[cfg(test)]
mod tests;
