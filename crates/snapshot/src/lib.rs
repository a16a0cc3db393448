//! What a data plane serves: entities compiled into one immutable value.
