use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rcgen::KeyPair;
use ring::pbkdf2;
use serde_json::{Value, json};

use crate::testing::{ID, create, update};
use crate::{BasicAuthCredential, KeyAuthCredential, password_hash};

const OTHER: &str = "00000000-0000-4000-8000-000000000008";

fn credential(kind: &str, input: Value) -> Value {
    made(kind, input).expect("a valid credential")
}

fn made(kind: &str, mut input: Value) -> Result<Value, Value> {
    input["consumer"] = json!({ "id": ID });
    create(kind, input)
}

#[test]
fn what_is_not_given_is_generated() {
    for (kind, given, field) in [
        ("keyauth_credentials", json!({}), "key"),
        ("hmacauth_credentials", json!({ "username": "u" }), "secret"),
        ("jwt_secrets", json!({}), "key"),
        ("jwt_secrets", json!({ "algorithm": "ES256" }), "secret"),
        ("oauth2_credentials", json!({ "name": "app" }), "client_id"),
        ("oauth2_credentials", json!({ "name": "app" }), "client_secret"),
    ] {
        let made = credential(kind, given);
        let text = made[field].as_str().expect("a text");
        assert!(text.len() == 32 && text.bytes().all(|b| b.is_ascii_alphanumeric()), "{text}");
        assert_eq!(made.get("updated_at"), None);
        let patched = update(kind, &made, json!({ "tags": ["t"] })).expect("a valid credential");
        assert_eq!(patched[field], made[field]);
    }
    let given = credential("keyauth_credentials", json!({ "key": "k" }));
    let typed = KeyAuthCredential::from_body(&given.to_string()).expect("a credential");
    assert_eq!(typed.key.expect("a key").expose(), "k");
}

#[test]
fn a_credential_is_somebodys() {
    let found = create("keyauth_credentials", json!({ "key": "k" }));
    assert_eq!(found, Err(json!({ "consumer": "required field missing" })));
}

#[test]
fn passwords_are_stored_as_hashes() {
    // As `echo -n password<consumer id> | sha1sum` has it.
    let made =
        credential("basicauth_credentials", json!({ "username": "u", "password": "secret" }));
    assert_eq!(made["password"], json!(password_hash("secret", ID)));
    assert_eq!(
        password_hash("secret", "0b4fb0b5-b5e1-4b2f-9d0c-3c2f2c3b7d11"),
        "16adb04f9b2aa341e93a6921918758625c17bb22"
    );
    let typed = BasicAuthCredential::from_body(&made.to_string()).expect("a credential");
    assert!(!format!("{typed:?}").contains(&password_hash("secret", ID)));

    let renamed = update("basicauth_credentials", &made, json!({ "username": "v" }));
    assert_eq!(renamed.expect("a valid credential")["password"], made["password"]);
    let changed = update("basicauth_credentials", &made, json!({ "password": "other" }));
    assert_eq!(changed.expect("a valid credential")["password"], json!(password_hash("other", ID)));
}

#[test]
fn a_password_is_written_anew_for_another_consumer() {
    let made = credential("basicauth_credentials", json!({ "username": "u", "password": "p" }));
    let text = "all or none of these fields must be set: 'password', 'consumer.id'";
    let moved = json!({ "consumer": { "id": OTHER } });
    let found = update("basicauth_credentials", &made, moved.clone());
    assert_eq!(found, Err(json!({ "@entity": [text] })));
    let mut moved = moved;
    moved["password"] = json!("p");
    let found = update("basicauth_credentials", &made, moved).expect("a valid credential");
    assert_eq!(found["password"], json!(password_hash("p", OTHER)));
}

#[test]
fn asymmetric_algorithms_need_a_public_key() {
    let text = "failed conditional validation given value of field 'algorithm'";
    for algorithm in ["RS256", "PS512", "EdDSA"] {
        let fields = json!({ "@entity": [text], "rsa_public_key": "required field missing" });
        assert_eq!(made("jwt_secrets", json!({ "algorithm": algorithm })), Err(fields));
        let input = json!({ "algorithm": algorithm, "rsa_public_key": "junk" });
        let fields = json!({ "@entity": [text], "rsa_public_key": "invalid key" });
        assert_eq!(made("jwt_secrets", input), Err(fields));
        let public = KeyPair::generate().expect("a key").public_key_pem();
        let input = json!({ "algorithm": algorithm, "rsa_public_key": public });
        assert!(made("jwt_secrets", input).is_ok());
    }
}

#[test]
fn redirect_uris_are_absolute_and_have_no_fragment() {
    let found = made(
        "oauth2_credentials",
        json!({
            "name": "app",
            "redirect_uris": ["https://a.example/cb?x=1", "nota uri", "/path", "https://a.example/#f"],
        }),
    );
    assert_eq!(
        found,
        Err(json!({
            "redirect_uris": [
                null,
                "cannot parse 'nota uri'",
                "cannot parse '/path'",
                "fragment not allowed in 'https://a.example/#f'",
            ],
        }))
    );
}

fn verifies(stored: &Value, secret: &str) -> bool {
    let parts: Vec<&str> = stored.as_str().expect("a text").split('$').collect();
    let ["", "pbkdf2-sha512", "i=10000,l=32", salt, hash] = parts[..] else { return false };
    let decode = |text| STANDARD_NO_PAD.decode(text).expect("base64");
    let rounds = 10_000.try_into().expect("not 0");
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
    pbkdf2::verify(algorithm, rounds, &decode(salt), secret.as_bytes(), &decode(hash)).is_ok()
}

#[test]
fn secrets_of_applications_can_be_stored_as_hashes() {
    let kind = "oauth2_credentials";
    let plain = credential(kind, json!({ "name": "app", "client_secret": "s" }));
    assert_eq!(plain["client_secret"], "s");
    let hashed =
        credential(kind, json!({ "name": "a", "client_secret": "s", "hash_secret": true }));
    assert!(verifies(&hashed["client_secret"], "s"));

    let changed = update(kind, &hashed, json!({ "client_secret": "t" }));
    assert!(verifies(&changed.expect("a valid credential")["client_secret"], "t"));
    let renamed = update(kind, &hashed, json!({ "name": "b" })).expect("a valid credential");
    assert_eq!(renamed["client_secret"], hashed["client_secret"], "a hash is not hashed again");
    let found = update(kind, &plain, json!({ "hash_secret": true }));
    let text = "all or none of these fields must be set: 'client_secret', 'hash_secret'";
    assert_eq!(found, Err(json!({ "@entity": [text] })));
    let generated = credential(kind, json!({ "name": "app", "hash_secret": true }));
    assert!(generated["client_secret"].as_str().expect("a text").starts_with("$pbkdf2-sha512$"));
}
