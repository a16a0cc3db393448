use std::cell::RefCell;

use http1::Fields;
use serde_json::{Value, json};

use super::changes::Changes;
use super::*;

fn config(config: Value) -> Config {
    let mut whole = json!({});
    for part in ["remove", "rename", "replace", "add", "append"] {
        whole[part] = json!({"body": [], "headers": [], "querystring": []});
        for (name, value) in config[part].as_object().into_iter().flatten() {
            whole[part][name] = value.clone();
        }
    }
    serde_json::from_value(whole).unwrap()
}

fn changes(operations: &Operations) -> Changes {
    operations.for_request(&Original::default()).unwrap()
}

fn query_after(query: &str, settings: Value) -> String {
    let mut arguments = Arguments::read(query.as_bytes());
    arguments.change(&changes(&Operations::on_query(&config(settings))));
    arguments.write()
}

fn body_after(content_type: &str, body: &str, settings: Value) -> Option<String> {
    let changes = changes(&Operations::on_body(&config(settings)));
    let kind = Kind::of(content_type.as_bytes()).unwrap();
    let changed = kind.change(content_type.as_bytes(), body.as_bytes(), &changes)?;
    Some(String::from_utf8(changed).unwrap())
}

#[test]
fn the_query_is_written_anew_in_the_order_of_names() {
    let settings = json!({
        "remove": {"querystring": ["gone"]},
        "rename": {"querystring": ["old:new", "none:never"]},
        "replace": {"querystring": ["rep:R", "absent:no"]},
        "add": {"querystring": ["add:a b:c", "rep:no"]},
        "append": {"querystring": ["app:2", "flag:v"]},
    });
    assert_eq!(
        query_after("z=1&gone=1&new=x&old=1&old=2&rep=r&app=1&flag&b[]=%20&e=&f", settings),
        "add=a%20b%3Ac&app=1&app=2&b%5B%5D=%20&e=&f&flag=v&new=1&new=2&rep=R&z=1"
    );
}

#[test]
fn json_keeps_what_is_not_named() {
    let settings = json!({
        "remove": {"body": ["gone"]},
        "rename": {"body": ["old:new"]},
        "replace": {"body": ["rep:R", "absent:no"]},
        "add": {"body": ["add:1", "rep:no"]},
        "append": {"body": ["app:x", "fresh:y", "number:z"]},
    });
    let after = |body| body_after("application/json; charset=utf-8", body, settings.clone());
    let body =
        r#"{"gone":1,"old":{"k":[1]},"rep":null,"app":"a","list":[],"number":1.5,"add":false}"#;
    let expected = json!({
        "new": {"k": [1]}, "rep": "R", "app": ["a", "x"], "list": [], "number": ["z"],
        "add": "1", "fresh": ["y"],
    });
    assert_eq!(serde_json::from_str::<Value>(&after(body).unwrap()).unwrap(), expected);
    assert_eq!(after("{broken"), None);
    assert_eq!(after("[1,2]"), None);
    let expected = json!({"add": "1", "rep": "no", "app": ["x"], "fresh": ["y"], "number": ["z"]});
    assert_eq!(serde_json::from_str::<Value>(&after("").unwrap()).unwrap(), expected);
}

#[test]
fn an_empty_body_to_which_nothing_is_added_stays_none() {
    let settings = json!({"remove": {"body": ["a"]}, "replace": {"body": ["a:b"]}});
    for kind in ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(body_after(kind, "", settings.clone()), None, "{kind}");
    }
}

const MULTIPART: &str = "multipart/form-data; charset=x; boundary=\"b 1\"";

#[test]
fn parts_that_are_not_named_pass_byte_for_byte() {
    let file = "--b 1\r\ncontent-disposition: form-data; filename=\"a;b\"; name=file\r\n\
                Content-Type: x/y\r\n\r\n--b\r\n\r\n\r\n";
    let part = |name: &str, value: &str| {
        format!("--b 1\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = format!(
        "preamble\r\n{}{}{file}{}--b 1--\r\nepilogue",
        part("gone", "1"),
        part("keep", "v"),
        part("old", "o")
    );
    let settings = json!({
        "remove": {"body": ["gone", "new"]},
        "rename": {"body": ["old:renamed"]},
        "replace": {"body": ["keep:new"]},
        "add": {"body": ["more:1", "a\"b:2", "file:no"]},
        "append": {"body": ["file:no"]},
    });
    let expected = format!(
        "{}{file}{}{}{}--b 1--\r\n",
        part("keep", "new"),
        part("renamed", "o"),
        part("more", "1"),
        part("a%22b", "2")
    );
    assert_eq!(body_after(MULTIPART, &body, settings), Some(expected));
}

#[test]
fn what_is_no_multipart_stays_as_it_is() {
    let settings = json!({"add": {"body": ["a:b"]}});
    for body in ["", "--b 1", "--b 1\r\nno end", "--b 1\r\n\r\n--b 1", "nothing at all"] {
        let after = body_after(MULTIPART, body, settings.clone());
        assert_eq!(after.is_some(), body.is_empty(), "{body:?}");
    }
    assert_eq!(body_after("multipart/form-data", "x", settings), None);
}

#[test]
fn host_is_replaced_and_nothing_else() {
    let mut fields = Fields::default();
    fields.push(b"Host", b"client.test");
    fields.push(b"X-A", b"1");
    let mut host = None;
    let settings = json!({
        "remove": {"headers": ["host"]},
        "rename": {"headers": ["host:x-host", "x-a:Host"]},
        "replace": {"headers": ["HOST:other.test"]},
        "add": {"headers": ["host:no"]},
        "append": {"headers": ["x-A:2"]},
    });
    let changes = changes(&Operations::on_headers(&config(settings)));
    headers::change(&mut fields, &mut host, &changes);
    assert_eq!(host.as_deref(), Some(b"other.test".as_slice()));
    let left: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
    let expected: [(&[u8], &[u8]); 3] = [(b"Host", b"client.test"), (b"x-A", b"1"), (b"x-A", b"2")];
    assert_eq!(left, expected);
}

#[test]
fn a_value_cannot_end_its_line() {
    let mut fields = Fields::default();
    let changes = Changes {
        add: vec![("x-a".to_owned(), Some("1\r\nx-b: 2".to_owned()))],
        ..Changes::default()
    };
    headers::change(&mut fields, &mut None, &changes);
    let all: Vec<_> = fields.iter().map(|field| field.value.to_vec()).collect();
    assert_eq!(all, [b"1%0D%0Ax-b: 2".to_vec()]);
}

#[test]
fn templates_are_text_with_expressions_in_balanced_parentheses() {
    let render = |text: &str| Template::new(text).render(&Original::default()).map(String::from);
    assert_eq!(render("plain"), Ok("plain".to_owned()));
    assert_eq!(render("$(unclosed"), Ok("$(unclosed".to_owned()));
    assert_eq!(render("$($(1))"), Err("unexpected symbol near '$'".to_owned()));
    assert_eq!(render("a-$(1 + 1)-$('$(x)')$(nil)$(false)$(true)"), Ok("a-2-$(x)true".to_owned()));
    assert_eq!(render("$(query_params.none or 'd')"), Ok("d".to_owned()));
    assert_eq!(render("$(type(shared.none))"), Ok("nil".to_owned()));
    assert_eq!(render("$(1 + )"), Err("unexpected symbol near '<eof>'".to_owned()));
    let reason = render("$(os.getenv('HOME'))").unwrap_err();
    assert_eq!(reason, "attempt to index global 'os' (a nil value)");
}

#[test]
fn a_body_s_values_are_checked_when_they_are_configured() {
    let refusal = |text: &str| {
        let seen = RefCell::new(None);
        let record = schema::Record::new("")
            .field("config", schema::Field::record(Config::record().clone()));
        let input = json!({"config": {"add": {"querystring": [text]}}});
        let Value::Object(input) = input else { return None };
        if let Err(violations) = record.process(input, &schema::Nothing) {
            *seen.borrow_mut() =
                Some(violations.fields()["config"]["add"]["querystring"][0].clone());
        }
        seen.into_inner()
    };
    assert_eq!(refusal("a:$(headers.x)"), None);
    assert_eq!(refusal("a"), Some(json!("key 'a' has no value")));
    assert_eq!(
        refusal("a:$(1 + )"),
        Some(json!(
            "value '$(1 + )' is not in supported format, error:unexpected symbol near '<eof>'"
        ))
    );
}
