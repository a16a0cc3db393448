//! An ordered list of fields, the rules between them, and what depends on one field's value.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::Object;
use crate::check::{Check, Conditional, ConditionalAtLeastOneOf, CustomCheck};
use crate::field::{Field, Type};
use crate::shorthand::Shorthand;
use crate::surroundings::Surroundings;
use crate::transformation::Transformation;

/// The declaration of an entity, of a plugin's configuration, or of a record within one.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub(crate) name: &'static str,
    pub(crate) description: Option<String>,
    pub(crate) fields: Vec<(&'static str, Field)>,
    pub(crate) index: BTreeMap<&'static str, usize>,
    pub(crate) shorthands: Vec<Shorthand>,
    pub(crate) checks: Vec<Check>,
    pub(crate) subschemas: Option<Subschemas>,
    pub(crate) settle: Option<fn(&mut Object)>,
    pub(crate) transformations: Vec<Transformation>,
}

/// What a record looks like depends on the value of one of its fields.
#[derive(Clone, Debug)]
pub struct Subschemas {
    pub(crate) key: &'static str,
    pub(crate) source: Source,
    pub(crate) unknown: fn(&str) -> String,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Fixed(Vec<(&'static str, Arc<Subschema>)>),
    Surroundings,
}

/// What one value of the subschema key changes: fields that take the place of the record's fields
/// of the same name, and further rules.
#[derive(Clone, Debug, Default)]
pub struct Subschema {
    pub(crate) fields: BTreeMap<&'static str, Field>,
    pub(crate) checks: Vec<Check>,
}

impl Record {
    /// A record without fields. `name` is Kong's name of the collection, empty for a record
    /// within another.
    pub fn new(name: &'static str) -> Record {
        Record { name, ..Record::default() }
    }

    /// What the record is for.
    pub fn about(mut self, text: &str) -> Record {
        let text = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        self.description = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        self
    }

    /// Adds a field, or replaces the one of that name in its place.
    pub fn field(mut self, name: &'static str, field: Field) -> Record {
        let name = name.strip_prefix("r#").unwrap_or(name);
        match self.index.get(name) {
            Some(at) => self.fields[*at].1 = field,
            None => {
                self.index.insert(name, self.fields.len());
                self.fields.push((name, field));
            }
        }
        self
    }

    /// Takes fields away: what another flavor of the entity does not have.
    pub fn without(mut self, names: &[&str]) -> Record {
        self.fields.retain(|(name, _)| !names.contains(name));
        self.index = self.fields.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
        self
    }

    /// Accepts an input that is not a field and stands for others. Shorthands are expanded in the
    /// order in which they are added.
    pub fn shorthand(mut self, shorthand: Shorthand) -> Record {
        self.shorthands.push(shorthand);
        self
    }

    /// Adds a rule between fields.
    pub fn rule(mut self, check: Check) -> Record {
        self.checks.push(check);
        self
    }

    /// At least one of the fields must be non-empty.
    pub fn at_least_one_of(self, fields: &[&'static str]) -> Record {
        self.rule(Check::AtLeastOneOf(fields.to_vec()))
    }

    /// Exactly one of the fields must be non-empty.
    pub fn only_one_of(self, fields: &[&'static str]) -> Record {
        self.rule(Check::OnlyOneOf(fields.to_vec()))
    }

    /// At most one of the fields may be non-empty.
    pub fn mutually_exclusive(self, fields: &[&'static str]) -> Record {
        self.rule(Check::MutuallyExclusive(fields.to_vec()))
    }

    /// All of the fields must be non-empty, or none.
    pub fn mutually_required(self, fields: &[&'static str]) -> Record {
        self.rule(Check::MutuallyRequired(fields.to_vec()))
    }

    /// Fields of the one set and fields of the other may not both be non-empty.
    pub fn mutually_exclusive_sets(self, one: &[&'static str], other: &[&'static str]) -> Record {
        self.rule(Check::MutuallyExclusiveSets(one.to_vec(), other.to_vec()))
    }

    /// No two of the fields may have the same non-empty value.
    pub fn distinct(self, fields: &[&'static str]) -> Record {
        self.rule(Check::Distinct(fields.to_vec()))
    }

    /// When the one field fits, the other must fit, too. Both are the declared fields, refined:
    /// `conditional("hash_on", |f| f.equal("header"), "hash_on_header", Field::required)`.
    pub fn conditional(
        self,
        if_field: &'static str,
        if_match: impl FnOnce(Field) -> Field,
        then_field: &'static str,
        then_match: impl FnOnce(Field) -> Field,
    ) -> Record {
        let check = Conditional {
            if_match: if_match(self.declared(if_field)),
            then_match: then_match(self.declared(then_field)),
            if_field,
            then_field,
            text: None,
        };
        self.rule(Check::Conditional(Box::new(check)))
    }

    /// As [`Record::conditional`], with the text of the violation.
    pub fn conditional_or(
        self,
        if_field: &'static str,
        if_match: impl FnOnce(Field) -> Field,
        then_field: &'static str,
        then_match: impl FnOnce(Field) -> Field,
        text: &'static str,
    ) -> Record {
        let check = Conditional {
            if_match: if_match(self.declared(if_field)),
            then_match: then_match(self.declared(then_field)),
            if_field,
            then_field,
            text: Some(text),
        };
        self.rule(Check::Conditional(Box::new(check)))
    }

    /// A rule of the declaration's own.
    pub fn check(self, check: CustomCheck) -> Record {
        self.rule(Check::Custom(check))
    }

    /// Brings the fields of a valid object in line with each other: normal forms, values that
    /// follow from others. Doing it twice must change nothing.
    pub fn settle(mut self, settle: fn(&mut Object)) -> Record {
        self.settle = Some(settle);
        self
    }

    /// Changes what was written before it is stored.
    pub fn transformation(mut self, transformation: Transformation) -> Record {
        self.transformations.push(transformation);
        self
    }

    /// The value of `key` decides what else holds: the first of its values that is named here.
    /// `unknown` is the violation of `key` when none is.
    pub fn subschemas(
        mut self,
        key: &'static str,
        named: Vec<(&'static str, Arc<Subschema>)>,
        unknown: fn(&str) -> String,
    ) -> Record {
        self.subschemas = Some(Subschemas { key, source: Source::Fixed(named), unknown });
        self
    }

    /// As [`Record::subschemas`], looked up with [`Surroundings::subschema`].
    pub fn subschemas_by_name(mut self, key: &'static str, unknown: fn(&str) -> String) -> Record {
        self.subschemas = Some(Subschemas { key, source: Source::Surroundings, unknown });
        self
    }

    /// The subschema of that name, where the record itself lists them.
    pub fn named_subschema(&self, name: &str) -> Option<&Subschema> {
        match &self.subschemas.as_ref()?.source {
            Source::Fixed(named) => named.iter().find(|(n, _)| *n == name).map(|(_, s)| &**s),
            Source::Surroundings => None,
        }
    }

    /// Kong's name of the collection; empty for a record within another.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is for.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &Field)> {
        self.fields.iter().map(|(name, field)| (*name, field))
    }

    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.index.get(name).and_then(|at| self.fields.get(*at)).map(|(_, field)| field)
    }

    /// The field of that dotted name, through nested records.
    pub fn get_path(&self, path: &str) -> Option<&Field> {
        match path.split_once('.') {
            None => self.get(path),
            Some((head, rest)) => self.get(head)?.member(rest),
        }
    }

    /// What the record looks like for that value of its subschema key, if it is fixed.
    pub fn subschema(&self, name: &str) -> Option<&Subschema> {
        match &self.subschemas.as_ref()?.source {
            Source::Fixed(named) => named.iter().find(|(n, _)| *n == name).map(|(_, s)| &**s),
            Source::Surroundings => None,
        }
    }

    /// What the object's value of the subschema key adds, if anything.
    pub(crate) fn subschema_of<'a>(
        &'a self,
        object: &Object,
        around: &'a dyn Surroundings,
    ) -> Option<&'a Subschema> {
        let subschemas = self.subschemas.as_ref()?;
        let find = |name: &str| match &subschemas.source {
            Source::Fixed(_) => self.subschema(name),
            Source::Surroundings => around.subschema(self.name, name),
        };
        match object.get(subschemas.key)? {
            Value::String(name) => find(name),
            Value::Array(names) => names.iter().filter_map(Value::as_str).find_map(find),
            _ => None,
        }
    }

    /// The fields in order, as the subschema has them.
    pub(crate) fn each<'a>(
        &'a self,
        subschema: Option<&'a Subschema>,
    ) -> impl Iterator<Item = (&'static str, &'a Field)> {
        self.fields.iter().map(move |(name, field)| {
            (*name, subschema.and_then(|s| s.fields.get(name)).unwrap_or(field))
        })
    }

    /// The declared field to refine for a rule; a rule about a field that is not declared looks
    /// at any JSON.
    fn declared(&self, path: &str) -> Field {
        self.get_path(path).cloned().unwrap_or_else(Field::json)
    }
}

impl Field {
    /// The member of that dotted name, if this is a record.
    pub(crate) fn member(&self, path: &str) -> Option<&Field> {
        match self.kind() {
            Type::Record(record) => record.get_path(path),
            _ => None,
        }
    }
}

impl Subschema {
    /// A subschema that changes nothing.
    pub fn new() -> Subschema {
        Subschema::default()
    }

    /// A field in place of the record's one of that name.
    pub fn field(mut self, name: &'static str, field: Field) -> Subschema {
        self.fields.insert(name, field);
        self
    }

    /// A further rule between fields.
    pub fn rule(mut self, check: Check) -> Subschema {
        self.checks.push(check);
        self
    }

    /// When a field fits, at least one of some fields must be non-empty.
    pub fn conditional_at_least_one_of(self, check: ConditionalAtLeastOneOf) -> Subschema {
        self.rule(Check::ConditionalAtLeastOneOf(Box::new(check)))
    }

    /// At least one of the fields must be non-empty (`config.minute`, `config.hour`).
    pub fn at_least_one_of(self, fields: &[&'static str]) -> Subschema {
        self.rule(Check::AtLeastOneOf(fields.to_vec()))
    }

    /// A rule of the declaration's own.
    pub fn check(self, check: CustomCheck) -> Subschema {
        self.rule(Check::Custom(check))
    }

    /// As [`Record::conditional`], among the subschema's own fields (`config.policy`).
    pub fn conditional(
        self,
        if_field: &'static str,
        if_match: impl FnOnce(Field) -> Field,
        then_field: &'static str,
        then_match: impl FnOnce(Field) -> Field,
    ) -> Subschema {
        let check = Conditional {
            if_match: if_match(self.declared(if_field)),
            then_match: then_match(self.declared(then_field)),
            if_field,
            then_field,
            text: None,
        };
        self.rule(Check::Conditional(Box::new(check)))
    }

    /// The field that it declares, by dotted name.
    pub fn get_path(&self, path: &str) -> Option<&Field> {
        match path.split_once('.') {
            None => self.fields.get(path),
            Some((head, rest)) => self.fields.get(head)?.member(rest),
        }
    }

    fn declared(&self, path: &str) -> Field {
        self.get_path(path).cloned().unwrap_or_else(Field::json)
    }
}

/// Declares a typed struct and the [`Record`] that it mirrors.
///
/// ```ignore
/// schema::record! {
///     /// Where requests are sent.
///     pub struct Service in "services" {
///         /// Unique name.
///         pub name: Option<String> = utf8_name(),
///         /// How often a failed request is tried again.
///         pub retries: Option<u32> = Field::integer().between(0, 32767).default(5),
///     }
///     rules |record| record.at_least_one_of(&["name", "retries"])
/// }
/// ```
/// `Service` deserialises from a processed object, `Service::record()` is the declaration. Doc
/// comments become descriptions. `in "…"` (Kong's name of the collection) is left out for a record
/// within another, the `rules` part when there is nothing to add.
#[macro_export]
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        $visibility:vis struct $name:ident $(in $collection:literal)? {
            $(
                $(#[doc = $field_doc:literal])*
                $field_visibility:vis $field:ident : $type:ty = $declaration:expr
            ),* $(,)?
        }
        $(rules |$record:ident| $rules:expr)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, ::serde::Deserialize, ::serde::Serialize)]
        $visibility struct $name {
            $( $(#[doc = $field_doc])* $field_visibility $field: $type, )*
        }

        impl $name {
            /// The declaration that this struct mirrors.
            $visibility fn record() -> &'static $crate::Record {
                static RECORD: ::std::sync::LazyLock<$crate::Record> =
                    ::std::sync::LazyLock::new(|| {
                        let record = $crate::Record::new(concat!("" $(, $collection)?))
                            .about(concat!("" $(, $doc, "\n")*));
                        $(
                            let record = record.field(
                                stringify!($field),
                                $declaration.about(concat!("" $(, $field_doc, "\n")*)),
                            );
                        )*
                        $(
                            let $record = record;
                            let record = $rules;
                        )?
                        record
                    });
                &RECORD
            }
        }
    };
}
