//! No option that nothing reads: every setting's field is read outside of its declaration.

use anyhow::Result;

use super::{Crate, Faults, manifests, read};

pub(super) fn check(crates: &[Crate], faults: &mut Faults) -> Result<()> {
    let Some(settings) = crates.iter().find(|package| package.name == "settings") else {
        return Ok(());
    };
    let table = settings.folder.join("src/table.rs");
    let readers: String = crates
        .iter()
        .filter(|package| package.is_on_a_floor() && package.name != "settings")
        .flat_map(Crate::sources)
        .map(|path| read(&path))
        .collect::<Result<_>>()?;
    for name in names(&read(&table)?) {
        if !manifests::mentions(&readers, &name) {
            faults.note(&table, format!("{name} is read by nothing"));
        }
    }
    Ok(())
}

/// The declarations `name: Type = SYNTAX, …` in the table.
fn names(table: &str) -> Vec<String> {
    let declared = table
        .split_once("settings! {")
        .map_or("", |(_, rest)| rest.split("\n}\n").next().unwrap_or(""));
    declared
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("///") && line.contains(" = "))
        .filter_map(|line| line.split_once(": ").map(|(name, _)| name.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_found() {
        let table = "use x;\nsettings! {\n    \"A\" {\n        /// Doc: x = y.\n        one: u8 = COUNT, \"1\", BOTH;\n        \
                     two: Vec<u8> =\n            LIST, \"\", BOTH;\n    }\n}\nimpl X { let a: u8 = 1; }\n";
        assert_eq!(super::names(table), ["one"]);
    }
}
