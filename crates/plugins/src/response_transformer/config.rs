//! The configuration of `response-transformer`.

use schema::Field;

use crate::pairs;

schema::choice! {
    /// What a value in JSON is.
    pub(super) enum JsonType {
        /// `true`; every other text is false.
        Boolean = "boolean",
        /// A number; a text that is none is passed over.
        Number = "number",
        /// Text.
        String = "string",
    }
}

schema::record! {
    /// What is taken away.
    pub(super) struct Remove {
        /// Members of the JSON body.
        pub(super) json: Vec<String> = pairs::names(),
        /// Header fields.
        pub(super) headers: Vec<String> = pairs::names(),
    }
}

schema::record! {
    /// What is given another name, as `old:new`.
    pub(super) struct Rename {
        /// Members of the JSON body.
        pub(super) json: Vec<String> = pairs::field(),
        /// Header fields.
        pub(super) headers: Vec<String> = pairs::renamed_headers(),
    }
}

schema::record! {
    /// What is given a value, as `name:value`.
    pub(super) struct Values {
        /// Members of the JSON body.
        pub(super) json: Vec<String> = pairs::field(),
        /// What the values of `json` are, each in its place; text where there is none.
        pub(super) json_types: Vec<JsonType> =
            Field::array(Field::string().one_of(JsonType::WORDS))
                .required()
                .default(Vec::<String>::new()),
        /// Header fields.
        pub(super) headers: Vec<String> = pairs::field(),
    }
}

schema::record! {
    /// Changes answers on their way to the client. The operations run in this order: remove,
    /// rename, replace, add, append.
    pub(super) struct Config {
        /// What is taken away.
        pub(super) remove: Remove = Field::record(Remove::record().clone()),
        /// What is given another name.
        pub(super) rename: Rename = Field::record(Rename::record().clone()),
        /// What is given another value where it is present.
        pub(super) replace: Values = Field::record(Values::record().clone()),
        /// What is added where it is absent.
        pub(super) add: Values = Field::record(Values::record().clone()),
        /// What is given one more value.
        pub(super) append: Values = Field::record(Values::record().clone()),
    }
}
