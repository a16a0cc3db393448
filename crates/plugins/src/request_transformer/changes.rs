//! The operations, as they are configured and as one request gets them.

use super::config::{Config, pair};
use super::template::{Original, Template};

/// The operations on one part of requests.
#[derive(Debug, Default)]
pub(super) struct Operations {
    remove: Vec<String>,
    rename: Vec<(String, Template)>,
    replace: Vec<(String, Template)>,
    add: Vec<(String, Template)>,
    append: Vec<(String, Template)>,
}

/// The same with the values that one request gives them. A value that is configured as nothing is
/// none.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) remove: Vec<String>,
    /// Old and new name.
    pub(super) rename: Vec<(String, String)>,
    pub(super) replace: Vec<(String, Option<String>)>,
    pub(super) add: Vec<(String, Option<String>)>,
    pub(super) append: Vec<(String, Option<String>)>,
}

impl Operations {
    pub(super) fn on_headers(config: &Config) -> Operations {
        Operations::new(
            &config.remove.headers,
            &config.rename.headers,
            [&config.replace.headers, &config.add.headers, &config.append.headers],
        )
    }

    pub(super) fn on_query(config: &Config) -> Operations {
        Operations::new(
            &config.remove.querystring,
            &config.rename.querystring,
            [&config.replace.querystring, &config.add.querystring, &config.append.querystring],
        )
    }

    pub(super) fn on_body(config: &Config) -> Operations {
        Operations::new(
            &config.remove.body,
            &config.rename.body,
            [&config.replace.body, &config.add.body, &config.append.body],
        )
    }

    fn new(
        remove: &[String],
        rename: &[String],
        [replace, add, append]: [&Vec<String>; 3],
    ) -> Operations {
        let values = |texts: &[String]| {
            let value = |text: &String| {
                let (name, value) = pair(text);
                (name.to_owned(), Template::new(value))
            };
            texts.iter().map(value).collect()
        };
        Operations {
            remove: remove.iter().map(|text| pair(text).0.to_owned()).collect(),
            rename: values(rename),
            replace: values(replace),
            add: values(add),
            append: values(append),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.valued().all(Vec::is_empty)
    }

    /// Whether a value depends on the request.
    pub(super) fn is_dynamic(&self) -> bool {
        self.valued().flatten().any(|(_, template)| template.is_dynamic())
    }

    /// What they are for a request; fails with the reason if a template does.
    pub(super) fn for_request(&self, original: &Original) -> Result<Changes, String> {
        let text = |template: &Template| template.render(original).map(|text| text.into_owned());
        let values = |pairs: &[(String, Template)]| {
            pairs
                .iter()
                .map(|(name, template)| {
                    let value = (!template.is_empty()).then(|| text(template)).transpose()?;
                    Ok((name.clone(), value))
                })
                .collect::<Result<Vec<_>, String>>()
        };
        let rename = |(old, new): &(String, Template)| Ok((old.clone(), text(new)?));
        Ok(Changes {
            remove: self.remove.clone(),
            rename: self.rename.iter().map(rename).collect::<Result<_, String>>()?,
            replace: values(&self.replace)?,
            add: values(&self.add)?,
            append: values(&self.append)?,
        })
    }

    fn valued(&self) -> impl Iterator<Item = &Vec<(String, Template)>> {
        [&self.rename, &self.replace, &self.add, &self.append].into_iter()
    }
}
