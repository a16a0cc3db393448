//! How the routes are put in order.

/// Kong's `route_match_calculation`: how the number of a classic route is made, outside the
/// `traditional` flavor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calculation {
    /// As Kong 3.x makes it, bit for bit. Its shifts lose the upper 32 bits of most fields, so an
    /// exact host, then a regular expression, outrank the number of conditions.
    #[default]
    Original,
    /// As it was meant: first the number of kinds of condition, then exact hosts, headers,
    /// regular expressions, `regex_priority`, length of the path.
    Strict,
}

/// Which of Kong's routers is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Kong's `router_flavor`.
    pub flavor: model::RouterFlavor,
    /// Kong's `route_match_calculation`.
    pub calculation: Calculation,
}

impl Rules {
    /// Whether it is the `traditional` flavor, which has its own order and reads ports and
    /// wildcards a little differently.
    pub(crate) fn traditional(self) -> bool {
        self.flavor == model::RouterFlavor::Traditional
    }
}

impl Default for Rules {
    /// Kong's defaults.
    fn default() -> Rules {
        Rules {
            flavor: model::RouterFlavor::TraditionalCompatible,
            calculation: Calculation::Original,
        }
    }
}
