//! How values are written: Kong's ways, without its silences (a value that Kong would ignore is
//! refused here).

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use crate::values::Secret;

/// How one kind of value is written, read and shown.
pub(crate) struct Syntax<T> {
    /// What a value looks like, for documentation and error messages.
    pub(crate) what: &'static str,
    /// Reads it. An empty text means unset, as in Kong's files.
    pub(crate) parse: fn(&str) -> Result<T, String>,
    /// Shows it.
    pub(crate) show: fn(&T) -> Shown,
}

/// A value as `GET /` shows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// Not set.
    Nothing,
    /// On or off.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<String>),
}

/// What stands in the place of a secret, as Kong does.
pub(crate) const CONCEALED: &str = "******";

pub(crate) const SWITCH: Syntax<bool> = Syntax {
    what: "on or off",
    parse: |text| match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(invalid(text, "on or off")),
    },
    show: |value| Shown::Bool(*value),
};

pub(crate) const SECONDS: Syntax<Duration> = Syntax {
    what: "seconds, greater than 0",
    parse: |text| match seconds(text)? {
        Duration::ZERO => Err("must be greater than 0".to_owned()),
        duration => Ok(duration),
    },
    show: |value| Shown::Number(value.as_secs_f64()),
};

pub(crate) const SECONDS_OR_ZERO: Syntax<Duration> =
    Syntax { what: "seconds", parse: seconds, show: |value| Shown::Number(value.as_secs_f64()) };

pub(crate) const OPTIONAL_SECONDS: Syntax<Option<Duration>> = Syntax {
    what: "seconds",
    parse: |text| if text.is_empty() { Ok(None) } else { seconds(text).map(Some) },
    show: |value| value.map_or(Shown::Nothing, |value| Shown::Number(value.as_secs_f64())),
};

pub(crate) const MILLISECONDS: Syntax<Duration> = Syntax {
    what: "milliseconds, greater than 0",
    parse: |text| match whole(text)? {
        0 => Err("must be greater than 0".to_owned()),
        ms => Ok(Duration::from_millis(ms)),
    },
    show: |value| Shown::Number(value.as_secs_f64() * 1_000.0),
};

/// As another one when nothing is given.
pub(crate) const OPTIONAL_MILLISECONDS: Syntax<Option<Duration>> = Syntax {
    what: "milliseconds, greater than 0",
    parse: |text| if text.is_empty() { Ok(None) } else { (MILLISECONDS.parse)(text).map(Some) },
    show: |value| {
        value.map_or(Shown::Nothing, |value| Shown::Number(value.as_secs_f64() * 1_000.0))
    },
};

/// As another one when nothing is given.
pub(crate) const OPTIONAL_COUNT: Syntax<Option<u64>> = Syntax {
    what: "a number, 0 or greater",
    parse: |text| if text.is_empty() { Ok(None) } else { whole(text).map(Some) },
    show: |value| value.map_or(Shown::Nothing, |value| Shown::Number(value as f64)),
};

/// As another one when nothing is given.
pub(crate) const OPTIONAL_SWITCH: Syntax<Option<bool>> = Syntax {
    what: "on or off",
    parse: |text| if text.is_empty() { Ok(None) } else { (SWITCH.parse)(text).map(Some) },
    show: |value| value.map_or(Shown::Nothing, Shown::Bool),
};

pub(crate) const COUNT: Syntax<u64> = Syntax {
    what: "a number, 0 or greater",
    parse: whole,
    show: |value| Shown::Number(*value as f64),
};

pub(crate) const SIZE: Syntax<u64> = Syntax {
    what: "a size in bytes, or with k, m or g; 0 means no limit",
    parse: size,
    show: |value| Shown::Text(value.to_string()),
};

pub(crate) const PORT: Syntax<u16> = Syntax {
    what: "a port number",
    parse: |text| match text.parse() {
        Ok(0) | Err(_) => Err(invalid(text, "a port number from 1 to 65535")),
        Ok(port) => Ok(port),
    },
    show: |value| Shown::Number(f64::from(*value)),
};

/// As another one when nothing is given.
pub(crate) const OPTIONAL_PORT: Syntax<Option<u16>> = Syntax {
    what: "a port number",
    parse: |text| if text.is_empty() { Ok(None) } else { (PORT.parse)(text).map(Some) },
    show: |value| value.map_or(Shown::Nothing, |value| Shown::Number(f64::from(value))),
};

pub(crate) const WORKERS: Syntax<Option<NonZeroUsize>> = Syntax {
    what: "auto (one per processor) or a number from 1 to 1024",
    parse: |text| match text {
        "auto" => Ok(None),
        _ => match text.parse::<NonZeroUsize>() {
            Ok(workers) if workers.get() <= 1024 => Ok(Some(workers)),
            _ => Err(invalid(text, "auto or a number from 1 to 1024")),
        },
    },
    show: |value| {
        value.map_or_else(
            || Shown::Text("auto".to_owned()),
            |workers| Shown::Text(workers.to_string()),
        )
    },
};

pub(crate) const TEXT: Syntax<String> = Syntax {
    what: "a text",
    parse: |text| {
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
    },
    show: |value| Shown::Text(value.clone()),
};

pub(crate) const OPTIONAL_TEXT: Syntax<Option<String>> = Syntax {
    what: "a text",
    parse: |text| Ok((!text.is_empty()).then(|| text.to_owned())),
    show: |value| value.as_ref().map_or(Shown::Nothing, |value| Shown::Text(value.clone())),
};

pub(crate) const OPTIONAL_SECRET: Syntax<Option<Secret>> = Syntax {
    what: "a secret",
    parse: |text| Ok((!text.is_empty()).then(|| Secret::new(text))),
    show: |value| if value.is_some() { Shown::Text(CONCEALED.to_owned()) } else { Shown::Nothing },
};

pub(crate) const TEXTS: Syntax<Vec<String>> = Syntax {
    what: "a list of texts",
    parse: |text| list(text, |item| Ok(item.to_owned())),
    show: |value| shown_list(value),
};

pub(crate) const SECRETS: Syntax<Vec<Secret>> = Syntax {
    what: "a list of secrets",
    parse: |text| list(text, |item| Ok(Secret::new(item))),
    show: |value| Shown::List(value.iter().map(|_| CONCEALED.to_owned()).collect()),
};

pub(crate) const SHARE: Syntax<f64> = Syntax {
    what: "a share between 0 and 1",
    parse: |text| match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(invalid(text, "a share between 0 and 1")),
    },
    show: |value| Shown::Number(*value),
};

/// `off` is none, as in Kong's settings of log files. The name of a format behind the file, as Kong's own defaults
/// have it, says nothing that is not said elsewhere.
pub(crate) const FILE_OR_OFF: Syntax<Option<PathBuf>> = Syntax {
    what: "off, or a file",
    parse: |text| {
        let format = [" basic", " combined", " kong_log_format"];
        let path =
            format.iter().find_map(|name| text.strip_suffix(name)).unwrap_or(text).trim_end();
        Ok((!matches!(path, "" | "off")).then(|| PathBuf::from(path)))
    },
    show: |value| match value {
        Some(path) => Shown::Text(path.display().to_string()),
        None => Shown::Text("off".to_owned()),
    },
};

pub(crate) const DIRECTORY: Syntax<PathBuf> = Syntax {
    what: "a directory",
    parse: |text| (TEXT.parse)(text).map(PathBuf::from),
    show: |value| Shown::Text(value.display().to_string()),
};

pub(crate) const OPTIONAL_FILE: Syntax<Option<PathBuf>> = Syntax {
    what: "a file",
    parse: |text| Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from)),
    show: |value| {
        value.as_ref().map_or(Shown::Nothing, |file| Shown::Text(file.display().to_string()))
    },
};

pub(crate) const OPTIONAL_UUID: Syntax<Option<Uuid>> = Syntax {
    what: "a UUID",
    parse: |text| match text {
        "" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| invalid(text, "a UUID")),
    },
    show: |value| value.map_or(Shown::Nothing, |value| Shown::Text(value.to_string())),
};

/// What Kong says of a value that is none of those allowed.
pub(crate) fn invalid(text: &str, allowed: &str) -> String {
    format!("has an invalid value: '{text}' ({allowed})")
}

/// The items of a list: separated by commas, trimmed, without the empty ones.
pub(crate) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Every item of a list in its own syntax.
pub(crate) fn list<T>(
    text: &str,
    item: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    items(text).map(item).collect()
}

pub(crate) fn shown_list<T: Display>(values: &[T]) -> Shown {
    Shown::List(values.iter().map(T::to_string).collect())
}

/// A number as Kong reads it: decimal, or hexadecimal after `0x`.
fn whole(text: &str) -> Result<u64, String> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16),
        None => text.parse(),
    }
    .map_err(|_| invalid(text, "a number, 0 or greater"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || invalid(text, "a number of seconds, 0 or greater");
    Duration::try_from_secs_f64(text.parse().map_err(|_| wrong())?).map_err(|_| wrong())
}

/// nginx's sizes: `8k`, `10m`, `1g`.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || invalid(text, "a size such as 8k, 10m or 1g");
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1 << 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 1 << 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 1 << 30),
        _ => (Some(text), 1),
    };
    let number: u64 = digits.unwrap_or_default().parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}
