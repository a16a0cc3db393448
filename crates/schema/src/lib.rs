//! Declare fields once: coerce, validate, default, describe.
