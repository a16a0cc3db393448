//! Every plugin, one folder each, and the list of them.
