use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::Key;
use crate::testing::{ID, create};

/// The key of RFC 7515, appendix A.3.
const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

fn jwk(changes: Value) -> String {
    let mut jwk = json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "k" });
    jwk.as_object_mut()
        .expect("an object")
        .extend(changes.as_object().cloned().expect("an object"));
    jwk.to_string()
}

fn refused(input: Value) -> Value {
    create("keys", input).expect_err("a refusal")
}

#[test]
fn a_key_is_a_json_web_key_or_pem() {
    let made = create("keys", json!({ "kid": "k", "jwk": jwk(json!({})), "set": { "id": ID } }));
    let typed = Key::from_body(&made.expect("a valid key").to_string()).expect("a key");
    assert!(typed.jwk.is_some() && typed.pem.is_none() && typed.set.is_some());

    let text = "at least one of these fields must be non-empty: 'jwk', 'pem'";
    assert_eq!(refused(json!({ "kid": "k" })), json!({ "@entity": [text] }));
    let pem = json!({ "public_key": KeyPair::generate().expect("a key").public_key_pem() });
    let both = refused(json!({ "kid": "k", "jwk": jwk(json!({})), "pem": pem }));
    let text = "only one or none of these fields must be set: 'jwk', 'pem'";
    assert_eq!(both, json!({ "@entity": [text] }));
}

#[test]
fn a_json_web_key_is_whole() {
    for (jwk, text) in [
        ("not json".to_owned(), "could not json decode jwk string"),
        (jwk(json!({ "kid": "other" })), "kid in jwk.kid must be equal to keys.kid"),
        (jwk(json!({ "kty": "oct" })), "could not load JWK, likely not a valid key"),
        (jwk(json!({ "y": null })), "could not load JWK, likely not a valid key"),
        (jwk(json!({ "crv": "P-384" })), "could not load JWK, likely not a valid key"),
        (jwk(json!({ "x": "+/==" })), "could not load JWK, likely not a valid key"),
        ("[]".to_owned(), "kid in jwk.kid must be equal to keys.kid"),
    ] {
        assert_eq!(
            refused(json!({ "kid": "k", "jwk": jwk })),
            json!({ "@entity": [text] }),
            "{jwk}"
        );
    }
    let reference = json!({ "kid": "k", "jwk": "{vault://env/jwk}" });
    assert!(create("keys", reference).is_ok(), "references are looked up when they are used");
}

#[test]
fn pem_keys_belong_together() {
    let (one, other) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let pem = |private: Option<String>, public: Option<String>| json!({ "kid": "k", "pem": { "private_key": private, "public_key": public } });
    assert!(create("keys", pem(Some(one.serialize_pem()), None)).is_ok());
    assert!(create("keys", pem(None, Some(one.public_key_pem()))).is_ok());
    assert!(create("keys", pem(Some(one.serialize_pem()), Some(one.public_key_pem()))).is_ok());
    let found = refused(pem(Some(one.serialize_pem()), Some(other.public_key_pem())));
    assert_eq!(found, json!({ "pem": "public key does not match private key" }));
    let found = refused(pem(None, Some("junk".to_owned())));
    assert_eq!(found, json!({ "pem": "could not load public key" }));
    let found = refused(pem(Some("junk".to_owned()), None));
    assert!(found["pem"].as_str().expect("a text").starts_with("could not load private key: "));
    let found = refused(pem(None, None));
    let text = "at least one of these fields must be non-empty: 'private_key', 'public_key'";
    assert_eq!(found, json!({ "pem": { "@entity": [text] } }));
}
