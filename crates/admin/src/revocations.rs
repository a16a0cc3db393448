//! Who does not belong to the cluster any more.

use http::{Method, StatusCode};
use model::RevokedCertificate;
use serde_json::{Value, json};
use store::{Operation, Row};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Refusal;
use crate::info::{control_plane_only, data_plane};
use crate::scan::scan;
use crate::state::DataPlane;
use crate::write::{commit, conclude};

/// Which segment names what.
const NAMED: usize = 2;

/// `/clustering/data-planes/{id}`: one data plane, or its removal.
///
/// Removing one that shows a certificate of its own revokes that: its stream ends on every control
/// plane, and none takes a call of it any more. One that is not connected is only forgotten, until
/// it comes back.
pub(crate) async fn one(call: &Call<'_>) -> Result<Answer, Refusal> {
    control_plane_only(call.state)?;
    let id = call.segment(NAMED).name();
    let id = Uuid::try_parse(id).map_err(|_| Refusal::NotFound)?;
    let known = call.state.fleet.data_planes().into_iter().find(|known| known.id == id);
    let known = known.ok_or(Refusal::NotFound)?;
    if call.method != Method::DELETE {
        return Ok(Answer::json(StatusCode::OK, &data_plane(&known, usize::MAX)));
    }
    let own = known.certificate.as_ref().filter(|certificate| certificate.individual);
    match own {
        Some(certificate) => {
            let fingerprint = certificate.fingerprint.clone();
            revoke(call, &fingerprint, Some(&known)).await
        }
        None if known.connected => Err(Refusal::bad_request(
            "this data plane is connected and shows no certificate of its own (cluster_mtls = \
             pki): stop it, or give all others another cluster_cert",
        )),
        None => {
            call.state.fleet.forget(id);
            Ok(Answer::empty(StatusCode::NO_CONTENT))
        }
    }
}

/// `/clustering/revocations`: the certificates that are not taken any more.
pub(crate) async fn all(call: &Call<'_>) -> Result<Answer, Refusal> {
    control_plane_only(call.state)?;
    let mut data = Vec::new();
    let mut broken = None;
    scan(call.state, RevokedCertificate::KIND, None, |entity| {
        match RevokedCertificate::from_body(&entity.body) {
            Ok(revoked) => data.push(shown(&revoked)),
            Err(error) => broken = Some(Refusal::Broken(error.to_string())),
        }
        true
    })
    .await?;
    match broken {
        Some(refusal) => Err(refusal),
        None => Ok(Answer::json(StatusCode::OK, &json!({ "data": data, "next": null }))),
    }
}

/// `/clustering/revocations/{fingerprint}`: PUT revokes a certificate, also one that was never
/// seen here; DELETE takes that back.
pub(crate) async fn by_fingerprint(call: &Call<'_>) -> Result<Answer, Refusal> {
    control_plane_only(call.state)?;
    let fingerprint = fingerprint(call.segment(NAMED).name())?;
    if call.method == Method::PUT {
        let shows = |known: &DataPlane| {
            known.certificate.as_ref().is_some_and(|shown| shown.fingerprint == fingerprint)
        };
        let known = call.state.fleet.data_planes().into_iter().find(shows);
        if known
            .as_ref()
            .and_then(|known| known.certificate.as_ref())
            .is_some_and(|c| !c.individual)
        {
            return Err(Refusal::bad_request(
                "all data planes show this certificate (cluster_mtls = shared), and would be \
                 locked out together",
            ));
        }
        return revoke(call, &fingerprint, known.as_ref()).await;
    }
    let id = RevokedCertificate::id_of(&fingerprint);
    let stored = call.state.store.get(RevokedCertificate::KIND.as_str(), id).await?;
    let stored = stored.ok_or(Refusal::NotFound)?;
    if call.method == Method::GET {
        let revoked = RevokedCertificate::from_body(&stored.body);
        let revoked = revoked.map_err(|error| Refusal::Broken(error.to_string()))?;
        return Ok(Answer::json(StatusCode::OK, &shown(&revoked)));
    }
    let operations = vec![Operation::Delete { kind: RevokedCertificate::KIND, id }];
    let committed = commit(call.state, operations).await?;
    Ok(conclude(call.state, call.wait, &committed, Answer::empty(StatusCode::NO_CONTENT)).await)
}

async fn revoke(
    call: &Call<'_>,
    fingerprint: &str,
    known: Option<&DataPlane>,
) -> Result<Answer, Refusal> {
    let revoked = RevokedCertificate {
        id: RevokedCertificate::id_of(fingerprint),
        fingerprint: fingerprint.to_owned(),
        data_plane: known.map(|known| known.id),
        hostname: known.map(|known| known.hostname.clone()),
        revoked_at: call.state.clock.wall_s(),
    };
    let body = serde_json::to_value(&revoked).map_err(|e| Refusal::Broken(e.to_string()))?;
    let row = Row {
        kind: RevokedCertificate::KIND,
        id: revoked.id,
        body: body.to_string().into(),
        keys: Vec::new(),
        references: Vec::new(),
        tags: Vec::new(),
    };
    let committed = commit(call.state, vec![Operation::Upsert(row)]).await?;
    tracing::warn!(
        fingerprint,
        data_plane = known.map(|known| tracing::field::display(known.id)),
        "the certificate of a data plane is revoked"
    );
    Ok(conclude(call.state, call.wait, &committed, Answer::empty(StatusCode::NO_CONTENT)).await)
}

fn shown(revoked: &RevokedCertificate) -> Value {
    json!({
        "fingerprint": revoked.fingerprint,
        "data_plane": revoked.data_plane,
        "hostname": revoked.hostname,
        "revoked_at": revoked.revoked_at,
    })
}

/// SHA-256 as tools print it, with or without colons.
fn fingerprint(text: &str) -> Result<String, Refusal> {
    let digits: String =
        text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
    if digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err(Refusal::bad_request(
        "a fingerprint is the SHA-256 of a certificate, 64 hexadecimal digits (openssl x509 \
         -fingerprint -sha256)",
    ))
}
