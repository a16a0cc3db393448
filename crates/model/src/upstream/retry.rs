//! Trying again: Weir's own settings, beyond Kong's `retries` of the service.

use schema::Field;

use crate::types;

schema::record! {
    /// When and how a request is tried again at another target. How often at most, `retries` of
    /// the service says.
    pub struct Retry {
        /// Statuses of targets that are tried again at another one, while there is one; the last
        /// answer is passed on. Null: none, as by Kong.
        pub http_statuses: Option<Vec<u16>> = Field::set(Field::integer().between(400, 599)),
        /// Methods whose requests may be sent twice: after an answer of `http_statuses`, or when a
        /// target was lost after the request had been sent. Null: all but POST, LOCK and PATCH,
        /// as by Kong. A target that cannot be reached was sent nothing, so that every method is
        /// tried again.
        pub methods: Option<Vec<String>> = Field::set(types::http_method()),
        /// Seconds that each try may take until the head of the answer is there; then the next
        /// one begins. Null or 0: only the service's time-outs hold, as by Kong.
        pub timeout: Option<f64> = Field::number().between(0, 65535),
        /// Seconds before the first retry, doubled for each further one, of which a random part
        /// is waited. 0: no wait, as by Kong.
        pub backoff: Option<f64> = Field::number().between(0, 60).default(0),
        /// The longest of these waits, in seconds.
        pub backoff_max: Option<f64> = Field::number().between(0, 60).default(1),
        /// Retries of all requests to the upstream on one data plane, in percent of the requests
        /// of the last ten seconds, so that retries do not bury an upstream that is overloaded.
        /// Null: without limit, as by Kong.
        pub budget: Option<f64> = Field::number().between(0, 100),
        /// Retries in a second that are allowed whatever the budget, for the sake of upstreams
        /// with few requests.
        pub budget_min: Option<u32> = Field::integer().between(0, 65535).default(10),
    }
}
