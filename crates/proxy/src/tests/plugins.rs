//! The phases of plugins: who is called, in which order, and what becomes of one that fails.

use std::{
    fmt,
    sync::{Arc, LazyLock, Mutex},
};

use http1::ResponseHead;
use plugin::{
    Access, Answer, Answered, BuildError, Definition, Exchange, Instance, Listing, Node, Outcome,
    Phases, Plugin, Registry, ResponseBody, Verdict,
};
use serde_json::{Value, json};

use super::{
    Backend, Gateway,
    gateway::{entity, route, service},
    split_head,
};

/// What was called, in its order.
#[derive(Debug, Default)]
struct Journal(Mutex<Vec<String>>);

impl Journal {
    fn of(node: &Node) -> Arc<Journal> {
        node.common(|_| Journal::default())
    }

    fn note(&self, call: String) {
        self.0.lock().unwrap().push(call);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A plugin that notes its calls, and in the phase that its configuration names does what it says.
struct Probe {
    name: String,
    what: Value,
    journal: Arc<Journal>,
}

impl Probe {
    /// Notes the call; what to do in this phase.
    fn called(&self, phase: &str) -> &str {
        self.journal.note(format!("{} {phase}", self.name));
        self.what[phase].as_str().unwrap_or_default()
    }

    fn panic_if_told(&self, phase: &str) {
        let what = self.called(phase);
        assert!(what != "panic", "told to");
    }

    fn decide(&self, phase: &str) -> Verdict {
        match self.called(phase) {
            "" => Verdict::Continue,
            "answer" => Verdict::Answer(Answer::error(418, "from a plugin")),
            "fail" => Verdict::Fail("it has no tea".to_owned()),
            other => panic!("told to {other}"),
        }
    }
}

impl Plugin for Probe {
    fn rewrite(&self, _: &mut Exchange<'_>) -> Verdict {
        self.decide("rewrite")
    }

    fn access<'a>(&'a self, _: &'a mut Exchange<'_>) -> Access<'a> {
        if self.what["access"] == "panic later" {
            return Access::Later(Box::pin(async {
                tokio::task::yield_now().await;
                self.decide("access")
            }));
        }
        Access::Now(self.decide("access"))
    }

    fn header_filter(&self, _: &mut Answered<'_>, _: &mut ResponseHead) {
        self.panic_if_told("header_filter");
    }

    fn body_filter(&self, _: &mut Answered<'_>, body: &mut ResponseBody<'_>) {
        if body.last {
            self.panic_if_told("body_filter");
        }
    }

    fn log(&self, _: &mut Answered<'_>, _: &Outcome<'_>) {
        self.panic_if_told("log");
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("name", &self.name).finish()
    }
}

/// `first` runs before `second`.
#[derive(Debug)]
struct Probes([Definition; 2]);

impl Registry for Probes {
    fn definitions(&self) -> &[Definition] {
        &self.0
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|definition| definition.listing.name == name)
    }
}

fn build(instance: &Instance<'_>) -> Result<Arc<dyn Plugin>, BuildError> {
    Ok(Arc::new(Probe {
        name: instance.config["name"].as_str().unwrap_or_default().to_owned(),
        what: Value::Object(instance.config.clone()),
        journal: Journal::of(instance.node),
    }))
}

fn probes() -> &'static Probes {
    static NO_SETTINGS: LazyLock<schema::Record> = LazyLock::new(schema::Record::default);
    static PROBES: LazyLock<Probes> = LazyLock::new(|| {
        let definition = |name, priority| Definition {
            listing: Listing {
                name,
                version: "1.0.0",
                priority,
                schema: schema::Subschema::new(),
                config: &NO_SETTINGS,
                example: "",
            },
            phases: Phases {
                preread: false,
                rewrite: true,
                access: true,
                header_filter: true,
                body_filter: true,
                log: true,
            },
            build,
        };
        Probes([definition("first", 2), definition("second", 1)])
    });
    &PROBES
}

fn probe(number: u8, name: &str, mut config: Value) -> (&'static str, Value) {
    config["name"] = name.into();
    entity("plugins", number, json!({"name": name, "config": config}))
}

struct Test {
    gateway: Gateway,
    journal: Arc<Journal>,
    _backend: Backend,
}

impl Test {
    /// Both plugins before a backend, with these configurations.
    async fn new(first: Value, second: Value) -> Test {
        let backend = Backend::text("from the backend").await;
        let node = Node::detached();
        let entities = [
            service(1, backend.address, json!({})),
            route(1, 1, json!({"paths": ["/"]})),
            probe(1, "first", first),
            probe(2, "second", second),
        ];
        let gateway = Gateway::running(&entities, probes(), node.clone(), |_| {});
        Test { gateway, journal: Journal::of(&node), _backend: backend }
    }

    /// The answer to a request.
    async fn ask(&self) -> String {
        self.gateway.once("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await
    }

    fn failures(&self, plugin: &str) -> Option<u64> {
        let metrics = self.gateway.metrics();
        let name = format!("weir_plugin_failures_total{{plugin=\"{plugin}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
    }
}

const ALL: [&str; 10] = [
    "first rewrite",
    "second rewrite",
    "first access",
    "second access",
    "first header_filter",
    "second header_filter",
    "first body_filter",
    "second body_filter",
    "first log",
    "second log",
];

/// The calls but for those of these phases.
fn without(calls: &[&'static str]) -> Vec<&'static str> {
    ALL.into_iter().filter(|call| !calls.contains(call)).collect()
}

#[tokio::test]
async fn every_phase_runs_in_the_order_of_the_plugins() {
    let test = Test::new(json!({}), json!({})).await;
    assert!(test.ask().await.ends_with("from the backend"));
    assert_eq!(test.journal.take(), ALL);
}

#[tokio::test]
async fn behind_an_answer_the_others_see_it_but_not_the_request() {
    let test = Test::new(json!({"access": "answer"}), json!({})).await;
    let answer = test.ask().await;
    assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
    assert_eq!(test.journal.take(), without(&["second access"]));
    let test = Test::new(json!({"rewrite": "answer"}), json!({})).await;
    assert!(test.ask().await.starts_with("HTTP/1.1 418 "));
    assert_eq!(test.journal.take(), without(&["second rewrite", "first access", "second access"]));
    assert_eq!(test.failures("first"), None);
}

#[tokio::test]
async fn a_plugin_that_panics_or_fails_answers_500_and_is_counted_by_its_name() {
    for (phase, how) in [
        ("access", "panic"),
        ("access", "panic later"),
        ("access", "fail"),
        ("rewrite", "panic"),
        ("rewrite", "fail"),
    ] {
        let test = Test::new(json!({ phase: how }), json!({})).await;
        let answer = test.ask().await;
        let (head, body) = split_head(&answer);
        assert!(head.starts_with("HTTP/1.1 500 "), "{phase} {how}: {answer}");
        assert!(body.contains("An unexpected error occurred"), "{phase} {how}: {answer}");
        assert!(!body.contains("told to") && !body.contains("tea"), "{phase} {how}: {answer}");
        let calls = test.journal.take();
        assert!(!calls.contains(&"second access".to_owned()), "{phase} {how}: {calls:?}");
        assert!(calls.contains(&"second log".to_owned()), "{phase} {how}: {calls:?}");
        assert_eq!(test.failures("first"), Some(1), "{phase} {how}");
        // The plugin goes on, for the next request.
        assert!(test.ask().await.starts_with("HTTP/1.1 500 "), "{phase} {how}");
        assert_eq!((test.failures("first"), test.failures("second")), (Some(2), None));
    }
}

#[tokio::test]
async fn a_plugin_that_panics_at_the_head_of_the_answer_answers_500() {
    let test = Test::new(json!({}), json!({"header_filter": "panic"})).await;
    let answer = test.ask().await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(!answer.contains("from the backend"), "{answer}");
    assert!(test.failures("second") >= Some(1));
}

#[tokio::test]
async fn a_plugin_that_panics_while_it_logs_takes_nothing_from_client_or_others() {
    let test = Test::new(json!({"log": "panic"}), json!({})).await;
    assert!(test.ask().await.ends_with("from the backend"));
    assert_eq!(test.journal.take(), ALL);
    assert_eq!(test.failures("first"), Some(1));
}

#[tokio::test]
async fn an_instance_for_a_route_is_not_called_for_others() {
    let backend = Backend::text("from the backend").await;
    let node = Node::detached();
    let mut guarded = probe(1, "first", json!({}));
    guarded.1["route"] = json!({"id": route(2, 1, json!({})).1["id"]});
    let entities = [
        service(1, backend.address, json!({})),
        route(1, 1, json!({"paths": ["/"]})),
        route(2, 1, json!({"paths": ["/guarded"]})),
        guarded,
    ];
    let gateway = Gateway::running(&entities, probes(), node.clone(), |_| {});
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    gateway.once(&ask("/")).await;
    assert_eq!(Journal::of(&node).take(), [""; 0]);
    gateway.once(&ask("/guarded")).await;
    // Before routing nobody knows of it.
    let calls = ["first access", "first header_filter", "first body_filter", "first log"];
    assert_eq!(Journal::of(&node).take(), calls);
}
