//! From the change log to every data plane's stream.
