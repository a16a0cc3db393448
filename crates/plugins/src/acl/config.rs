//! The configuration of `acl`.

use schema::Field;

schema::record! {
    /// Lets consumers pass by the groups that they belong to.
    pub(super) struct Config {
        /// Only consumers of one of these groups pass.
        pub(super) allow: Option<Vec<String>> = Field::array(Field::string()),
        /// Consumers of one of these groups do not pass.
        pub(super) deny: Option<Vec<String>> = Field::array(Field::string()),
        /// Whether the upstream is not told the groups.
        pub(super) hide_groups_header: bool = Field::boolean().required().default(false),
        /// Whether groups that an authentication plugin vouches for are used in place of the
        /// consumer's own.
        pub(super) always_use_authenticated_groups: bool =
            Field::boolean().required().default(false),
    }
}
