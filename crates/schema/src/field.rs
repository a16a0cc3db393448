//! One field: its type, whether it must be there, its default and its rules.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::record::Record;
use crate::rule::Rule;
use crate::violations::Violation;

/// What a field holds.
#[derive(Clone, Debug)]
pub enum Type {
    /// Text.
    String,
    /// Any number.
    Number,
    /// A number without a fraction (`1.0` is one).
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Values in order.
    Array(Box<Field>),
    /// Values in order; repetitions are dropped.
    Set(Box<Field>),
    /// Keys that the writer chooses, to values.
    Map {
        /// What a key must be.
        keys: Box<Field>,
        /// What a value must be.
        values: Box<Field>,
    },
    /// Named members.
    Record(Box<Record>),
    /// The primary key of another entity: `{"id": …}`.
    Foreign {
        /// Kong's name of the other entity's collection.
        entity: &'static str,
        /// What deleting the other entity means for this one.
        on_delete: DeleteRule,
    },
    /// A record whose members are known only with the record's subschema (a plugin's `config`).
    Abstract,
    /// Any JSON.
    Json,
}

/// What deleting an entity means for the entities that refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRule {
    /// The deletion is refused.
    Restrict,
    /// They are deleted, too.
    Cascade,
}

/// The declaration of one field. Made by a constructor (`Field::string()`), refined by builders.
#[derive(Clone, Debug)]
pub struct Field {
    pub(crate) kind: Type,
    pub(crate) required: bool,
    pub(crate) default: Option<Value>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) error: Option<&'static str>,
    pub(crate) must_be_null: bool,
    pub(crate) auto: bool,
    pub(crate) unique: bool,
    pub(crate) referenceable: bool,
    pub(crate) encrypted: bool,
    pub(crate) may_be_empty: bool,
    pub(crate) unvalidated: bool,
    pub(crate) extension: bool,
    pub(crate) further: Vec<Value>,
    pub(crate) description: Option<String>,
    pub(crate) attributes: BTreeMap<&'static str, Value>,
}

impl Field {
    fn new(kind: Type) -> Field {
        Field {
            kind,
            required: false,
            default: None,
            rules: Vec::new(),
            error: None,
            must_be_null: false,
            auto: false,
            unique: false,
            referenceable: false,
            encrypted: false,
            may_be_empty: false,
            unvalidated: false,
            extension: false,
            further: Vec::new(),
            description: None,
            attributes: BTreeMap::new(),
        }
    }

    /// Text of at least one character (see [`Field::may_be_empty`]).
    pub fn string() -> Field {
        Field::new(Type::String)
    }

    /// Any number.
    pub fn number() -> Field {
        Field::new(Type::Number)
    }

    /// A number without a fraction.
    pub fn integer() -> Field {
        Field::new(Type::Integer)
    }

    /// `true` or `false`.
    pub fn boolean() -> Field {
        Field::new(Type::Boolean)
    }

    /// Values in order.
    pub fn array(elements: Field) -> Field {
        Field::new(Type::Array(Box::new(elements.required())))
    }

    /// Values in order, of which repetitions are dropped.
    pub fn set(elements: Field) -> Field {
        Field::new(Type::Set(Box::new(elements.required())))
    }

    /// Keys that the writer chooses, to values.
    pub fn map(keys: Field, values: Field) -> Field {
        Field::new(Type::Map {
            keys: Box::new(keys.required()),
            values: Box::new(values.required()),
        })
    }

    /// A nested record. As in Kong it is required unless [`Field::optional`]: absent, it is made
    /// of the defaults of its members.
    pub fn record(record: Record) -> Field {
        Field::new(Type::Record(Box::new(record))).required()
    }

    /// A reference to an entity whose deletion is refused while this one refers to it.
    pub fn foreign(entity: &'static str) -> Field {
        Field::new(Type::Foreign { entity, on_delete: DeleteRule::Restrict })
    }

    /// The deletion of the referred entity deletes this one, too.
    pub fn cascade(mut self) -> Field {
        if let Type::Foreign { on_delete, .. } = &mut self.kind {
            *on_delete = DeleteRule::Cascade;
        }
        self
    }

    /// A record whose members the subschema declares.
    pub fn subschema() -> Field {
        Field::new(Type::Abstract).required()
    }

    /// Any JSON value.
    pub fn json() -> Field {
        Field::new(Type::Json)
    }

    /// Neither absent (without default) nor null.
    pub fn required(mut self) -> Field {
        self.required = true;
        self
    }

    /// May be null; what a nested record is not by itself.
    pub fn optional(mut self) -> Field {
        self.required = false;
        self
    }

    /// The value of an absent field. Explicit null stays null.
    pub fn default(mut self, value: impl Into<Value>) -> Field {
        self.default = Some(value.into());
        self
    }

    /// Generated when absent: ids, secrets, times.
    pub fn auto(mut self) -> Field {
        self.auto = true;
        self
    }

    /// No two entities have the same value.
    pub fn unique(mut self) -> Field {
        self.unique = true;
        self
    }

    /// May be a reference to a secret, `{vault://…}`; then no rule looks at it.
    pub fn referenceable(mut self) -> Field {
        self.referenceable = true;
        self
    }

    /// A secret (Kong stores it encrypted where it can); not shown in logs.
    pub fn encrypted(mut self) -> Field {
        self.encrypted = true;
        self
    }

    /// The empty string is accepted.
    pub fn may_be_empty(mut self) -> Field {
        self.may_be_empty = true;
        self
    }

    /// Must be null: what a subschema says of a field that makes no sense with it.
    pub fn must_be_null(mut self) -> Field {
        self.must_be_null = true;
        self
    }

    /// Whatever is given is replaced, so it is not looked at.
    pub fn unvalidated(mut self) -> Field {
        self.unvalidated = true;
        self
    }

    /// A field that Kong does not have: where it is not used, no answer shows it, and `/schemas`
    /// is silent about it; null is the same as absent.
    pub fn extension(mut self) -> Field {
        self.extension = true;
        self
    }

    /// A value that Kong does not have, beside those of [`Field::one_of`]: accepted, and shown
    /// neither in violations nor in `/schemas`.
    pub fn further(mut self, value: impl Into<Value>) -> Field {
        self.further.push(value.into());
        self
    }

    /// The text of the violation of any of this field's rules, in place of the rule's own.
    pub fn error(mut self, text: &'static str) -> Field {
        self.error = Some(text);
        self
    }

    /// What the field is for; empty text leaves what is there.
    pub fn about(mut self, text: &str) -> Field {
        let text = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let text = text.trim();
        if !text.is_empty() {
            self.description = Some(text.to_owned());
        }
        self
    }

    /// A further attribute of the field in the `/schemas` output that means nothing here.
    pub fn attribute(mut self, name: &'static str, value: impl Into<Value>) -> Field {
        self.attributes.insert(name, value.into());
        self
    }

    /// A rule for the value. Rules run in Kong's order, whatever the order in which they are
    /// added; a later rule of the same sort replaces an earlier one.
    pub fn rule(mut self, rule: Rule) -> Field {
        self.rules.retain(|other| other.rank() != rule.rank());
        self.rules.push(rule);
        self.rules.sort_by_key(Rule::rank);
        self
    }

    /// A number within bounds, both included.
    pub fn between(
        self,
        low: impl Into<serde_json::Number>,
        high: impl Into<serde_json::Number>,
    ) -> Field {
        self.rule(Rule::Between(low.into(), high.into()))
    }

    /// A number above a bound.
    pub fn greater_than(self, limit: impl Into<serde_json::Number>) -> Field {
        self.rule(Rule::GreaterThan(limit.into()))
    }

    /// One of these values.
    pub fn one_of<V: Into<Value>>(self, options: impl IntoIterator<Item = V>) -> Field {
        self.rule(Rule::OneOf(options.into_iter().map(Into::into).collect()))
    }

    /// None of these values.
    pub fn not_one_of<V: Into<Value>>(self, options: impl IntoIterator<Item = V>) -> Field {
        self.rule(Rule::NotOneOf(options.into_iter().map(Into::into).collect()))
    }

    /// Exactly this value.
    pub fn equal(self, value: impl Into<Value>) -> Field {
        self.rule(Rule::Equal(value.into()))
    }

    /// Anything but this value.
    pub fn not_equal(self, value: impl Into<Value>) -> Field {
        self.rule(Rule::NotEqual(value.into()))
    }

    /// At least this many characters, items or members.
    pub fn length_at_least(self, length: usize) -> Field {
        self.rule(Rule::LengthAtLeast(length))
    }

    /// At most this many characters, items or members.
    pub fn length_at_most(self, length: usize) -> Field {
        self.rule(Rule::LengthAtMost(length))
    }

    /// Exactly this many characters, items or members.
    pub fn length(self, length: usize) -> Field {
        self.rule(Rule::Length(length))
    }

    /// Text that begins with this.
    pub fn starts_with(self, prefix: &'static str) -> Field {
        self.rule(Rule::StartsWith(prefix))
    }

    /// Text that matches the regular expression.
    ///
    /// # Panics
    /// When a declaration's expression does not compile; every record is built in a test.
    pub fn matches(self, expression: &str) -> Field {
        self.rule(Rule::Matches(Rule::expression(expression)))
    }

    /// Text that does not match the regular expression.
    ///
    /// # Panics
    /// As [`Field::matches`].
    pub fn matches_not(self, expression: &str) -> Field {
        self.rule(Rule::MatchesNot(Rule::expression(expression)))
    }

    /// Text that matches none of the regular expressions, each with the text of its violation.
    ///
    /// # Panics
    /// As [`Field::matches`].
    pub fn matches_none(self, expressions: &[(&str, &'static str)]) -> Field {
        let compiled = expressions.iter().map(|(e, text)| (Rule::expression(e), *text));
        self.rule(Rule::MatchesNone(compiled.collect()))
    }

    /// Text that matches all of the regular expressions, each with the text of its violation.
    ///
    /// # Panics
    /// As [`Field::matches`].
    pub fn matches_all(self, expressions: &[(&str, &'static str)]) -> Field {
        let compiled = expressions.iter().map(|(e, text)| (Rule::expression(e), *text));
        self.rule(Rule::MatchesAll(compiled.collect()))
    }

    /// A list that has this item.
    pub fn contains(self, item: impl Into<Value>) -> Field {
        self.rule(Rule::Contains(item.into()))
    }

    /// A UUID.
    pub fn uuid(self) -> Field {
        self.rule(Rule::Uuid)
    }

    /// A time: a number above 0.
    pub fn timestamp(self) -> Field {
        self.rule(Rule::Timestamp)
    }

    /// A regular expression that compiles.
    pub fn regex(self) -> Field {
        self.rule(Rule::Regex)
    }

    /// A rule of its own for text; the error is the text of the violation.
    pub fn check(self, check: fn(&str) -> Result<(), String>) -> Field {
        self.rule(Rule::CheckText(check))
    }

    /// A rule of its own for any value.
    pub fn check_value(self, check: fn(&Value) -> Result<(), Violation>) -> Field {
        self.rule(Rule::CheckValue(check))
    }

    /// A set whose members all come from one of these groups.
    pub fn mutually_exclusive_subsets(self, groups: &[&[&'static str]]) -> Field {
        self.rule(Rule::ExclusiveSubsets(groups.iter().map(|g| g.to_vec()).collect()))
    }

    /// Another rule for the items of this array or set.
    pub fn elements(mut self, refine: impl FnOnce(Field) -> Field) -> Field {
        if let Type::Array(elements) | Type::Set(elements) = &mut self.kind {
            **elements = refine((**elements).clone()).required();
        }
        self
    }

    /// Another rule for the keys of this map.
    pub fn keys(mut self, refine: impl FnOnce(Field) -> Field) -> Field {
        if let Type::Map { keys, .. } = &mut self.kind {
            **keys = refine((**keys).clone()).required();
        }
        self
    }

    /// The type.
    pub fn kind(&self) -> &Type {
        &self.kind
    }

    /// Whether no two entities may have the same value.
    pub fn is_unique(&self) -> bool {
        self.unique
    }

    /// Whether the value is a secret.
    pub fn is_secret(&self) -> bool {
        self.encrypted
    }

    /// Whether null is refused.
    pub fn is_required(&self) -> bool {
        self.required
    }
}
