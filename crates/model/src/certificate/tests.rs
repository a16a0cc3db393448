use rcgen::{
    BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
    SignatureAlgorithm, date_time_ymd,
};
use serde_json::{Value, json};

use crate::testing::{ID, create, env, object, refusal, update};
use crate::{CaCertificate, Certificate, RouterFlavor, entity};

fn key(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).expect("a key")
}

fn certificate(key: &KeyPair) -> String {
    let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("names");
    params.self_signed(key).expect("a certificate").pem()
}

/// A CA certificate that ends with a year.
fn ca(until: i32) -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params.self_signed(&key(&PKCS_ECDSA_P256_SHA256)).expect("a certificate").pem()
}

#[test]
fn a_certificate_comes_with_its_key() {
    let (one, other) = (key(&PKCS_ECDSA_P256_SHA256), key(&PKCS_ECDSA_P256_SHA256));
    let cert = certificate(&one);
    let made = create("certificates", json!({ "cert": cert, "key": one.serialize_pem() }));
    let made = made.expect("a valid certificate");
    assert_eq!((&made["cert_alt"], &made["snis"]), (&Value::Null, &Value::Null));
    let typed = Certificate::from_body(&made.to_string()).expect("a certificate");
    assert_eq!(typed.key.expose(), one.serialize_pem());
    assert!(!format!("{typed:?}").contains("PRIVATE"), "keys do not show in logs");

    let message = "schema violation (certificate does not match key)";
    let input = json!({ "cert": cert, "key": other.serialize_pem() });
    assert_eq!(refusal("certificates", input), message);
    let swapped = update("certificates", &made, json!({ "cert": certificate(&other) }));
    assert_eq!(swapped, Err(json!({ "@entity": ["certificate does not match key"] })));
}

#[test]
fn a_chain_is_checked_to_its_end() {
    let one = key(&PKCS_ECDSA_P256_SHA256);
    let (leaf, key) = (certificate(&one), one.serialize_pem());
    let chain = format!("{leaf}\n{}", ca(2100));
    assert!(create("certificates", json!({ "cert": chain, "key": key })).is_ok());
    let broken = leaf.replacen("MI", "AA", 1);
    let input = json!({ "cert": format!("{leaf}\n{broken}"), "key": key });
    let message = refusal("certificates", input);
    let start = "schema violation (cert: invalid certificate: certificate 2 of the chain: ";
    assert!(message.starts_with(start), "{message}");
}

#[test]
fn what_is_neither_is_refused() {
    let one = key(&PKCS_ECDSA_P256_SHA256);
    let found = create("certificates", json!({ "cert": "nonsense", "key": "nonsense" }));
    let found = found.expect_err("a refusal");
    assert_eq!(found["cert"], "invalid certificate: there is no PEM block of a certificate");
    assert!(found["key"].as_str().expect("a text").starts_with("invalid key: "));
    let found = create("certificates", json!({ "cert": one.serialize_pem() }));
    assert_eq!(found.expect_err("a refusal")["key"], "required field missing");
    let found =
        create("certificates", json!({ "cert": "{vault://env/c}", "key": "{vault://env/k}" }));
    assert!(found.is_ok(), "references are looked up when they are used");
}

#[test]
fn an_alternative_is_whole_and_of_another_type() {
    let (one, same) = (key(&PKCS_ECDSA_P256_SHA256), key(&PKCS_ECDSA_P256_SHA256));
    let other = key(&PKCS_ED25519);
    let with = |cert: Option<&KeyPair>, key: Option<&KeyPair>| {
        json!({
            "cert": certificate(&one),
            "key": one.serialize_pem(),
            "cert_alt": cert.map(certificate),
            "key_alt": key.map(KeyPair::serialize_pem),
        })
    };
    assert!(create("certificates", with(Some(&other), Some(&other))).is_ok());
    for (cert, key, text) in [
        (Some(&other), None, "all or none of these fields must be set: 'cert_alt', 'key_alt'"),
        (Some(&other), Some(&same), "alternative certificate does not match key"),
        (
            Some(&same),
            Some(&same),
            "certificate and alternative certificate need to have different type (e.g. RSA and \
             ECDSA), the provided certificates were both of the same type",
        ),
    ] {
        let found = create("certificates", with(cert, key));
        assert_eq!(found, Err(json!({ "@entity": [text] })));
    }
}

#[test]
fn a_ca_certificate_knows_its_digest() {
    let made = create("ca_certificates", json!({ "cert": ca(2100), "cert_digest": "abc" }));
    let made = made.expect("a valid certificate");
    let typed = CaCertificate::from_body(&made.to_string()).expect("a certificate");
    let digest = typed.cert_digest.expect("a digest");
    assert!(digest.len() == 64 && digest.bytes().all(|b| b"0123456789abcdef".contains(&b)));
    let other = update("ca_certificates", &made, json!({ "cert": ca(2100) }));
    assert_ne!(other.expect("a valid certificate")["cert_digest"], json!(digest));
}

#[test]
fn a_ca_certificate_is_one_that_can_verify() {
    let leaf = certificate(&key(&PKCS_ECDSA_P256_SHA256));
    for (cert, text) in [
        (format!("{}\n{}", ca(2100), ca(2100)), "please submit only one certificate at a time"),
        (ca(2020), "certificate expired, \"Not After\" time is in the past"),
        (
            leaf,
            "certificate does not appear to be a CA because it is missing the \"CA\" basic \
             constraint",
        ),
    ] {
        let found = create("ca_certificates", json!({ "cert": cert }));
        assert_eq!(found, Err(json!({ "@entity": [text] })));
    }
}

#[test]
fn server_names_are_written_with_the_certificate_and_stored_apart() {
    let one = key(&PKCS_ECDSA_P256_SHA256);
    let certificates = entity("certificates").expect("a kind");
    let input = json!({
        "cert": certificate(&one), "key": one.serialize_pem(), "snis": ["a.example", "*.b.example"],
    });
    let made = certificates.create(object(input), &env(RouterFlavor::Traditional));
    assert_eq!(made.expect("a valid certificate")["snis"], json!(["a.example", "*.b.example"]));
    assert_eq!(certificates.not_stored, ["snis"]);
    let sni = create("snis", json!({ "name": "a.example", "certificate": { "id": ID } }));
    assert!(sni.is_ok());
}
