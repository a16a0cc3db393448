//! Arguments in a request's query, as Kong reads and rewrites them.

use std::borrow::Cow;

use http1::RequestHead;

/// The arguments in their order; one without `=` has no value.
pub(crate) fn arguments<'a>(
    query: Option<&'a [u8]>,
) -> impl Iterator<Item = (Cow<'a, str>, Option<Cow<'a, str>>)> + 'a {
    query
        .unwrap_or_default()
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .filter_map(|pair| {
            let valued = pair.contains(&b'=');
            let (name, value) = form_urlencoded::parse(pair).next()?;
            Some((name, valued.then_some(value)))
        })
}

/// Takes the arguments of that name out of the request's target. What is left is encoded anew, as
/// Kong does: `%20` becomes `+`, an argument without value gets its `=`.
pub(crate) fn remove(request: &mut RequestHead, name: &str) {
    if !arguments(request.query()).any(|(key, _)| key == name) {
        return;
    }
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (key, value) in arguments(request.query()).filter(|(key, _)| key != name) {
        rest.append_pair(&key, value.as_deref().unwrap_or_default());
    }
    let rest = rest.finish();
    let mut target = request.path().to_vec();
    if !rest.is_empty() {
        target.push(b'?');
        target.extend_from_slice(rest.as_bytes());
    }
    // The path was accepted with the old query and encoding adds nothing that a target may not
    // have; were it refused all the same, the request would keep its target.
    let _ = request.set_target(&target);
}
