//! The resolver against a name server of its own on a free port.

use std::collections::HashMap;
use std::sync::Mutex;

use balancer::{Config, Key, NoPeer, Origin, Pick, TargetChange, TargetSpec};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
use hickory_resolver::proto::rr::{Name as DnsName, RData, Record, RecordType};
use tokio::net::UdpSocket;
use uuid::Uuid;

use super::*;

#[derive(Clone)]
enum Reply {
    Records(u32, Vec<RData>),
    Code(ResponseCode),
    Silence,
}

/// Answers what it is told, and counts who asks for what. Names that it was not told of do not
/// exist.
#[derive(Clone)]
struct NameServer {
    address: SocketAddr,
    replies: Arc<Mutex<HashMap<(String, RecordType), Reply>>>,
    asked: Arc<Mutex<HashMap<(String, RecordType), usize>>>,
}

impl NameServer {
    async fn start() -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = NameServer {
            address: socket.local_addr().unwrap(),
            replies: Arc::default(),
            asked: Arc::default(),
        };
        let running = server.clone();
        tokio::spawn(async move {
            let mut packet = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                if let Some(reply) = running.reply(&packet[..length]) {
                    socket.send_to(&reply, client).await.unwrap();
                }
            }
        });
        server
    }

    fn reply(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let request = Message::from_vec(packet).unwrap();
        let query = request.queries.first().unwrap().clone();
        let key = (query.name().to_utf8().to_lowercase(), query.query_type());
        *self.asked.lock().unwrap().entry(key.clone()).or_default() += 1;
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.add_query(query.clone());
        let replies = self.replies.lock().unwrap();
        let exists = replies.keys().any(|(name, _)| *name == key.0);
        match replies.get(&key) {
            Some(Reply::Silence) => return None,
            Some(Reply::Code(code)) => response.metadata.response_code = *code,
            Some(Reply::Records(ttl, records)) => {
                response.add_answers(
                    records
                        .iter()
                        .map(|data| Record::from_rdata(query.name().clone(), *ttl, data.clone())),
                );
            }
            None if exists => {}
            None => response.metadata.response_code = ResponseCode::NXDomain,
        }
        Some(response.to_vec().unwrap())
    }

    fn set(&self, name: &str, record_type: RecordType, reply: Reply) {
        self.replies.lock().unwrap().insert((name.to_owned(), record_type), reply);
    }

    fn set_addresses(&self, name: &str, ttl: u32, last: &[u8]) {
        let records = last.iter().map(|last| RData::A(A::new(10, 0, 0, *last))).collect();
        self.set(name, RecordType::A, Reply::Records(ttl, records));
    }

    fn asked(&self, name: &str, record_type: RecordType) -> usize {
        let key = (name.to_owned(), record_type);
        self.asked.lock().unwrap().get(&key).copied().unwrap_or_default()
    }

    fn settings(&self) -> ResolverSettings {
        ResolverSettings {
            servers: vec![self.address],
            hosts_file: None,
            error_ttl: Duration::from_millis(10),
            not_found_ttl: Duration::from_millis(10),
            ..ResolverSettings::default()
        }
    }
}

struct Running {
    changes: Arc<Changes>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A resolver that takes a TTL of 0 for 20 ms.
fn start(settings: ResolverSettings) -> Running {
    let changes = Arc::<Changes>::default();
    let mut resolver = Resolver::new(settings, Arc::clone(&changes), 1);
    resolver.shortest = Duration::from_millis(20);
    Running { changes, task: tokio::spawn(resolver.run()) }
}

impl Running {
    fn put(&self, upstream: &Arc<Upstream>) {
        self.changes.add(Change::Put(Arc::clone(upstream)));
    }
}

async fn resolved(upstream: &Upstream) {
    tokio::time::timeout(Duration::from_secs(10), upstream.resolved()).await.unwrap();
}

fn upstream(hosts: &[&str]) -> Arc<Upstream> {
    let config = Config { origin: Origin::Entity, ..Config::implicit(Uuid::new_v4(), "u.test") };
    let upstream = Upstream::new(config, 0);
    upstream.set_targets(&(1..).zip(hosts).map(|(n, host)| target(n, host)).collect::<Vec<_>>());
    upstream
}

fn target(n: u128, host: &str) -> TargetSpec {
    let id = Uuid::from_u128(n);
    TargetSpec { id, host: host.into(), port: 80, weight: 100, failover: false }
}

/// Where its peers are, with their weights.
fn addresses(upstream: &Upstream) -> Vec<(String, u32)> {
    let view = upstream.view(std::time::Instant::now());
    let addresses = view.targets.iter().flat_map(|target| &target.addresses);
    let mut all: Vec<_> = addresses.map(|it| (it.address.to_string(), it.weight)).collect();
    all.sort();
    all
}

fn at(last: &[u8]) -> Vec<(String, u32)> {
    last.iter().map(|last| (format!("10.0.0.{last}:80"), 100)).collect()
}

fn dns(upstream: &Upstream) -> Arc<str> {
    Arc::clone(&upstream.view(std::time::Instant::now()).targets[0].dns)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_name_resolves_and_follows_its_records() {
    let server = NameServer::start().await;
    server.set_addresses("a.example.", 0, &[1, 2]);
    let running = start(server.settings());
    let upstream = upstream(&["a.example"]);
    let pick =
        || upstream.pick(&Pick { key: Key::None, tried: &[], now: std::time::Instant::now() });
    assert_eq!(pick().unwrap_err(), NoPeer::Unresolved);
    running.put(&upstream);
    resolved(&upstream).await;
    assert!(pick().is_ok());
    assert_eq!(addresses(&upstream), at(&[1, 2]));
    assert_eq!(server.asked("a.example.", RecordType::AAAA), 0, "not in the order");
    assert_eq!(server.asked("a.example.", RecordType::SRV), 0, "no service name");
    server.set_addresses("a.example.", 0, &[2, 3]);
    until("the new records", || addresses(&upstream) == at(&[2, 3])).await;
}

#[tokio::test]
async fn records_are_kept_as_long_as_they_say() {
    let server = NameServer::start().await;
    server.set_addresses("long.example.", 3600, &[1]);
    server.set_addresses("short.example.", 0, &[2]);
    let running = start(server.settings());
    let upstream = upstream(&["long.example", "short.example"]);
    running.put(&upstream);
    until("several refreshes", || server.asked("short.example.", RecordType::A) > 5).await;
    assert_eq!(server.asked("long.example.", RecordType::A), 1);
}

#[tokio::test]
async fn a_name_is_one_query_for_all() {
    let server = NameServer::start().await;
    server.set_addresses("a.example.", 3600, &[1]);
    let running = start(server.settings());
    let upstreams: Vec<_> = (0..50).map(|_| upstream(&["a.example"])).collect();
    upstreams.iter().for_each(|upstream| running.put(upstream));
    for upstream in &upstreams {
        resolved(upstream).await;
        assert_eq!(addresses(upstream), at(&[1]));
    }
    // One that comes later finds the answer, also after its target was replaced.
    let late = upstream(&["a.example"]);
    running.put(&late);
    resolved(&late).await;
    late.set_targets(&[]);
    late.set_targets(&[target(9, "a.example")]);
    assert!(!late.is_resolved());
    running.put(&late);
    resolved(&late).await;
    assert_eq!(server.asked("a.example.", RecordType::A), 1);
}

#[tokio::test]
async fn stale_answers_serve_while_the_server_fails() {
    let server = NameServer::start().await;
    server.set_addresses("a.example.", 0, &[1]);
    let settings = ResolverSettings { stale_ttl: Duration::from_millis(500), ..server.settings() };
    let running = start(settings);
    let upstream = upstream(&["a.example"]);
    running.put(&upstream);
    resolved(&upstream).await;
    server.set("a.example.", RecordType::A, Reply::Code(ResponseCode::ServFail));
    let asked = server.asked("a.example.", RecordType::A);
    let is_asked_again = || server.asked("a.example.", RecordType::A) > asked + 1;
    until("another try", is_asked_again).await;
    assert_eq!(addresses(&upstream), at(&[1]), "a failure takes nothing away");
    until("its end", || addresses(&upstream).is_empty()).await;
    assert_eq!(&*dns(&upstream), "dns server error: 2 server failure");
    server.set_addresses("a.example.", 0, &[2]);
    until("recovery", || addresses(&upstream) == at(&[2])).await;
}

#[tokio::test]
async fn a_name_that_is_gone_takes_its_addresses_along() {
    let server = NameServer::start().await;
    server.set_addresses("a.example.", 0, &[1]);
    let running = start(server.settings());
    let upstream = upstream(&["a.example"]);
    running.put(&upstream);
    resolved(&upstream).await;
    server.set("a.example.", RecordType::A, Reply::Code(ResponseCode::NXDomain));
    until("it is gone", || addresses(&upstream).is_empty()).await;
    assert_eq!(&*dns(&upstream), "dns server error: 3 name error");
    server.set("a.example.", RecordType::A, Reply::Records(0, Vec::new()));
    until("it is empty", || &*dns(&upstream) == "dns client error: 101 empty record received")
        .await;
    server.set_addresses("a.example.", 0, &[3]);
    until("it is back", || addresses(&upstream) == at(&[3])).await;
}

#[tokio::test]
async fn a_name_that_never_resolves_says_why() {
    let server = NameServer::start().await;
    server.set("refused.example.", RecordType::A, Reply::Code(ResponseCode::Refused));
    let running = start(server.settings());
    for (host, why) in [
        ("none.example", "dns server error: 3 name error"),
        ("refused.example", "dns server error: 5 refused"),
    ] {
        let service = Upstream::for_host(Uuid::new_v4(), host, 80, 0);
        running.put(&service);
        resolved(&service).await;
        let pick = Pick { key: Key::None, tried: &[], now: std::time::Instant::now() };
        assert_eq!(service.pick(&pick).unwrap_err(), NoPeer::NameResolution(why.into()));
    }
}

#[tokio::test]
async fn services_bring_ports_and_weights() {
    let server = NameServer::start().await;
    let service = |priority, weight, port, name: &str| {
        let target = name.parse::<DnsName>().unwrap();
        RData::SRV(SRV::new(priority, weight, port, target))
    };
    let services = vec![
        service(10, 30, 8001, "n1.example."),
        service(10, 0, 0, "n2.example."),
        service(20, 50, 8003, "n3.example."),
    ];
    server.set("_http._tcp.a.example.", RecordType::SRV, Reply::Records(0, services));
    server.set_addresses("n1.example.", 60, &[1, 2]);
    server.set_addresses("n2.example.", 60, &[3]);
    server.set_addresses("n3.example.", 60, &[4]);
    let running = start(server.settings());
    let upstream = upstream(&["_http._tcp.a.example"]);
    running.put(&upstream);
    resolved(&upstream).await;
    let expected = [("10.0.0.1:8001", 30), ("10.0.0.2:8001", 30), ("10.0.0.3:80", 1)];
    assert_eq!(addresses(&upstream), expected.map(|(at, weight)| (at.to_owned(), weight)));
    assert_eq!(&*dns(&upstream), "SRV");
    assert_eq!(server.asked("n3.example.", RecordType::A), 0, "of a worse priority");
    // Without SRV records the name is one like any other.
    server.set("_http._tcp.a.example.", RecordType::SRV, Reply::Records(0, Vec::new()));
    server.set_addresses("_http._tcp.a.example.", 0, &[7]);
    until("addresses instead", || addresses(&upstream) == at(&[7])).await;
}

#[tokio::test]
async fn the_order_decides_which_family() {
    let server = NameServer::start().await;
    let v6 = RData::AAAA(AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
    server.set("both.example.", RecordType::AAAA, Reply::Records(60, vec![v6.clone()]));
    server.set_addresses("both.example.", 60, &[1]);
    server.set("six.example.", RecordType::AAAA, Reply::Records(60, vec![v6]));
    let v6_first = vec![RecordKind::Aaaa, RecordKind::A];
    let v4_first = vec![RecordKind::Last, RecordKind::A, RecordKind::Aaaa];
    for (order, host, expected) in [
        (v6_first, "both.example", "[fd00::1]:80"),
        (v4_first.clone(), "both.example", "10.0.0.1:80"),
        (v4_first, "six.example", "[fd00::1]:80"),
    ] {
        let running = start(ResolverSettings { order, ..server.settings() });
        let upstream = upstream(&[host]);
        running.put(&upstream);
        resolved(&upstream).await;
        assert_eq!(addresses(&upstream), [(expected.to_owned(), 100)]);
    }
}

#[tokio::test]
async fn fixed_names_need_no_server() {
    let server = NameServer::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# mine\n10.0.0.8 db db.internal\n10.0.0.9 db\n").unwrap();
    let running =
        start(ResolverSettings { hosts_file: Some(file.path().to_owned()), ..server.settings() });
    let upstream = upstream(&["db"]);
    running.put(&upstream);
    resolved(&upstream).await;
    assert_eq!(addresses(&upstream), at(&[8, 9]));
    let local = self::upstream(&["localhost"]);
    running.put(&local);
    resolved(&local).await;
    assert_eq!(addresses(&local), [("127.0.0.1:80".to_owned(), 100)]);
    assert!(server.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn names_that_nobody_wants_are_asked_for_no_more() {
    let server = NameServer::start().await;
    server.set_addresses("a.example.", 0, &[1]);
    server.set_addresses("b.example.", 0, &[2]);
    let running = start(server.settings());
    let (one, two) = (upstream(&["a.example", "b.example"]), upstream(&["b.example"]));
    running.put(&one);
    running.put(&two);
    resolved(&one).await;
    one.change_targets(&[TargetChange::Remove(Uuid::from_u128(1))]);
    running.put(&one);
    running.changes.add(Change::Remove(Arc::clone(&two)));
    let asked = |name: &str| server.asked(name, RecordType::A);
    let b_before = asked("b.example.");
    until("the other goes on", || asked("b.example.") > b_before + 3).await;
    let a_before = asked("a.example.");
    let b_before = asked("b.example.");
    until("the other goes on", || asked("b.example.") > b_before + 5).await;
    assert_eq!(asked("a.example."), a_before);
    assert_eq!(addresses(&one), at(&[2]));
}

#[tokio::test]
async fn a_silent_server_holds_up_nobody_else() {
    let server = NameServer::start().await;
    server.set_addresses("good.example.", 0, &[1]);
    server.set("silent.example.", RecordType::A, Reply::Silence);
    let running = start(server.settings());
    let silent = upstream(&["silent.example"]);
    running.put(&silent);
    until("it is asked for", || server.asked("silent.example.", RecordType::A) > 0).await;
    let good = upstream(&["good.example"]);
    running.put(&good);
    resolved(&good).await;
    assert!(!silent.is_resolved());
}

#[test]
fn a_name_is_looked_for_where_its_dots_say() {
    let mut dns = Dns::new(&ResolverSettings {
        servers: vec![([127, 0, 0, 1], 53).into()],
        hosts_file: None,
        ..ResolverSettings::default()
    });
    dns.look_in(&["one.test", "two.test"], 2);
    let check = |name: &str, expected: &[&str]| {
        assert_eq!(dns.candidate_names(name), expected, "{name}");
    };
    check("a", &["a.one.test.", "a.two.test.", "a."]);
    check("a.b", &["a.b.one.test.", "a.b.two.test.", "a.b."]);
    check("a.b.c", &["a.b.c.", "a.b.c.one.test.", "a.b.c.two.test."]);
    check("a.", &["a."]);
}
