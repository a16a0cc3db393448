//! Vaults: where references to secrets are looked up.

use std::sync::Arc;

use schema::{Field, Object, Record, Subschema};
use uuid::Uuid;

use crate::types;

schema::record! {
    /// Where references to secrets (`{vault://prefix/name}`) are looked up.
    pub struct Vault in "vaults" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// The name by which references say which vault they mean.
        pub prefix: String = Field::string()
            .required()
            .unique()
            .not_one_of(["env"])
            .matches("^[a-z][a-z0-9-]*[a-z0-9]$"),
        /// The kind of vault.
        pub name: String = Field::string().required(),
        /// What it is for.
        pub description: Option<String> = Field::string(),
        /// How its kind is set up.
        pub config: Object = Field::subschema(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
    rules |record| rules(record)
}

schema::record! {
    /// A vault that is the process's environment.
    pub struct EnvVault {
        /// What the names of its variables begin with.
        pub prefix: Option<String> = Field::string().matches("^[A-Za-z_-][A-Za-z0-9_-]*$"),
    }
}

fn rules(record: Record) -> Record {
    let env = Subschema::new().field("config", Field::record(EnvVault::record().clone()));
    record.subschemas("name", vec![("env", Arc::new(env))], |name| {
        format!("vault '{name}' is not installed")
    })
}

#[cfg(test)]
mod tests;
