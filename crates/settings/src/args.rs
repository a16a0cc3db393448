//! The command line's view of the settings.

use std::path::PathBuf;

use clap::{Arg, ArgMatches};

use crate::declare::{Program, Setting};
use crate::fault::Faults;
use crate::load::{CONF, Loaded, resolve};
use crate::source::{DEFAULT_FILES, Sources, read_file, system_environment};
use crate::table::ALL;

/// A flag for every setting that the program reads, and `--conf` for the file.
pub fn args(program: Program) -> Vec<Arg> {
    let conf = Arg::new(CONF)
        .long("conf")
        .short('c')
        .value_name("FILE")
        .help(format!(
            "File of settings (`name = value` lines, as kong.conf) [else: $WEIR_CONF, {}]",
            DEFAULT_FILES.join(", ")
        ))
        .help_heading("Settings");
    let flags = ALL
        .iter()
        .filter(|setting| setting.is_read_by(program))
        .map(|setting| flag(setting, program));
    std::iter::once(conf).chain(flags).collect()
}

/// Settings from the flags of [`args`], this process's environment and the file.
///
/// # Errors
/// Everything that is wrong, all together.
pub fn from_matches(program: Program, matches: &ArgMatches) -> Result<Loaded, Faults> {
    let environment = system_environment();
    let variable =
        |name: &str| environment.iter().find(|(other, _)| other == name).map(|(_, value)| value);
    let named = matches
        .try_get_one::<String>(CONF)
        .ok()
        .flatten()
        .or_else(|| variable("WEIR_CONF"))
        .or_else(|| variable("KONG_CONF"))
        .map(PathBuf::from);
    let file = read_file(named.as_deref()).map_err(|fault| Faults(vec![fault]))?;
    let flags = ALL
        .iter()
        .filter_map(|setting| {
            let value = matches.try_get_one::<String>(setting.name).ok().flatten()?;
            Some((setting.name.to_owned(), value.clone()))
        })
        .collect();
    resolve(program, &Sources { file, environment, flags })
}

fn flag(setting: &Setting, program: Program) -> Arg {
    let default = setting.default.of(program);
    let doc = setting.doc.trim().split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
    let doc = doc.trim_end_matches('.');
    let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
    let variable = setting.name.to_ascii_uppercase();
    Arg::new(setting.name)
        .long(setting.name.replace('_', "-"))
        .value_name("VALUE")
        .allow_hyphen_values(true)
        .help(format!("{doc}{default}"))
        .long_help(format!("{doc}. Value: {}{default} [env: WEIR_{variable}]", setting.syntax))
        .help_heading(setting.group)
}
