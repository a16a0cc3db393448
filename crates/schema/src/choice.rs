//! A closed set of words as an enumeration.

/// Declares an enumeration whose values are words of the API, with serde, `Display`, and its
/// words in order for a field's [`one_of`](crate::Field::one_of).
///
/// ```ignore
/// schema::choice! {
///     /// How a target is picked.
///     pub enum Algorithm {
///         /// In turn, by weight.
///         RoundRobin = "round-robin",
///         /// The one with the fewest requests in flight.
///         LeastConnections = "least-connections",
///     }
/// }
/// let field = Field::string().one_of(Algorithm::WORDS);
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        $visibility:vis enum $name:ident {
            $( $(#[doc = $value_doc:literal])* $value:ident = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
            ::serde::Deserialize, ::serde::Serialize,
        )]
        $visibility enum $name {
            $( $(#[doc = $value_doc])* #[serde(rename = $word)] $value, )+
        }

        impl $name {
            /// The words, in the order of the declaration.
            $visibility const WORDS: [&'static str; [$($word),+].len()] = [$($word),+];

            /// The word of the API.
            $visibility const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$value => $word, )+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
