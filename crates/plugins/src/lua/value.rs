//! What expressions are about.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// A value of Lua.
#[derive(Clone)]
pub(crate) enum Value<'v> {
    /// Nothing.
    Nil,
    /// True or false.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// Text: any bytes.
    Text(Cow<'v, [u8]>),
    /// A list, named members, or both.
    Table(Rc<Table<'v>>),
    /// What is looked up when it is asked for: a place in a source.
    Source(&'v dyn Source, Place),
    /// A function of the library.
    Function(Function),
}

/// A function of the library. Fails with the reason.
pub(super) type Function = for<'v> fn(&[Value<'v>]) -> Result<Value<'v>, String>;

/// Which of its tables and functions a source is asked for; what the numbers mean is its own
/// business.
pub(crate) type Place = usize;

/// The place that free names are members of.
pub(crate) const ROOT: Place = 0;

/// Tables whose members are found when they are asked for, and functions.
pub(crate) trait Source {
    /// The member of this name or number of the table at a place.
    fn get<'v>(&'v self, at: Place, key: &Value<'_>) -> Value<'v>;

    /// What the function at a place gives; what is none cannot be called.
    fn call<'v>(&'v self, at: Place, arguments: &[Value<'v>]) -> Option<Value<'v>> {
        let _ = (at, arguments);
        None
    }
}

/// A table that is all there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table<'v> {
    /// The members 1, 2, 3…
    pub(crate) list: Vec<Value<'v>>,
    /// The members with names.
    pub(crate) named: BTreeMap<Vec<u8>, Value<'v>>,
}

impl<'v> Value<'v> {
    /// A text.
    pub(crate) fn text(text: &'v (impl AsRef<[u8]> + ?Sized)) -> Value<'v> {
        Value::Text(Cow::Borrowed(text.as_ref()))
    }

    /// A text, or nothing.
    pub(crate) fn text_or_nil(text: Option<&'v (impl AsRef<[u8]> + ?Sized)>) -> Value<'v> {
        text.map_or(Value::Nil, Value::text)
    }

    /// Nothing for no value, the value for one, a list for several: how fields and arguments that
    /// may be repeated are seen.
    pub(crate) fn one_or_list(mut values: Vec<Value<'v>>) -> Value<'v> {
        match values.len() {
            0 => Value::Nil,
            1 => values.swap_remove(0),
            _ => Value::Table(Rc::new(Table { list: values, named: BTreeMap::new() })),
        }
    }

    /// Whether it counts as true: all but nothing and false does.
    pub(crate) fn is_true(&self) -> bool {
        !matches!(self, Value::Nil | Value::Boolean(false))
    }

    /// What `type` says.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Boolean(_) => "boolean",
            Value::Number(_) => "number",
            Value::Text(_) => "string",
            Value::Table(_) | Value::Source(..) => "table",
            Value::Function(_) => "function",
        }
    }

    /// It as text, if it is text or a number.
    pub(crate) fn as_text(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number_text(*number).into_bytes())),
            _ => None,
        }
    }

    /// It as a number, if it is one or a text of one.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Text(text) => number(text),
            _ => None,
        }
    }

    /// It as JSON; none for nothing and for what JSON does not have.
    pub(crate) fn to_json(&self) -> Option<serde_json::Value> {
        Some(match self {
            Value::Nil | Value::Source(..) | Value::Function(_) => return None,
            Value::Boolean(boolean) => (*boolean).into(),
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                serde_json::Value::from(*number as i64)
            }
            Value::Number(number) => serde_json::Number::from_f64(*number)?.into(),
            Value::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
            Value::Table(table) if table.named.is_empty() && !table.list.is_empty() => {
                table.list.iter().filter_map(Value::to_json).collect()
            }
            Value::Table(table) => {
                let list = table.list.iter().enumerate();
                let numbered = list.map(|(at, value)| ((at + 1).to_string(), value));
                let named = table.named.iter();
                let named = named.map(|(name, v)| (String::from_utf8_lossy(name).into_owned(), v));
                let members = numbered.chain(named);
                members.filter_map(|(name, value)| Some((name, value.to_json()?))).collect()
            }
        })
    }
}

impl<'v> Table<'v> {
    /// The member of this name or number.
    pub(crate) fn get(&self, key: &Value<'_>) -> Value<'v> {
        let found = match key {
            Value::Text(name) => self.named.get(&**name),
            Value::Number(number) if number.fract() == 0.0 && *number >= 1.0 => {
                self.list.get(*number as usize - 1)
            }
            _ => None,
        };
        found.cloned().unwrap_or(Value::Nil)
    }
}

impl fmt::Debug for Value<'_> {
    /// Leaves out what the value is, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// The number that a text is, as Lua reads it: decimal or hexadecimal, blanks around it.
pub(crate) fn number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text),
    };
    if let Some(digits) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok().map(|whole| sign * whole as f64);
    }
    // Rust also reads words such as "inf".
    let is_decimal = digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if !is_decimal || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    digits.parse::<f64>().ok().map(|number| sign * number)
}

/// A number as Lua writes it: `%.14g` of C.
pub(crate) fn number_text(number: f64) -> String {
    const DIGITS: i32 = 14;
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:.13e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or_default();
        return trimmed(&format!("{number:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}
