//! The configuration of `ip-restriction`.

use model::types;
use schema::Field;

schema::record! {
    /// Lets clients pass by their address.
    pub(super) struct Config {
        /// Only clients of these addresses or networks pass.
        pub(super) allow: Option<Vec<String>> = Field::array(types::ip_or_cidr()),
        /// Clients of these addresses or networks do not pass; asked before `allow`.
        pub(super) deny: Option<Vec<String>> = Field::array(types::ip_or_cidr()),
        /// The status of a refusal; 403 unless set.
        pub(super) status: Option<f64> = Field::number().optional(),
        /// The message of a refusal; names the address unless set.
        pub(super) message: Option<String> = Field::string().optional(),
    }
}
