//! Does an answer match what a scenario expects, placeholders included?

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};

/// The differences between `expected` (a scenario's `expect`) and what was `seen`.
pub(super) fn compare(expected: &Value, seen: &Value, place: &str) -> Vec<String> {
    let mut found = Differences { place, problems: Vec::new() };
    for (part, want) in expected.as_object().into_iter().flatten() {
        match part.as_str() {
            "headers" => found.headers(want, &seen["headers"]),
            "upstream" => found.upstream(want, seen),
            "lines" => found.lines(want, seen["text"].as_str().unwrap_or_default()),
            _ => found.same(want, seen.get(part), part),
        }
    }
    found.problems
}

struct Differences<'a> {
    place: &'a str,
    problems: Vec<String>,
}

impl Differences<'_> {
    fn headers(&mut self, want: &Value, got: &Value) {
        for (name, value) in want.as_object().into_iter().flatten() {
            self.same(value, got.get(name), &format!("header {name}"));
        }
    }

    fn upstream(&mut self, want: &Value, seen: &Value) {
        let Some(got) = seen.get("upstream").filter(|got| !got.is_null()) else {
            self.add(format!("the request did not reach a backend: {}", short(seen)));
            return;
        };
        let body: Vec<u8> =
            got["body"].as_str().unwrap_or_default().chars().map(|c| c as u32 as u8).collect();
        for (key, value) in want.as_object().into_iter().flatten() {
            match key.as_str() {
                "body_json" => {
                    let parsed = serde_json::from_slice::<Value>(&body).ok();
                    self.same(value, parsed.as_ref(), "upstream body");
                }
                "body_form" => {
                    let mut pairs: Vec<(String, String)> =
                        form_urlencoded::parse(&body).into_owned().collect();
                    pairs.sort();
                    self.same(value, Some(&json!(pairs)), "upstream body");
                }
                _ => self.same(value, got.get(key), &format!("upstream {key}")),
            }
        }
    }

    fn lines(&mut self, want: &Value, text: &str) {
        for line in want.as_array().into_iter().flatten() {
            if !text.lines().any(|other| matches(line, &json!(other))) {
                self.add(format!("no line like {}", short(line)));
            }
        }
    }

    fn same(&mut self, want: &Value, got: Option<&Value>, path: &str) {
        if let Some(ok) = want.as_str().and_then(|mark| placeholder(mark, got)) {
            if !ok {
                self.differ(want, got, path);
            }
            return;
        }
        let missing = Value::Null;
        let value = got.unwrap_or(&missing);
        match (want, value) {
            (Value::Object(fields), _) if fields.contains_key("<contains>") => {
                for item in fields["<contains>"].as_array().into_iter().flatten() {
                    if !value.as_array().is_some_and(|all| all.iter().any(|o| matches(item, o))) {
                        self.add(format!(
                            "{path}: no element like {} in {}",
                            short(item),
                            short(value)
                        ));
                    }
                }
            }
            (Value::Object(fields), _) if fields.contains_key("<unordered>") => {
                self.unordered(&fields["<unordered>"], value, path);
            }
            (Value::Object(wanted), Value::Object(fields)) => {
                for (key, inner) in wanted.iter().filter(|(key, _)| *key != "<more>") {
                    let inside = format!("{path}.{key}");
                    if inner.is_null() && !fields.contains_key(key) {
                        self.add(format!("{inside}: expected null, got nothing"));
                    } else {
                        self.same(inner, fields.get(key), &inside);
                    }
                }
                if wanted.get("<more>").is_none_or(|more| more == &json!(false)) {
                    for (key, extra) in fields.iter().filter(|(key, _)| !wanted.contains_key(*key))
                    {
                        self.add(format!("{path}.{key}: unexpected {}", short(extra)));
                    }
                }
            }
            (Value::Array(wanted), Value::Array(items)) => {
                if wanted.len() != items.len() {
                    self.differ(want, got, path);
                    return;
                }
                for (index, (w, g)) in wanted.iter().zip(items).enumerate() {
                    self.same(w, Some(g), &format!("{path}[{index}]"));
                }
            }
            (Value::String(text), Value::String(other)) => {
                if text != other && !pattern_matches(text, other) {
                    self.differ(want, got, path);
                }
            }
            (Value::Number(a), Value::Number(b)) => {
                if a.as_f64() != b.as_f64() {
                    self.differ(want, got, path);
                }
            }
            _ => {
                if want != value {
                    self.differ(want, got, path);
                }
            }
        }
    }

    fn unordered(&mut self, want: &Value, got: &Value, path: &str) {
        let wanted = want.as_array().cloned().unwrap_or_default();
        let mut left: Vec<&Value> = got.as_array().into_iter().flatten().collect();
        if !got.is_array() || left.len() != wanted.len() {
            self.add(format!("{path}: expected {} in any order, got {}", short(want), short(got)));
            return;
        }
        for item in &wanted {
            match left.iter().position(|other| matches(item, other)) {
                Some(index) => {
                    left.swap_remove(index);
                }
                None => {
                    self.add(format!("{path}: no element like {} in {}", short(item), short(got)));
                    return;
                }
            }
        }
    }

    fn differ(&mut self, want: &Value, got: Option<&Value>, path: &str) {
        let got = got.map_or_else(|| "nothing".to_owned(), short);
        self.add(format!("{path}: expected {}, got {got}", short(want)));
    }

    fn add(&mut self, problem: String) {
        self.problems.push(format!("{}: {problem}", self.place));
    }
}

fn matches(want: &Value, got: &Value) -> bool {
    compare(&json!({"json": want}), &json!({"json": got}), "").is_empty()
}

/// Whether `got` is what the placeholder `mark` stands for; `None` if `mark` is ordinary text.
fn placeholder(mark: &str, got: Option<&Value>) -> Option<bool> {
    if let Some(set) = mark.strip_prefix("<set:").and_then(|rest| rest.strip_suffix('>')) {
        let sorted = |text: &str| text.split(", ").map(str::to_owned).collect::<BTreeSet<_>>();
        return Some(got.and_then(Value::as_str).is_some_and(|g| sorted(g) == sorted(set)));
    }
    let kind = mark.strip_prefix('<')?.strip_suffix('>')?;
    Some(match kind {
        "any" => true,
        "uuid" => got.and_then(Value::as_str).is_some_and(is_uuid),
        "string" => got.and_then(Value::as_str).is_some_and(|text| !text.is_empty()),
        "timestamp" => got.and_then(Value::as_f64).is_some_and(|n| n > 1_500_000_000.0),
        "int" => got.is_some_and(|n| n.is_i64() || n.is_u64()),
        "number" => got.is_some_and(Value::is_number),
        "absent" => got.is_none_or(Value::is_null),
        _ => return None,
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text == text.to_lowercase() && uuid::Uuid::try_parse(text).is_ok()
}

/// Text with `<uuid>`, `<any>` or `<timestamp>` somewhere inside.
fn pattern_matches(want: &str, got: &str) -> bool {
    let mut pattern = regex::escape(want);
    let marks = ["<uuid>", "<any>", "<timestamp>"];
    if !marks.iter().any(|mark| want.contains(mark)) {
        return false;
    }
    for mark in marks {
        pattern = pattern.replace(&regex::escape(mark), ".+?");
    }
    Regex::new(&format!("(?s)^{pattern}$")).is_ok_and(|pattern| pattern.is_match(got))
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(240) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
