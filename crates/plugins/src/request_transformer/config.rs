//! The configuration of `request-transformer`.

use model::types;
use schema::Field;

use super::template::Template;
use crate::pairs;

schema::record! {
    /// What is taken away.
    pub(super) struct Remove {
        /// Members of the body: of JSON, of a form, parts of `multipart/form-data`.
        pub(super) body: Vec<String> = pairs::names(),
        /// Header fields. `Host` stays.
        pub(super) headers: Vec<String> = pairs::names(),
        /// Arguments of the query.
        pub(super) querystring: Vec<String> = pairs::names(),
    }
}

schema::record! {
    /// What is given another name where it is present, as `old:new`.
    pub(super) struct Rename {
        /// Members of the body.
        pub(super) body: Vec<String> = values(),
        /// Header fields.
        pub(super) headers: Vec<String> = pairs::renamed_headers(),
        /// Arguments of the query.
        pub(super) querystring: Vec<String> = values(),
    }
}

schema::record! {
    /// What is given another value where it is present, as `name:value`.
    pub(super) struct Replace {
        /// Members of the body.
        pub(super) body: Vec<String> = values(),
        /// Header fields, and `Host`.
        pub(super) headers: Vec<String> = pairs::headers(),
        /// Arguments of the query.
        pub(super) querystring: Vec<String> = values(),
        /// The path that the upstream is asked for; the query stays.
        pub(super) uri: Option<String> = Field::string(),
    }
}

schema::record! {
    /// What is given a value, as `name:value`.
    pub(super) struct Values {
        /// Members of the body. In JSON the value becomes text.
        pub(super) body: Vec<String> = values(),
        /// Header fields.
        pub(super) headers: Vec<String> = pairs::headers(),
        /// Arguments of the query.
        pub(super) querystring: Vec<String> = values(),
    }
}

schema::record! {
    /// Changes requests on their way to the upstream. The parts change in this order: path, method,
    /// headers, body, query; within each: remove, rename, replace, add, append.
    ///
    /// Values may hold templates: `$(headers.x_name)`, `$(query_params['q'] or 'none')`,
    /// `$(uri_captures.group)`, `$(uri_captures[1])`. What is between the parentheses is an expression
    /// of Lua, about the request as it came; what is nothing or false becomes empty text, and one
    /// that fails answers 500.
    pub(super) struct Config {
        /// The method that the upstream gets. With GET, HEAD or TRACE the members of a form are
        /// added to the query.
        pub(super) http_method: Option<String> = types::http_method(),
        /// What is taken away.
        pub(super) remove: Remove = Field::record(Remove::record().clone()),
        /// What is given another name.
        pub(super) rename: Rename = Field::record(Rename::record().clone()),
        /// What is given another value where it is present.
        pub(super) replace: Replace = Field::record(Replace::record().clone()),
        /// What is added where it is absent.
        pub(super) add: Values = Field::record(Values::record().clone()),
        /// What is given one more value; parts of `multipart/form-data` are not.
        pub(super) append: Values = Field::record(Values::record().clone()),
    }
}

/// A list of names, each with a value that may be a template.
fn values() -> Field {
    let pair = Field::string().check(|text| {
        let (name, value) = pair(text);
        if value.is_empty() {
            return Err(format!("key '{name}' has no value"));
        }
        match Template::new(value).fault() {
            None => Ok(()),
            Some(fault) => {
                Err(format!("value '{value}' is not in supported format, error:{fault}"))
            }
        }
    });
    Field::array(pair).required().default(Vec::<String>::new())
}

/// Name and value: what is before the first colon, and behind it and those that follow at once.
pub(super) fn pair(text: &str) -> (&str, &str) {
    let (name, value) = pairs::split(text);
    (name, value.trim_start_matches(':'))
}
