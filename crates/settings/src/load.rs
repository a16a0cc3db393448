//! From what was given to checked settings.

use std::collections::BTreeMap;

use crate::declare::{Program, Setting};
use crate::fault::{Fault, Faults, Origin};
use crate::kong;
use crate::source::{self, Sources};
use crate::syntax::Syntax;
use crate::table::{ALL, Settings};

/// Checked settings, and what the operator should know about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What was given and has no effect, each a sentence. To be logged once logging runs.
    pub warnings: Vec<String>,
}

/// Merges the sources (default < file < environment < flag; `WEIR_` before `KONG_`), and checks
/// every value.
///
/// # Errors
/// Everything that is wrong, all together.
pub fn resolve(program: Program, sources: &Sources) -> Result<Loaded, Faults> {
    let mut reader = Reader {
        program,
        environment: &sources.environment,
        given: BTreeMap::new(),
        faults: Vec::new(),
        warnings: Vec::new(),
    };
    if let Some((path, text)) = &sources.file {
        for (name, value, origin) in source::lines(path, text) {
            reader.give(name, value, origin, Unknown::IsFault);
        }
    }
    for (prefix, unknown) in [("KONG_", Unknown::IsWarning), ("WEIR_", Unknown::IsFault)] {
        for (variable, value) in &sources.environment {
            if let Some(name) = variable.strip_prefix(prefix) {
                let origin = Origin::Environment(variable.clone());
                reader.give(&name.to_ascii_lowercase(), value.clone(), origin, unknown);
            }
        }
    }
    for (name, value) in &sources.flags {
        let flag = format!("--{}", name.replace('_', "-"));
        reader.give(name, value.clone(), Origin::Flag(flag), Unknown::IsFault);
    }
    let settings = Settings::read(&mut reader);
    match settings {
        Some(settings) if reader.faults.is_empty() => {
            let mut faults = Vec::new();
            settings.check(program, &mut faults);
            if faults.is_empty() {
                return Ok(Loaded { settings, warnings: reader.warnings });
            }
            Err(Faults(faults))
        }
        _ => Err(Faults(reader.faults)),
    }
}

/// What an unknown name means: in our own file and variables a mistake; `KONG_` variables are
/// also set by Kong's container images and by Kubernetes for a service named `kong`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    IsFault,
    IsWarning,
}

/// What was given for each setting, and the notes taken while reading it.
pub(crate) struct Reader<'a> {
    program: Program,
    environment: &'a [(String, String)],
    given: BTreeMap<&'static str, (String, Origin)>,
    faults: Vec<Fault>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn give(&mut self, name: &str, value: String, origin: Origin, unknown: Unknown) {
        if let Some(setting) = setting(name) {
            self.given.insert(setting.name, (value, origin));
        } else if let Some(why) = kong::without_meaning(name) {
            self.warnings.push(format!("{name} has no effect: {why} ({origin})"));
        } else if name == CONF || is_of_kubernetes(name) {
            // The file's own name, read before; and the variables of a Kubernetes service.
        } else if unknown == Unknown::IsWarning {
            self.warnings.push(format!("{name} is no setting{} ({origin})", suggestion(name)));
        } else {
            let message = format!("there is no such setting{}", suggestion(name));
            self.faults.push(Fault { subject: name.to_owned(), origin, message });
        }
    }

    /// The value of a setting; `None` when it is at fault, which is noted.
    pub(crate) fn read<T>(&mut self, name: &'static str, syntax: &Syntax<T>) -> Option<T> {
        let setting = setting(name)?;
        let (text, origin) = match self.given.get(name) {
            Some((text, origin)) => (text.as_str(), origin.clone()),
            None => (setting.default.of(self.program), Origin::Default),
        };
        let parsed = self.dereference(text).and_then(|text| (syntax.parse)(text.trim()));
        match parsed {
            Ok(value) => Some(value),
            Err(message) => {
                self.faults.push(Fault { subject: name.to_owned(), origin, message });
                None
            }
        }
    }

    /// Kong's reference to the environment in place of a value: `{vault://env/my-secret}` is
    /// `MY_SECRET`.
    fn dereference(&self, text: &str) -> Result<String, String> {
        let Some(reference) =
            text.trim().strip_prefix("{vault://").and_then(|rest| rest.strip_suffix('}'))
        else {
            return Ok(text.to_owned());
        };
        let Some(name) = reference.strip_prefix("env/") else {
            return Err(format!(
                "{{vault://{reference}}}: only {{vault://env/NAME}} can be read in settings"
            ));
        };
        let variable = name.replace('-', "_").to_ascii_uppercase();
        self.environment
            .iter()
            .find(|(name, _)| *name == variable)
            .map(|(_, value)| value.clone())
            .ok_or_else(|| {
                format!("refers to the environment variable {variable}, which is not set")
            })
    }
}

/// The flag, and the variable without its prefix, that name the file of settings.
pub(crate) const CONF: &str = "conf";

fn setting(name: &str) -> Option<&'static Setting> {
    ALL.iter().find(|setting| setting.name == name || setting.aliases.contains(&name))
}

/// Kubernetes gives every container the addresses of its namespace's services: a service named
/// `weir-admin` makes `WEIR_ADMIN_SERVICE_HOST`, `WEIR_ADMIN_PORT_8001_TCP_ADDR` and more.
fn is_of_kubernetes(name: &str) -> bool {
    if name.ends_with("_service_host")
        || name == "service_host"
        || name.ends_with("_port")
        || name == "port"
    {
        return true;
    }
    ["service_port", "port_"].iter().any(|part| {
        name.find(part).is_some_and(|at| at == 0 || name.as_bytes().get(at - 1) == Some(&b'_'))
    })
}

fn suggestion(name: &str) -> String {
    let nearest = ALL
        .iter()
        .map(|setting| (strsim::normalized_damerau_levenshtein(name, setting.name), setting.name))
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((likeness, nearest)) if likeness > 0.6 => format!("; did you mean {nearest}?"),
        _ => String::new(),
    }
}
