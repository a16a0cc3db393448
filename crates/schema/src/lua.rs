//! Values as Kong's messages show them: as Lua tables.

use serde_json::Value;

/// On one line: `{a="x",b={id="U"},["c-d"]=1}`, keys sorted, arrays without indices, `null` bare.
pub fn table(value: &Value) -> String {
    let mut out = String::new();
    write(value, None, &mut out);
    out
}

/// Over several lines, two blanks per level: what Kong prints for violations that lie deeper than
/// one level.
pub fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, Some(0), &mut out);
    out
}

fn write(value: &Value, level: Option<usize>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(s) => quote(s, out),
        Value::Array(items) => {
            let hole = items.iter().position(Value::is_null).unwrap_or(items.len());
            let entries = items.iter().enumerate().filter(|(_, item)| !item.is_null());
            braces(level, out, entries, |(at, item), level, out| {
                if at > hole {
                    out.push_str(&format!("[{}]{}", at + 1, equals(level)));
                }
                write(item, level, out);
            });
        }
        Value::Object(members) => braces(level, out, members, |(key, member), level, out| {
            if is_identifier(key) {
                out.push_str(key);
            } else {
                out.push('[');
                quote(key, out);
                out.push(']');
            }
            out.push_str(equals(level));
            write(member, level, out);
        }),
    }
}

fn braces<I: IntoIterator>(
    level: Option<usize>,
    out: &mut String,
    entries: I,
    each: impl Fn(I::Item, Option<usize>, &mut String),
) {
    let inner = level.map(|level| level + 1);
    let mut first = true;
    out.push('{');
    for entry in entries {
        if !first {
            out.push(',');
        }
        first = false;
        new_line(inner, out);
        each(entry, inner, out);
    }
    if !first {
        new_line(level, out);
    }
    out.push('}');
}

fn new_line(level: Option<usize>, out: &mut String) {
    if let Some(level) = level {
        out.push('\n');
        out.push_str(&"  ".repeat(level));
    }
}

fn equals(level: Option<usize>) -> &'static str {
    if level.is_some() { " = " } else { "=" }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn is_identifier(key: &str) -> bool {
    const KEYWORDS: [&str; 22] = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if",
        "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
    ];
    let mut chars = key.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !KEYWORDS.contains(&key)
}

#[cfg(test)]
mod tests;
