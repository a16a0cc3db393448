//! Where a setting comes from: default, file, environment, flag.
