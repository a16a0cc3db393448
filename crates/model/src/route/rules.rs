//! What holds for a route, by its protocols and the router's flavor.

use std::sync::LazyLock;

use schema::Record;

use super::{Route, RouterFlavor};

/// The declaration of a route in a flavor.
pub(crate) fn record_of(flavor: RouterFlavor) -> &'static Record {
    static CLASSIC: LazyLock<Record> =
        LazyLock::new(|| Route::record().clone().without(&["expression", "priority"]));
    match flavor {
        RouterFlavor::Expressions => Route::record(),
        RouterFlavor::Traditional | RouterFlavor::TraditionalCompatible => &CLASSIC,
    }
}
