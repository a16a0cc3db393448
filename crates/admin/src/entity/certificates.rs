//! Certificates: written with their server names, which are entities of their own, and found by
//! them.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use model::{EntityType, Kind};
use schema::Violation;
use serde_json::{Value, json};
use store::Operation;
use uuid::Uuid;

use crate::call::Call;
use crate::crud;
use crate::error::Refusal;
use crate::find::{self, Name};
use crate::path::Segment;
use crate::scan::scan;
use crate::state::{Object, State};

/// The certificate of an id or of a server name. A PUT with a name that nobody has makes a new
/// certificate (and does not give it that name).
///
/// # Errors
/// 404 when no certificate has the server name.
pub(crate) async fn name(call: &Call<'_>, segment: &Segment<'_>) -> Result<Name, Refusal> {
    if let Some(id) = find::id(segment) {
        return Ok(Name::Id(id));
    }
    let server_name = find::value(call.state, snis()?, "name", segment)?;
    match owner(call.state, &server_name).await? {
        Some(certificate) => Ok(Name::Id(certificate)),
        None if call.method == Method::PUT => {
            let given = call.input.object.get("id").and_then(Value::as_str);
            let given = given.and_then(|id| Uuid::try_parse(id).ok());
            Ok(Name::Id(given.unwrap_or_else(|| call.state.new_id())))
        }
        None => Err(Refusal::Message(StatusCode::NOT_FOUND, "SNI not found".to_owned())),
    }
}

/// Refuses server names that are given twice, that are none, or that are those of another
/// certificate than `certificate`.
pub(crate) async fn check_snis(
    state: &State,
    certificate: Option<Uuid>,
    input: &Object,
) -> Result<(), Refusal> {
    let names = input.get("snis").and_then(Value::as_array);
    let names: Vec<&str> = names.into_iter().flatten().filter_map(Value::as_str).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(**name)) {
        return Err(Refusal::field("snis", format!("{twice} is duplicated")));
    }
    let record = state.record(snis()?);
    for name in names {
        let checked = state.with_env(|env| record.validate_value("name", &name.into(), env));
        if let Err(Violation::Text(text)) = checked {
            return Err(Refusal::InvalidKey { field: "name".to_owned(), text });
        }
        if let Some(owner) = owner(state, name).await?
            && Some(owner) != certificate
        {
            return Err(Refusal::field(
                "snis",
                format!("{name} already associated with existing certificate '{owner}'"),
            ));
        }
    }
    Ok(())
}

/// Takes the server names out of the certificate and says how its entities must change: none
/// when the client did not write them.
pub(crate) async fn write_snis(
    state: &State,
    certificate: &mut Object,
    given: bool,
) -> Result<Vec<Operation>, Refusal> {
    let wanted = certificate.remove("snis").unwrap_or_default();
    if !given {
        return Ok(Vec::new());
    }
    let wanted: Vec<&str> =
        wanted.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let id = certificate.get("id").and_then(Value::as_str).unwrap_or_default();
    let present = match Uuid::try_parse(id) {
        Ok(id) => of_certificate(state, id).await?,
        Err(_) => BTreeMap::new(),
    };
    let mut operations = Vec::new();
    for (name, sni) in &present {
        if !wanted.contains(&name.as_str()) {
            operations.push(Operation::Delete { kind: snis()?.kind(), id: *sni });
        }
    }
    for name in wanted.into_iter().filter(|name| !present.contains_key(*name)) {
        let input = json!({ "name": name, "certificate": { "id": id } });
        let input = input.as_object().cloned().unwrap_or_default();
        let sni = state.with_env(|env| snis().map(|snis| snis.create(input, env)))??;
        operations.push(Operation::Insert(crud::row(snis()?, &sni)));
    }
    Ok(operations)
}

/// The sorted server names.
pub(crate) async fn show_snis(state: &State, certificate: &mut Object) -> Result<(), Refusal> {
    let id = certificate.get("id").and_then(Value::as_str).unwrap_or_default();
    let names = match Uuid::try_parse(id) {
        Ok(id) => of_certificate(state, id).await?.into_keys().collect(),
        Err(_) => Vec::new(),
    };
    certificate.insert("snis".to_owned(), names.into());
    Ok(())
}

/// The server names of a certificate, with the ids of their entities.
async fn of_certificate(
    state: &State,
    certificate: Uuid,
) -> Result<BTreeMap<String, Uuid>, Refusal> {
    let mut names = BTreeMap::new();
    scan(state, Kind::known("snis"), Some(("certificate", certificate)), |sni| {
        let object = find::object(sni).unwrap_or_default();
        if let Some(name) = object.get("name").and_then(Value::as_str) {
            names.insert(name.to_owned(), sni.id);
        }
        true
    })
    .await?;
    Ok(names)
}

/// The certificate that has the server name.
async fn owner(state: &State, server_name: &str) -> Result<Option<Uuid>, Refusal> {
    let name = Name::key("name", server_name.to_owned());
    match find::by_name(state, snis()?, &name).await? {
        Some(sni) => Ok(find::referred(&find::object(&sni)?, "certificate")),
        None => Ok(None),
    }
}

fn snis() -> Result<&'static EntityType, Refusal> {
    model::entity("snis").ok_or_else(|| Refusal::Broken("no entity type 'snis'".to_owned()))
}
