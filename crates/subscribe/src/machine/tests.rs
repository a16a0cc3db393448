//! Every transition, on time that is made up.

use model::{Change, Kind};

use super::*;

const F: Duration = Duration::from_secs(5);
const S: Duration = Duration::from_secs(1);

/// A machine on its own clock.
struct Bench {
    machine: Machine,
    now: Instant,
}

fn at(revision: u64) -> Cursor {
    Cursor { epoch: Uuid::from_u128(1), revision }
}

fn entities(body: &str) -> Entities {
    [(Kind::known("services"), Uuid::nil(), body.into())].into_iter().collect()
}

fn change(prev: u64, revision: u64, body: &str) -> Transaction {
    let change = Change { kind: Kind::known("services"), id: Uuid::nil(), body: Some(body.into()) };
    Transaction { prev, revision, committed_us: 0, changes: vec![change] }
}

fn failure() -> Failure {
    Failure("no route to host".to_owned())
}

impl Bench {
    fn new(inbox: Inbox, endpoints: usize) -> Bench {
        let now = Instant::now();
        let names = (0..endpoints).map(|n| format!("cp-{n}").into()).collect();
        let machine = Machine::new(Uuid::from_u128(5), names, F, None, 1, inbox, now);
        Bench { machine, now }
    }

    /// Holds revision 5 with the body "five".
    fn restored(endpoints: usize) -> Bench {
        Bench::new(Inbox::restored(at(5), entities("five")), endpoints)
    }

    /// As restored, and its stream has brought a frame.
    fn streaming(endpoints: usize) -> Bench {
        let mut bench = Bench::restored(endpoints);
        let (stream, _) = bench.watch();
        bench.said(stream, Said::Hello { head: at(5) });
        bench.said(stream, bookmark(5, "five"));
        assert_eq!(bench.state(), State::Streaming);
        bench
    }

    fn command(&mut self) -> Option<Command> {
        self.machine.command(self.now)
    }

    /// The next command after time has passed up to the deadline, several times if need be.
    fn next(&mut self) -> Command {
        for _ in 0..10 {
            if let Some(command) = self.command() {
                return command;
            }
            self.now = self.machine.deadline(self.now).expect("there is something to do");
        }
        panic!("nothing to do: {:?}", self.machine);
    }

    fn watch(&mut self) -> (u64, usize) {
        match self.next() {
            Command::Watch { stream, endpoint, from } => {
                assert_eq!(Some(from), self.machine.inbox().at());
                (stream, endpoint)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next poll; streams that are tried before it fail.
    fn poll(&mut self) -> usize {
        loop {
            match self.next() {
                Command::Poll { endpoint, from, audit: false } => {
                    assert_eq!(Some(from), self.machine.inbox().at());
                    return endpoint;
                }
                Command::Watch { stream, .. } => drop(self.said(stream, Said::Closed(failure()))),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next stream; polls that come before it fail.
    fn retry(&mut self) -> (u64, usize) {
        loop {
            match self.next() {
                Command::Watch { stream, endpoint, .. } => return (stream, endpoint),
                Command::Poll { endpoint, .. } => drop(self.polled(endpoint, Err(failure()))),
                other => panic!("{other:?}"),
            }
        }
    }

    fn said(&mut self, stream: u64, said: Said) -> Brought {
        self.machine.on(Event::Stream(stream, said), self.now)
    }

    fn polled(&mut self, endpoint: usize, answer: Result<Batch, Failure>) -> Brought {
        let from = self.machine.inbox().at().expect("something is held");
        self.machine.on(Event::Polled { endpoint, from, sound: true, answer }, self.now)
    }

    fn state(&self) -> State {
        self.machine.state(self.now)
    }

    fn held(&self) -> Option<Cursor> {
        self.machine.inbox().at()
    }
}

fn bookmark(revision: u64, body: &str) -> Said {
    Said::Bookmark { revision, digest: entities(body).digest() }
}

fn batch(head: u64, body: &str, transactions: Vec<Transaction>) -> Result<Batch, Failure> {
    Ok(Batch { head: at(head), digest: entities(body).digest(), outcome: Ok(transactions) })
}

fn refusal(head: Cursor, reason: Reason) -> Result<Batch, Failure> {
    Ok(Batch { head, digest: Digest::default(), outcome: Err(reason) })
}

#[test]
fn with_nothing_a_snapshot_comes_first_then_the_stream() {
    let mut bench = Bench::new(Inbox::default(), 1);
    let Some(Command::Snapshot { ticket, endpoint: 0, from: None }) = bench.command() else {
        panic!("{:?}", bench.machine)
    };
    assert_eq!(bench.command(), None);
    assert_eq!(bench.state(), State::Booting);
    let answer = Ok((at(5), entities("five")));
    let brought = bench.machine.on(Event::Snapshot { ticket, endpoint: 0, answer }, bench.now);
    assert!(matches!(brought, Brought::Everything));
    let (stream, _) = bench.watch();
    bench.said(stream, Said::Hello { head: at(5) });
    assert_ne!(bench.state(), State::Streaming, "a greeting is no frame");
    bench.said(stream, bookmark(5, "five"));
    assert_eq!(bench.state(), State::Streaming);
    assert!(!bench.machine.unconfirmed());
    bench.now += 100 * F;
    assert_eq!(bench.command(), None, "a stream needs no polls");
    assert_eq!(bench.machine.deadline(bench.now), None);
}

#[test]
fn snapshots_are_asked_of_every_control_plane_until_one_answers() {
    let mut bench = Bench::new(Inbox::default(), 3);
    let mut asked = Vec::new();
    for _ in 0..30 {
        let before = bench.now;
        let Command::Snapshot { ticket, endpoint, .. } = bench.next() else { panic!() };
        assert!(bench.now - before <= F, "never more rarely than polls");
        asked.push(endpoint);
        let answer = Err(failure());
        bench.machine.on(Event::Snapshot { ticket, endpoint, answer }, bench.now);
        assert_eq!(bench.state(), State::Booting, "there is nothing to be stale");
    }
    assert!((0..3).all(|n| asked.iter().filter(|endpoint| **endpoint == n).count() == 10));
}

#[test]
fn what_was_kept_is_booting_then_polling_then_stale() {
    let mut bench = Bench::restored(1);
    assert_eq!(bench.state(), State::Booting);
    assert!(bench.machine.unconfirmed());
    let (stream, _) = bench.watch();
    bench.said(stream, Said::Closed(failure()));
    assert_eq!(bench.state(), State::Polling);
    let began = bench.now;
    while bench.state() == State::Polling {
        match bench.next() {
            Command::Watch { stream, .. } => drop(bench.said(stream, Said::Closed(failure()))),
            Command::Poll { endpoint, .. } => drop(bench.polled(endpoint, Err(failure()))),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.state(), State::Stale);
    assert!(bench.now - began >= Duration::from_secs(29));
    // Any answer ends it.
    let endpoint = bench.poll();
    bench.polled(endpoint, batch(5, "five", vec![]));
    assert_eq!(bench.state(), State::Polling);
    assert!(!bench.machine.unconfirmed());
}

#[test]
fn what_was_kept_is_confirmed_when_all_that_was_missing_has_come() {
    let mut bench = Bench::restored(1);
    let (stream, _) = bench.watch();
    bench.said(stream, Said::Hello { head: at(7) });
    bench.said(stream, Said::Transaction(change(5, 6, "six")));
    assert!(bench.machine.unconfirmed(), "more follows");
    bench.said(stream, Said::Transaction(change(6, 7, "seven")));
    bench.said(stream, bookmark(7, "seven"));
    assert!(!bench.machine.unconfirmed());
}

#[test]
fn the_state_turns_stale_by_itself() {
    let mut bench = Bench::streaming(1);
    let stream = bench.machine.stream().expect("it streams");
    bench.said(stream, Said::Closed(failure()));
    // Everything hangs: nothing answers, nothing fails.
    while bench.command().is_some() {}
    while bench.state() == State::Polling {
        let deadline = bench.machine.deadline(bench.now).expect("the turn to stale");
        assert!(deadline > bench.now);
        bench.now = deadline;
        while bench.command().is_some() {}
    }
    assert_eq!(bench.state(), State::Stale);
}

#[test]
fn polls_begin_when_the_stream_drops_and_end_with_its_first_frame() {
    let mut bench = Bench::streaming(2);
    let stream = bench.machine.stream().expect("it streams");
    bench.said(stream, Said::Closed(failure()));
    assert_eq!(bench.state(), State::Polling);
    let dropped = bench.now;
    let (mut polls, mut open, mut last_poll) = (0, None, dropped);
    while polls < 20 {
        match bench.next() {
            Command::Poll { endpoint, .. } => {
                let pause = bench.now - last_poll;
                match polls {
                    0 => assert!(pause <= S, "the first comes at once: {pause:?}"),
                    _ => assert!(pause >= F.mul_f64(0.89) && pause <= F.mul_f64(1.11), "{pause:?}"),
                }
                (last_poll, polls) = (bench.now, polls + 1);
                bench.polled(endpoint, batch(5, "five", vec![]));
            }
            Command::Watch { stream, .. } if polls < 19 => {
                bench.said(stream, Said::Closed(failure()));
            }
            Command::Watch { stream, .. } => open = Some(stream),
            other => panic!("{other:?}"),
        }
    }
    let stream = open.unwrap_or_else(|| bench.watch().0);
    bench.said(stream, Said::Hello { head: at(5) });
    bench.poll();
    bench.polled(0, batch(5, "five", vec![]));
    let brought = bench.said(stream, Said::Transaction(change(5, 6, "six")));
    assert!(matches!(brought, Brought::Changes(taken) if taken.len() == 1));
    assert_eq!(bench.state(), State::Streaming);
    assert_eq!(bench.machine.deadline(bench.now), None, "no more polls");
}

#[test]
fn a_round_of_polls_asks_every_control_plane_once() {
    let mut bench = Bench::streaming(3);
    let stream = bench.machine.stream().expect("it streams");
    bench.said(stream, Said::Closed(failure()));
    let mut asked = Vec::new();
    let mut began = bench.now;
    while asked.len() < 6 {
        match bench.next() {
            Command::Poll { endpoint, .. } => {
                match asked.len() {
                    0 | 3 => began = bench.now,
                    _ => assert_eq!(bench.now, began, "at once, when one does not answer"),
                }
                asked.push(endpoint);
                let behind = refusal(at(4), Reason::Ahead);
                bench.polled(endpoint, if asked.len() % 2 == 0 { behind } else { Err(failure()) });
            }
            Command::Watch { stream, .. } => drop(bench.said(stream, Said::Closed(failure()))),
            other => panic!("{other:?}"),
        }
    }
    for round in asked.chunks(3) {
        assert!((0..3).all(|n| round.contains(&n)), "{asked:?}");
    }
}

#[test]
fn a_stream_is_sought_with_backoff_at_every_control_plane() {
    let mut bench = Bench::restored(2);
    let mut asked = [0, 0];
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        let before = bench.now;
        let (stream, endpoint) = bench.retry();
        asked[endpoint] += 1;
        longest = longest.max(bench.now - before);
        bench.said(stream, Said::Closed(failure()));
    }
    assert_eq!(asked, [20, 20]);
    assert!(longest > 10 * S && longest <= BACKOFF_MAX, "{longest:?}");
    // Who answers a poll is tried at once.
    let endpoint = bench.poll();
    let answered = bench.now;
    bench.polled(endpoint, batch(5, "five", vec![]));
    assert_eq!(bench.watch().1, endpoint);
    assert!(bench.now - answered <= BACKOFF_BASE);
}

#[test]
fn a_goodbye_is_followed_after_the_time_it_names() {
    let mut bench = Bench::streaming(2);
    let stream = bench.machine.stream().expect("it streams");
    let left = bench.machine.following();
    bench.said(stream, Said::Goodbye { retry_after: Duration::from_millis(700) });
    let said = bench.now;
    let (_, next) = bench.retry();
    assert_eq!(bench.now - said, Duration::from_millis(700));
    assert_ne!(Some(next), left, "another one first");
}

#[test]
fn a_log_that_does_not_lead_on_means_a_snapshot() {
    for reason in [Reason::TooOld, Reason::Epoch, Reason::Unspecified] {
        let mut bench = Bench::restored(2);
        let (stream, endpoint) = bench.watch();
        bench.said(stream, Said::Resync(reason));
        let Some(Command::Snapshot { endpoint: of, from, .. }) = bench.command() else {
            panic!("{:?}", bench.machine)
        };
        assert_eq!((of, from), (endpoint, Some(at(5))), "of the one that said so");
        assert_eq!(bench.command(), None, "and nothing else meanwhile");

        let mut bench = Bench::restored(2);
        let (stream, _) = bench.watch();
        bench.said(stream, Said::Closed(failure()));
        let endpoint = bench.poll();
        bench.polled(endpoint, refusal(at(99), reason));
        assert!(
            matches!(bench.command(), Some(Command::Snapshot { endpoint: of, .. }) if of == endpoint)
        );
    }
}

#[test]
fn a_control_plane_that_is_behind_is_left_for_another() {
    let mut bench = Bench::restored(2);
    let (stream, behind) = bench.watch();
    bench.said(stream, Said::Resync(Reason::Ahead));
    assert_eq!(bench.held(), Some(at(5)));
    assert_ne!(bench.retry().1, behind);
}

#[test]
fn outdated_answers_change_nothing() {
    let mut bench = Bench::restored(1);
    let (stream, _) = bench.watch();
    bench.said(stream, Said::Hello { head: at(5) });
    let endpoint = bench.poll();
    // While the poll is on its way, the stream leads on; then the poll says: too old.
    bench.said(stream, Said::Transaction(change(5, 6, "six")));
    let answer = refusal(at(9), Reason::TooOld);
    bench.machine.on(Event::Polled { endpoint, from: at(5), sound: true, answer }, bench.now);
    assert_eq!(bench.state(), State::Streaming);
    assert_eq!(bench.command(), None);
    // A stream that was given up speaks again.
    bench.said(stream, Said::Closed(failure()));
    let (next, _) = bench.retry();
    assert_ne!(next, stream);
    bench.said(stream, Said::Transaction(change(6, 7, "seven")));
    bench.said(stream, Said::Resync(Reason::Epoch));
    assert_eq!((bench.held(), bench.machine.stream()), (Some(at(6)), Some(next)));
}

#[test]
fn a_gap_in_the_stream_is_closed_by_a_poll() {
    let mut bench = Bench::streaming(1);
    let stream = bench.machine.stream().expect("it streams");
    bench.said(stream, Said::Transaction(change(7, 8, "eight")));
    assert_eq!(bench.held(), Some(at(5)));
    let endpoint = bench.poll();
    let brought = bench.polled(endpoint, batch(8, "eight", vec![change(5, 8, "eight")]));
    assert!(matches!(brought, Brought::Changes(taken) if taken.len() == 1));
    assert_eq!(bench.held(), Some(at(8)));

    let mut bench = Bench::streaming(1);
    let stream = bench.machine.stream().expect("it streams");
    bench.said(stream, bookmark(6, "six"));
    assert_eq!(bench.state(), State::Polling, "a bookmark promises what did not come");
    bench.poll();
}

#[test]
fn a_difference_at_the_same_revision_is_repaired_by_a_snapshot() {
    let mut by_bookmark = Bench::streaming(1);
    let stream = by_bookmark.machine.stream().expect("it streams");
    by_bookmark.said(stream, bookmark(5, "not five"));
    let mut by_poll = Bench::restored(1);
    by_poll.watch();
    by_poll.poll();
    by_poll.polled(0, batch(5, "not five", vec![]));
    for mut bench in [by_bookmark, by_poll] {
        let Some(Command::Snapshot { ticket, endpoint, from: Some(from) }) = bench.command() else {
            panic!("{:?}", bench.machine)
        };
        assert_eq!((bench.machine.stream(), from), (None, at(5)));
        let answer = Ok((at(5), entities("not five")));
        let brought = bench.machine.on(Event::Snapshot { ticket, endpoint, answer }, bench.now);
        assert!(matches!(brought, Brought::Everything));
        assert!(matches!(bench.command(), Some(Command::Watch { .. })));
    }
}

#[test]
fn a_snapshot_that_leads_back_is_refused_and_asked_of_another() {
    let mut bench = Bench::restored(2);
    let (stream, _) = bench.watch();
    bench.said(stream, Said::Resync(Reason::TooOld));
    let Some(Command::Snapshot { ticket, endpoint, .. }) = bench.command() else { panic!() };
    let answer = Ok((at(4), entities("four")));
    let brought = bench.machine.on(Event::Snapshot { ticket, endpoint, answer }, bench.now);
    assert!(matches!(brought, Brought::Nothing));
    assert_eq!(bench.held(), Some(at(5)));
    let Command::Snapshot { endpoint: next, .. } = bench.next() else { panic!() };
    assert_ne!(next, endpoint);
}

#[test]
fn the_safety_net_is_cast_in_its_period_and_heals_what_is_held() {
    let ttl = Duration::from_secs(60);
    let now = Instant::now();
    let inbox = Inbox::restored(at(5), entities("five"));
    let machine = Machine::new(Uuid::from_u128(5), vec!["cp".into()], F, Some(ttl), 1, inbox, now);
    let mut bench = Bench { machine, now };
    let (stream, _) = bench.watch();
    bench.said(stream, Said::Hello { head: at(5) });
    bench.said(stream, bookmark(5, "five"));
    for _ in 0..5 {
        let before = bench.now;
        let Command::Poll { endpoint, from, audit: true } = bench.next() else { panic!() };
        let pause = bench.now - before;
        assert!(pause >= ttl.mul_f64(0.89) && pause <= ttl.mul_f64(1.11), "{pause:?}");
        assert_eq!(from, at(5));
        bench.polled(endpoint, batch(5, "five", vec![]));
        assert_eq!(bench.state(), State::Streaming);
    }
    let Command::Poll { endpoint, from, audit: true } = bench.next() else { panic!() };
    let answer = batch(5, "five", vec![]);
    bench.machine.on(Event::Polled { endpoint, from, sound: false, answer }, bench.now);
    assert!(matches!(bench.command(), Some(Command::Snapshot { .. })), "memory was damaged");
}
