//! The functions of Lua that expressions may call: those of strings that need no patterns.

use std::borrow::Cow;

use super::value::{Function, Place, Source, Value};

/// The global functions, and `string`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Library;

/// The longest text that is made by repeating one.
const LONGEST: usize = 1 << 20;

/// The table `string`.
const STRINGS: Place = 1;

impl Source for Library {
    fn get<'v>(&'v self, at: Place, key: &Value<'_>) -> Value<'v> {
        let Value::Text(name) = key else { return Value::Nil };
        if at == STRINGS {
            return of_strings(name).map_or(Value::Nil, Value::Function);
        }
        match &**name {
            b"type" => Value::Function(kind),
            b"tostring" => Value::Function(to_text),
            b"tonumber" => Value::Function(to_number),
            b"string" => Value::Source(self, STRINGS),
            _ => Value::Nil,
        }
    }
}

/// The function of that name for strings.
pub(super) fn of_strings(name: &[u8]) -> Option<Function> {
    let function: Function = match name {
        b"len" => length,
        b"lower" => lower,
        b"upper" => upper,
        b"reverse" => reversed,
        b"sub" => part,
        b"rep" => repeated,
        _ => return None,
    };
    Some(function)
}

fn owned<'v>(text: Vec<u8>) -> Value<'v> {
    Value::Text(Cow::Owned(text))
}

fn text<'a>(given: &'a [Value<'_>], at: usize) -> Result<Cow<'a, [u8]>, String> {
    let value = given.get(at);
    value.and_then(Value::as_text).ok_or_else(|| bad(at, "string", value))
}

fn whole(given: &[Value<'_>], at: usize) -> Result<i64, String> {
    let value = given.get(at);
    value
        .and_then(Value::as_number)
        .map(|number| number as i64)
        .ok_or_else(|| bad(at, "number", value))
}

fn bad(at: usize, expected: &str, value: Option<&Value<'_>>) -> String {
    let got = value.map_or("no value", Value::kind);
    format!("bad argument #{} ({expected} expected, got {got})", at + 1)
}

fn kind<'v>(given: &[Value<'v>]) -> Result<Value<'v>, String> {
    let value = given.first().ok_or_else(|| bad(0, "value", None))?;
    Ok(Value::text(value.kind()))
}

fn to_text<'v>(given: &[Value<'v>]) -> Result<Value<'v>, String> {
    let value = given.first().ok_or_else(|| bad(0, "value", None))?;
    Ok(match value {
        Value::Nil => Value::text("nil"),
        Value::Boolean(true) => Value::text("true"),
        Value::Boolean(false) => Value::text("false"),
        other => match other.as_text() {
            Some(text) => owned(text.into_owned()),
            None => return Err(format!("a {} cannot be written as text here", other.kind())),
        },
    })
}

fn to_number<'v>(given: &[Value<'v>]) -> Result<Value<'v>, String> {
    let value = given.first().ok_or_else(|| bad(0, "value", None))?;
    Ok(value.as_number().map_or(Value::Nil, Value::Number))
}

fn length<'v>(given: &[Value<'v>]) -> Result<Value<'v>, String> {
    Ok(Value::Number(text(given, 0)?.len() as f64))
}

fn lower<'v>(given: &[Value<'v>]) -> Result<Value<'v>, String> {
    Ok(owned(text(given, 0)?.to_ascii_lowercase()))
}

fn upper<'v>(given: &[Value<'v>]) -> Result<Value<'v>, String> {
    Ok(owned(text(given, 0)?.to_ascii_uppercase()))
}

fn reversed<'v>(given: &[Value<'v>]) -> Result<Value<'v>, String> {
    Ok(owned(text(given, 0)?.iter().rev().copied().collect()))
}

/// `string.sub`: places count from 1, negative ones from the end.
fn part<'v>(given: &[Value<'v>]) -> Result<Value<'v>, String> {
    let text = text(given, 0)?;
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let place = |at: i64| if at < 0 { length.saturating_add(at).saturating_add(1) } else { at };
    let from = place(whole(given, 1)?).max(1);
    let to = match given.get(2) {
        None | Some(Value::Nil) => length,
        Some(_) => place(whole(given, 2)?).min(length),
    };
    if from > to {
        return Ok(owned(Vec::new()));
    }
    let (from, to) = (usize::try_from(from - 1), usize::try_from(to));
    let range = from.unwrap_or_default()..to.unwrap_or_default();
    Ok(owned(text.get(range).unwrap_or_default().to_vec()))
}

fn repeated<'v>(given: &[Value<'v>]) -> Result<Value<'v>, String> {
    let text = text(given, 0)?;
    let times = usize::try_from(whole(given, 1)?.max(0)).unwrap_or(usize::MAX);
    if text.len().saturating_mul(times) > LONGEST {
        return Err("resulting string too large".to_owned());
    }
    Ok(owned(text.repeat(times)))
}
