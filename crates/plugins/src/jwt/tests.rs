use super::*;

/// Signed with `secret1`, expires in 2100.
const TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.\
                     eyJpc3MiOiJrZXkxIiwiZXhwIjo0MTAyNDQ0ODAwfQ.\
                     __bwROxgqtwLjDyR7xLcHkypzKY5fApSIbG8BAhEMQI";

fn jwt(claims: &[&str], maximum: u32) -> Jwt {
    let config = json!({
        "uri_param_names": ["jwt"], "cookie_names": [], "header_names": ["authorization"],
        "key_claim_name": "iss", "secret_is_base64": false, "claims_to_verify": claims,
        "anonymous": null, "run_on_preflight": true, "maximum_expiration": maximum, "realm": null,
    });
    Jwt { config: serde_json::from_value(config).unwrap() }
}

#[test]
fn a_token_fits_its_secret_and_no_other() {
    let token = Token::parse(TOKEN).unwrap();
    assert_eq!(token.claims["iss"], "key1");
    assert!(token.is_signed_with(b"secret1"));
    assert!(!token.is_signed_with(b"secret2"));
}

#[test]
fn what_is_no_token_is_told_as_kong_does() {
    let check = |text: &str, why: &str| assert_eq!(Token::parse(text).err(), Some(why), "{text}");
    check("not-a-token", "invalid JSON");
    check("eyJhbGciOiJIUzI1NiJ9.e30", "invalid JSON");
    check("eyJhbGciOiJub25lIn0.e30.", "invalid alg");
    check("e30.e30.", "invalid alg");
    check("eyJhbGciOiJIUzI1NiJ9.MQ.", "invalid claims");
    check("eyJhbGciOiJIUzI1NiJ9.e30.*", "invalid signature");
}

#[test]
fn claims_are_verified_where_they_are_named() {
    let check = |names: &[&str], maximum: u32, claims: Value, expected: Value| {
        let found = jwt(names, maximum).faults(claims.as_object().unwrap(), 1000.0);
        assert_eq!(Value::Object(found), expected, "{names:?} {claims}");
    };
    check(&[], 0, json!({"exp": 1}), json!({}));
    check(&["exp"], 0, json!({"exp": 1000}), json!({"exp": "token expired"}));
    check(&["exp"], 0, json!({"exp": 1001}), json!({}));
    check(&["exp"], 0, json!({"exp": "abc"}), json!({"exp": "must be a number"}));
    check(&["nbf"], 0, json!({"nbf": 1000}), json!({}));
    check(&["nbf"], 0, json!({"nbf": 1001}), json!({"nbf": "token not valid yet"}));
    let both = json!({"exp": "must be a number", "nbf": "must be a number"});
    check(&["exp", "nbf"], 0, json!({}), both);
    let exceeds = json!({"exp": "exceeds maximum allowed expiration"});
    check(&["exp"], 10, json!({"exp": 1011}), exceeds.clone());
    check(&[], 10, json!({}), exceeds);
    check(&["exp"], 10, json!({"exp": 1010}), json!({}));
}

#[test]
fn a_token_stands_behind_bearer() {
    for (value, expected) in [
        ("Bearer a.b.c", Some("a.b.c")),
        ("bearer  a.b.c ", Some("a.b.c")),
        ("Basic abc", None),
        ("Bearera", None),
        ("earer a", None),
    ] {
        assert_eq!(bearer(value), expected, "{value}");
    }
}
