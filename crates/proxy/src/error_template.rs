//! Error pages of the operator's own (`error_template_html`, `_json`, `_plain`, `_xml`).

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::answer::Format;

/// The files of the templates; where there is none the page is Kong's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateFiles {
    /// For `text/html`.
    pub html: Option<PathBuf>,
    /// For `application/json`.
    pub json: Option<PathBuf>,
    /// For `text/plain`.
    pub plain: Option<PathBuf>,
    /// For `application/xml`.
    pub xml: Option<PathBuf>,
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {} {fault}", path.display())]
pub struct TemplateError {
    setting: &'static str,
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error(
        "has more than two %s; the first stands for the message, the second for the request's id"
    )]
    TooMany,
    #[error("has a % that is neither %s nor %%; write %% for a percent sign")]
    Percent,
}

/// The templates, read.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    html: Option<Template>,
    json: Option<Template>,
    plain: Option<Template>,
    xml: Option<Template>,
}

impl Templates {
    /// Reads the files.
    pub(crate) fn read(files: &TemplateFiles) -> Result<Templates, TemplateError> {
        Ok(Templates {
            html: read("error_template_html", files.html.as_deref())?,
            json: read("error_template_json", files.json.as_deref())?,
            plain: read("error_template_plain", files.plain.as_deref())?,
            xml: read("error_template_xml", files.xml.as_deref())?,
        })
    }

    /// Appends the body of an answer that says `message`.
    pub(crate) fn write(&self, format: Format, message: &str, id: &str, out: &mut Vec<u8>) {
        let template = match format {
            Format::Html => &self.html,
            Format::Json => &self.json,
            Format::Plain => &self.plain,
            Format::Xml => &self.xml,
            Format::Untyped | Format::Grpc => &None,
        };
        match template {
            Some(template) => template.write(&format.escape(message), id, out),
            None => format.write_body(message, id, out),
        }
    }
}

/// The text before, between and behind what is filled in.
#[derive(Debug, PartialEq, Eq)]
struct Template(Vec<String>);

fn read(setting: &'static str, path: Option<&Path>) -> Result<Option<Template>, TemplateError> {
    let Some(path) = path else { return Ok(None) };
    let read = std::fs::read_to_string(path).map_err(Fault::Unreadable);
    let template = read.and_then(|text| Template::parse(&text));
    template.map(Some).map_err(|fault| TemplateError { setting, path: path.to_owned(), fault })
}

impl Template {
    fn parse(text: &str) -> Result<Template, Fault> {
        let (mut pieces, mut piece, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, behind)) = rest.split_once('%') {
            piece.push_str(before);
            if let Some(behind) = behind.strip_prefix('s') {
                pieces.push(std::mem::take(&mut piece));
                rest = behind;
            } else if let Some(behind) = behind.strip_prefix('%') {
                piece.push('%');
                rest = behind;
            } else {
                return Err(Fault::Percent);
            }
        }
        piece.push_str(rest);
        pieces.push(piece);
        if pieces.len() > 3 {
            return Err(Fault::TooMany);
        }
        Ok(Template(pieces))
    }

    fn write(&self, message: &str, id: &str, out: &mut Vec<u8>) {
        let mut values = [message, id].into_iter();
        for (place, piece) in self.0.iter().enumerate() {
            if place > 0 {
                out.extend_from_slice(values.next().unwrap_or_default().as_bytes());
            }
            out.extend_from_slice(piece.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Template, TemplateFiles, Templates};
    use crate::answer::Format;

    fn filled(template: &str) -> String {
        let mut out = Vec::new();
        Template::parse(template).unwrap().write("Bad request", "abc", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn message_and_id_are_filled_in() {
        assert_eq!(filled("<%s|%s>"), "<Bad request|abc>");
        assert_eq!(filled("100 %% %s"), "100 % Bad request");
        assert_eq!(filled("nothing"), "nothing");
        assert_eq!(filled("%s%s"), "Bad requestabc");
        assert!(matches!(Template::parse("%s %s %s"), Err(Fault::TooMany)));
        assert!(matches!(Template::parse("100 %"), Err(Fault::Percent)));
        assert!(matches!(Template::parse("%d"), Err(Fault::Percent)));
    }

    #[test]
    fn each_format_has_its_own_or_kongs() {
        let folder = tempfile::tempdir().unwrap();
        let html = folder.path().join("error.html");
        std::fs::write(&html, "<p>%s</p><i>%s</i>").unwrap();
        let templates =
            Templates::read(&TemplateFiles { html: Some(html), ..TemplateFiles::default() });
        let templates = templates.unwrap();
        let body = |format: Format| {
            let mut out = Vec::new();
            templates.write(format, "a < b", "abc", &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(body(Format::Html), "<p>a &lt; b</p><i>abc</i>");
        assert_eq!(body(Format::Plain), "a < b\nrequest_id: abc\n");
        let missing = Some(folder.path().join("none"));
        let error = Templates::read(&TemplateFiles { xml: missing, ..TemplateFiles::default() });
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("error_template_xml: ") && error.contains("cannot be read"));
    }
}
