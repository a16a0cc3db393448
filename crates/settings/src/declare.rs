//! What a declaration of a setting consists of.

/// The programs that read settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `weir-control-plane`.
    ControlPlane,
    /// `weir-data-plane`.
    DataPlane,
    /// `weir start`: both planes.
    Weir,
}

/// A setting that nobody gave has this value, in the syntax of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Default {
    /// In general.
    pub everywhere: &'static str,
    /// In `weir start`, where it differs.
    pub weir: Option<&'static str>,
}

impl Default {
    /// The default for this program.
    pub fn of(self, program: Program) -> &'static str {
        match (program, self.weir) {
            (Program::Weir, Some(weir)) => weir,
            _ => self.everywhere,
        }
    }
}

/// One setting, as documentation and commands see it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Kong's name; the flag is `--` and the name with dashes, the variable `WEIR_` and the name
    /// in capitals.
    pub name: &'static str,
    /// Other names that Kong has or had for it.
    pub aliases: &'static [&'static str],
    /// What it does, one or more sentences.
    pub doc: &'static str,
    /// What its value looks like.
    pub syntax: &'static str,
    /// Its value when it is not given.
    pub default: Default,
    /// The heading under which it is shown.
    pub group: &'static str,
    /// Which programs read it, besides `weir start`, which reads all.
    pub read_by: &'static [Program],
}

impl Setting {
    /// Whether the program reads it.
    pub fn is_read_by(&self, program: Program) -> bool {
        program == Program::Weir || self.read_by.contains(&program)
    }
}

/// Declares [`Settings`](crate::Settings) and [`ALL`](crate::ALL) together:
/// `name: Type = syntax, "default" (weir "default")?, [programs] [, alias "name"]*;`
macro_rules! settings {
    ($(
        $group:literal {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $type:ty = $syntax:expr, $default:literal $((weir $weir:literal))?, $read_by:expr $(, alias $alias:literal)*;
            )+
        }
    )+) => {
        /// Every setting's value, checked.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(
                $(#[doc = $doc])+
                pub $name: $type,
            )+)+
        }

        /// Every setting, in the order in which they are documented.
        pub const ALL: &[Setting] = &[
            $($(
                Setting {
                    name: stringify!($name),
                    aliases: &[$($alias),*],
                    doc: concat!($($doc, "\n"),+),
                    syntax: $syntax.what,
                    default: Default { everywhere: $default, weir: settings!(@weir $($weir)?) },
                    group: $group,
                    read_by: $read_by,
                },
            )+)+
        ];

        impl Settings {
            /// Reads every setting; `None` when one of them was at fault, which the reader noted.
            pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Settings> {
                $($(let $name = reader.read(stringify!($name), &$syntax);)+)+
                Some(Settings { $($($name: $name?,)+)+ })
            }

            /// The values as Kong's `GET /` shows its configuration; secrets are replaced.
            pub fn shown(&self) -> Vec<(&'static str, Shown)> {
                vec![$($((stringify!($name), ($syntax.show)(&self.$name)),)+)+]
            }
        }
    };
    (@weir) => { None };
    (@weir $weir:literal) => { Some($weir) };
}

pub(crate) use settings;
