//! Bounds on what the parser is given: it recurses, and so must not be led too deep.

const LONGEST: usize = 64 * 1024;
const DEEPEST: usize = 100;

/// Why an expression is too much, if it is.
pub(super) fn exceeded(source: &str) -> Option<String> {
    if source.len() > LONGEST {
        return Some(format!("it is longer than {LONGEST} bytes"));
    }
    let mut depth = 0_usize;
    let mut rest = source;
    while let Some(at) = rest.find(['(', ')', '"']) {
        let (before, found) = rest.split_at(at);
        rest = &found[1..];
        match found.as_bytes()[0] {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if before.ends_with("r#") => {
                rest = after(rest, |text| text.find("\"#").map(|at| at + 2))
            }
            _ => rest = after(rest, end_of_string),
        }
        if depth > DEEPEST {
            return Some(format!("it is nested deeper than {DEEPEST} parentheses"));
        }
    }
    None
}

fn after(text: &str, end: impl Fn(&str) -> Option<usize>) -> &str {
    end(text).and_then(|at| text.get(at..)).unwrap_or_default()
}

/// Where the text behind an opening quotation mark ends.
fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes()
        .position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })
        .map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::{DEEPEST, exceeded};

    #[test]
    fn counts_parentheses_outside_of_texts() {
        let deep = "(".repeat(DEEPEST + 1);
        assert!(exceeded(&deep).is_some());
        assert_eq!(exceeded(&format!("http.path == \"{deep}\"")), None);
        assert_eq!(exceeded(&format!("http.path == \"\\\"{deep}\"")), None);
        assert_eq!(exceeded(&format!("http.path ~ r#\"{deep}\"#")), None);
        assert!(exceeded(&format!("http.path == \"\\\\\" {deep}")).is_some());
        assert_eq!(exceeded(&"() ".repeat(DEEPEST + 1)), None);
        assert!(exceeded(&"x".repeat(70_000)).is_some());
    }
}
