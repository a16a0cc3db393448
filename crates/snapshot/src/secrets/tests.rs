use serde_json::json;

use super::*;

fn secrets() -> Secrets {
    let mut secrets = Secrets::new(Arc::new(|name| {
        let value = match name {
            "MY_SECRET" => "open sesame",
            "TEAM_MY_SECRET" => "of the team",
            "MY_SECRET_PREVIOUS" => "before",
            "CREDENTIALS" => r#"{"user":"alice","port":5432,"more":{"a":1},"x/y":"odd"}"#,
            _ => return None,
        };
        Some(value.to_owned())
    }));
    let vault = json!({"id": Uuid::nil(), "name": "env", "prefix": "team",
                       "config": {"prefix": "team-"}});
    secrets.apply(Uuid::nil(), Some(&vault.to_string())).unwrap();
    secrets
}

#[test]
fn references_are_read_as_kong_reads_them() {
    let secrets = secrets();
    let cases = [
        ("{vault://env/my-secret}", Ok("open sesame")),
        ("{vault://env/MY_SECRET}", Ok("open sesame")),
        ("{vault://env/my-secret/}", Ok("open sesame")),
        ("{vault://env/my%2Dsecret}", Ok("open sesame")),
        ("{vault://env/my-secret#1}", Ok("open sesame")),
        ("{vault://env/my-secret#2}", Ok("before")),
        ("{vault://env/secret?prefix=my_}", Ok("open sesame")),
        ("{vault://team/my-secret}", Ok("of the team")),
        ("{vault://team/secret?prefix=MY_}", Ok("open sesame")),
        ("{vault://env/credentials/user}", Ok("alice")),
        ("{vault://env/credentials/port}", Ok("5432")),
        ("{vault://env/credentials/x%2Fy}", Ok("odd")),
        ("{vault://env/credentials/more}", Err("CREDENTIALS is no JSON object with a text 'more'")),
        ("{vault://env/my-secret/key}", Err("MY_SECRET is no JSON object with a text 'key'")),
        ("{vault://env/other}", Err("the environment has no OTHER")),
        ("{vault://nobody/my-secret}", Err("there is no vault 'nobody'")),
        ("{vault://env/}", Err("it names no secret")),
        ("{vault://env}", Err("it names no secret")),
        ("{vault://env/my-secret#new}", Err("its version is no number")),
    ];
    for (reference, expected) in cases {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(secrets.find(reference), expected, "{reference}");
    }
}

#[test]
fn a_vault_that_goes_is_not_found_any_more() {
    let mut secrets = secrets();
    secrets.apply(Uuid::nil(), None).unwrap();
    assert!(secrets.find("{vault://team/my-secret}").is_err());
}

#[test]
fn messages_do_not_quote_secrets() {
    let secrets = vec![String::new(), "open sesame".to_owned()];
    let resolved = Resolved { body: String::new(), secrets };
    let told = resolved.redact("expected a number, found \"open sesame\"".to_owned());
    assert_eq!(told, "expected a number, found \"******\"");
}
