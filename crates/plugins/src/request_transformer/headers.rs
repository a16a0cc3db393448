//! Changes to header fields.

use http1::Fields;

use super::changes::Changes;
use crate::fields;

/// Makes the changes. `host` is the Host field for the upstream, which can be replaced and nothing
/// else.
pub(super) fn change(all: &mut Fields, host: &mut Option<Vec<u8>>, changes: &Changes) {
    for name in changes.remove.iter().filter(|name| !is_host(name)) {
        fields::remove(all, name);
    }
    for (old, new) in changes.rename.iter().filter(|(old, new)| !is_host(old) && !is_host(new)) {
        let values: Vec<Vec<u8>> = all.named(old.as_bytes()).map(<[u8]>::to_vec).collect();
        if values.is_empty() {
            continue;
        }
        fields::remove(all, old);
        fields::remove(all, new);
        for value in values {
            all.push(new.as_bytes(), &value);
        }
    }
    for (name, value) in &changes.replace {
        match value {
            Some(value) if is_host(name) => *host = Some(value.clone().into_bytes()),
            Some(value) if fields::contains(all, name) => fields::set(all, name, value),
            None if !is_host(name) => fields::remove(all, name),
            _ => {}
        }
    }
    for (name, value) in present(&changes.add) {
        if !fields::contains(all, name) {
            fields::add(all, name, value);
        }
    }
    for (name, value) in present(&changes.append) {
        // All of them get the case of the setting.
        let mut values: Vec<Vec<u8>> = all.named(name.as_bytes()).map(<[u8]>::to_vec).collect();
        fields::remove(all, name);
        values.drain(..).for_each(|value| all.push(name.as_bytes(), &value));
        fields::add(all, name, value);
    }
}

fn present(values: &[(String, Option<String>)]) -> impl Iterator<Item = (&str, &str)> {
    values
        .iter()
        .filter(|(name, _)| !is_host(name))
        .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
}

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host")
}
