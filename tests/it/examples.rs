//! The examples of the plugins' reference, run: each plugin's `example.md` holds a configuration and
//! the exchanges that a reader can try with it.

use std::path::Path;

use end_to_end::Gateway;
use end_to_end::conformance::Runner;
use plugin::Registry;
use serde_json::{Value, json};

#[test]
fn the_examples_of_the_reference_do_what_they_say() {
    let gateway = Gateway::start(&[("database".to_owned(), "off".to_owned())]).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let mut runner = Runner::new(gateway.listeners(), &folder).unwrap();
    let mut wrong = Vec::new();
    for definition in plugins::bundled().definitions() {
        let (name, example) = (definition.listing.name, definition.listing.example);
        let steps = steps(example);
        assert!(steps.len() > 1, "{name}: nothing is tried");
        assert!(example.contains(&format!("name: {name}\n")), "{name}: another plugin's example");
        let problems = runner.play_steps(&json!({ "steps": steps }));
        wrong.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The steps of a scenario: the configuration is loaded, then each exchange is tried.
fn steps(example: &str) -> Vec<Value> {
    let mut steps = Vec::new();
    for block in example.split("```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').unwrap();
        match kind {
            "yaml" => {
                let config = format!("_format_version: \"3.0\"\n{}", with_places(text));
                steps.push(json!({
                    "admin": {
                        "method": "POST",
                        "path": "/config",
                        "headers": [["Content-Type", "text/yaml"]],
                        "body": config,
                    },
                    "expect": {"status": 201},
                }));
            }
            "http" => steps.push(exchange(text)),
            "json" => {
                let mut record: Value = serde_json::from_str(text).unwrap();
                more(&mut record);
                let sink = if example.contains("localhost:9200") { "http" } else { "file" };
                let record = match sink {
                    "http" => json!({"json": [record], "<more>": true}),
                    _ => json!({ "json": record }),
                };
                steps.push(json!({"sink": sink, "expect": {"records": [record]}}));
            }
            "metrics" => {
                // Threads count for themselves, and are asked now and then.
                let lines: Vec<&str> = text.lines().collect();
                steps.push(json!({
                    "admin": {"path": "/metrics"},
                    "within_s": 10,
                    "expect": {"status": 200, "lines": lines},
                }));
            }
            other => panic!("a block of {other} in an example"),
        }
    }
    steps
}

/// What the reference calls by names that stand for the reader's own.
fn with_places(text: &str) -> String {
    text.replace("localhost:9000", "{{echo1}}")
        .replace("localhost:9200", "{{http_sink}}")
        .replace("/tmp/requests.log", "{{file_sink}}")
}

/// A request, the answer, and what the service gets, each after an empty line; a request may have a
/// body, which is the paragraph behind it.
fn exchange(text: &str) -> Value {
    let paragraphs: Vec<&str> = text.trim().split("\n\n").collect();
    let at = paragraphs.iter().position(|one| one.starts_with("HTTP/1.1 ")).unwrap();
    let (request, fields) = head(paragraphs[0]);
    let [method, path, "HTTP/1.1"] = request.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{request} is no request line");
    };
    let own = fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    let mut call = json!({
        "method": method,
        "path": path,
        "headers": own.map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
    });
    if at == 2 {
        call["body"] = paragraphs[1].into();
    }
    let (status, fields) = head(paragraphs[at]);
    let status: u16 = status.split(' ').nth(1).unwrap().parse().unwrap();
    let lower = |fields: Vec<(&str, &str)>| {
        let lower = |(name, value): (&str, &str)| (name.to_ascii_lowercase(), json!(value));
        fields.into_iter().map(lower).collect::<serde_json::Map<_, _>>()
    };
    let mut expect = json!({"status": status, "headers": lower(fields)});
    if let Some(received) = paragraphs.get(at + 1) {
        let (request, fields) = head(received);
        let [method, path, "HTTP/1.1"] = request.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{request} is no request line");
        };
        let mut headers = lower(fields);
        headers.values_mut().for_each(|value| *value = json!([value.take()]));
        headers.insert("<more>".to_owned(), true.into());
        expect["upstream"] = json!({"method": method, "path": path, "headers": headers});
    }
    json!({"proxy": call, "expect": expect})
}

fn head(paragraph: &str) -> (&str, Vec<(&str, &str)>) {
    let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
    (first, rest.lines().map(|line| line.split_once(": ").unwrap()).collect())
}

/// Lets every object have further members.
fn more(value: &mut Value) {
    if let Value::Object(members) = value {
        members.values_mut().for_each(more);
        members.insert("<more>".to_owned(), true.into());
    }
}
