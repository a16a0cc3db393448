//! `response-transformer`: changes the header fields and the JSON of answers.

mod config;
mod json;

use http1::{Fields, Name, ResponseHead, list};
use plugin::{Answered, BuildError, Instance, Phases, Plugin, ResponseBody};
use schema::Record;

use crate::declared::Declared;
use crate::{fields, pairs, settings};
use config::Config;
use json::JsonChanges;

/// A running instance of `response-transformer`.
#[derive(Debug)]
pub(crate) struct ResponseTransformer {
    remove: Vec<String>,
    rename: Vec<(String, String)>,
    replace: Vec<(String, String)>,
    add: Vec<(String, String)>,
    append: Vec<(String, String)>,
    json: JsonChanges,
}

impl Declared for ResponseTransformer {
    const NAME: &str = "response-transformer";
    const PRIORITY: i32 = 800;
    const PHASES: Phases = Phases { header_filter: true, body_filter: true, ..Phases::NONE };
    const EXAMPLE: &str = include_str!("example.md");

    fn config() -> &'static Record {
        Config::record()
    }

    fn build(instance: &Instance<'_>, _: Option<&Self>) -> Result<Self, BuildError> {
        let config: Config = settings::read(instance)?;
        Ok(ResponseTransformer {
            remove: config.remove.headers.clone(),
            rename: pairs::all(&config.rename.headers),
            replace: pairs::all(&config.replace.headers),
            add: pairs::all(&config.add.headers),
            append: pairs::all(&config.append.headers),
            json: JsonChanges::new(&config),
        })
    }
}

/// The JSON of an answer as far as it has come.
#[derive(Debug, Default)]
struct Collected {
    bytes: Vec<u8>,
    /// It is longer than we keep: it is passed on as it is.
    too_long: bool,
}

/// The most of a body that is kept for its change. A longer one passes unchanged.
const LIMIT: usize = 8 << 20;

impl Plugin for ResponseTransformer {
    fn header_filter(&self, exchange: &mut Answered<'_>, head: &mut ResponseHead) {
        self.change_fields(&mut head.fields);
        if !self.json.is_empty() && is_json(&head.fields) {
            ResponseBody::changes_length(head);
            exchange.notes.put(Collected::default());
        }
    }

    fn body_filter(&self, exchange: &mut Answered<'_>, body: &mut ResponseBody<'_>) {
        let Some(collected) = exchange.notes.get_mut::<Collected>() else { return };
        if collected.too_long {
            return;
        }
        collected.bytes.append(body.piece);
        collected.too_long = collected.bytes.len() > LIMIT;
        if collected.too_long {
            tracing::warn!(
                request_id = exchange.id,
                limit = LIMIT,
                "a JSON body is too long to be changed; it is passed on as it is"
            );
            std::mem::swap(body.piece, &mut collected.bytes);
        } else if body.last {
            let bytes = std::mem::take(&mut collected.bytes);
            *body.piece = self.json.change(&bytes).unwrap_or(bytes);
        }
    }
}

impl ResponseTransformer {
    fn change_fields(&self, all: &mut Fields) {
        for name in &self.remove {
            fields::remove(all, name);
        }
        for (old, new) in &self.rename {
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
        for (name, value) in &self.replace {
            if fields::contains(all, name) {
                fields::set(all, name, value);
            }
        }
        for (name, value) in &self.add {
            if !fields::contains(all, name) {
                fields::add(all, name, value);
            }
        }
        for (name, value) in &self.append {
            fields::add(all, name, value);
        }
    }
}

/// Whether an answer's body is JSON by its type: `application/json` or `application/…+json`.
fn is_json(all: &Fields) -> bool {
    let kind = all.get(Name::ContentType).unwrap_or_default().to_ascii_lowercase();
    list(&kind).any(|kind| {
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let Some(subtype) = kind.strip_prefix(b"application/") else { return false };
        subtype == b"json" || subtype.ends_with(b"+json")
    })
}

#[cfg(test)]
mod tests;
