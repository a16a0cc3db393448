use bytes::Bytes;
use plugin::{Connection, Destination, DialError, Dialer, Dialing, Node, Scope};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::sender::Sender;
use super::*;

/// Connects to whom it is told to.
#[derive(Debug)]
struct Direct;

impl Dialer for Direct {
    fn dial<'a>(&'a self, to: &'a Destination, _: Duration) -> Dialing<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect((to.host.as_str(), to.port)).await;
            stream
                .map(|stream| Box::new(stream) as Box<dyn Connection>)
                .map_err(|error| DialError(error.to_string()))
        })
    }
}

/// A server that answers its requests with these statuses, the last one for all further ones, and
/// tells of each: the number of its connection, its head, its body.
struct Server {
    port: u16,
    seen: mpsc::UnboundedReceiver<(usize, String, String)>,
}

impl Server {
    async fn start(statuses: &'static [u16]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut statuses = statuses.iter().copied();
            let mut status = 200;
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                while let Some((head, body)) = request(&mut stream).await {
                    status = statuses.next().unwrap_or(status);
                    tell.send((number, head, body)).unwrap();
                    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        Server { port, seen }
    }

    async fn next(&mut self) -> (usize, String, String) {
        self.seen.recv().await.unwrap()
    }
}

async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut text = String::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&part[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.unwrap().parse::<usize>().unwrap() {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}

/// These settings, the others as by default.
fn object(settings: Value) -> schema::Object {
    let mut config = Config::record().defaults();
    let Value::Object(settings) = settings else { unreachable!() };
    config.extend(settings);
    config
}

fn config(settings: Value) -> Config {
    serde_json::from_value(Value::Object(object(settings))).unwrap()
}

/// An instance with these settings.
fn instance(node: &Node, settings: Value) -> HttpLog {
    let config = object(settings);
    let instance = Instance {
        id: Uuid::nil(),
        scope: Scope::default(),
        config: &config,
        previous: None,
        node,
    };
    HttpLog::build(&instance, None).unwrap()
}

fn node() -> Node {
    Node::detached().dialing(Arc::new(Direct))
}

fn push(log: &HttpLog, records: &[&'static str]) {
    records.iter().for_each(|record| log.queue.push(Bytes::from_static(record.as_bytes())));
}

#[tokio::test]
async fn records_go_one_by_one_over_a_connection_that_is_kept() {
    let mut server = Server::start(&[200]).await;
    let endpoint = format!("http://u:p@127.0.0.1:{}/in?x=1", server.port);
    let settings = json!({
        "http_endpoint": endpoint, "method": "PUT", "headers": {"X-Own": "v", "User-Agent": "me"},
    });
    let log = instance(&node(), settings);
    push(&log, &["{1}", "{2}"]);
    let (connection, head, body) = server.next().await;
    assert_eq!((connection, body.as_str()), (0, "{1}"));
    assert!(head.starts_with("PUT /in HTTP/1.1\r\n"), "{head}");
    for line in [
        format!("host: 127.0.0.1:{}", server.port).as_str(),
        "authorization: Basic dTpw",
        "content-type: application/json",
        "user-agent: me",
        "x-own: v",
    ] {
        assert!(head.lines().any(|other| other == line), "{line}: {head}");
    }
    let (connection, _, body) = server.next().await;
    assert_eq!((connection, body.as_str()), (0, "{2}"));
}

#[tokio::test]
async fn a_batch_is_a_list_and_is_sent_again_until_the_server_takes_it() {
    let mut server = Server::start(&[500, 302, 200]).await;
    let queue = json!({"max_batch_size": 10, "max_coalescing_delay": 0});
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let log = instance(&node(), json!({"http_endpoint": endpoint, "queue": queue}));
    push(&log, &["{1}"]);
    for _ in 0..3 {
        assert_eq!(server.next().await.2, "[{1}]");
    }
    push(&log, &["{2}"]);
    assert_eq!(server.next().await.2, "[{2}]");
}

#[tokio::test]
async fn settings_of_former_times_count() {
    let settings = json!({
        "http_endpoint": "http://a", "queue_size": 20, "flush_timeout": 5, "retry_count": 3,
    });
    let limits = limits(&config(settings));
    assert_eq!((limits.batch, limits.delay), (20, Duration::from_secs(5)));
}

#[tokio::test]
async fn instances_that_send_alike_share_a_queue() {
    let node = node();
    let settings = json!({"http_endpoint": "http://logs.test/"});
    let first = instance(&node, settings.clone());
    let mut alike = settings.clone();
    alike["custom_fields_by_lua"] = json!({"a": "return 1"});
    assert!(Arc::ptr_eq(&first.queue, &instance(&node, alike).queue));
    for (name, value) in [
        ("http_endpoint", json!("http://logs.test/other")),
        ("http_endpoint", json!("http://other.test/")),
        ("method", json!("PUT")),
        ("timeout", json!(5)),
        ("headers", json!({"X-Own": "v"})),
        ("queue", json!({"max_batch_size": 2})),
    ] {
        let mut other = settings.clone();
        other[name] = value;
        assert!(!Arc::ptr_eq(&first.queue, &instance(&node, other).queue), "{name}");
    }
}

#[tokio::test]
async fn a_batch_holds_the_records_of_all_who_share_its_queue() {
    let mut server = Server::start(&[200]).await;
    let queue = json!({"max_batch_size": 2, "max_coalescing_delay": 3600});
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let settings = json!({"http_endpoint": endpoint, "queue": queue});
    let node = node();
    let (one, other) = (instance(&node, settings.clone()), instance(&node, settings));
    push(&one, &["{1}"]);
    drop(one);
    push(&other, &["{2}"]);
    assert_eq!(server.next().await.2, "[{1},{2}]");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up_within_the_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let settings = json!({"http_endpoint": endpoint, "timeout": 50});
    let config = config(settings);
    let sender = Sender::new(sending(&config, &limits(&config)).unwrap(), Arc::new(Direct));
    let reason = crate::queue::Deliver::deliver(&sender, &[Bytes::from_static(b"{}")]).await;
    assert_eq!(reason, Err("no answer within 50 ms (timeout)".to_owned()));
}
