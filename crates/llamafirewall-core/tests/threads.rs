//! Scans that are dropped, and more scans at once than threads.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use llamafirewall_core::{
    Configuration, Firewall, Limits, Message, Role, ScanFuture, ScanInput, ScanResult, ScanStatus, Scanner,
    block_on,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

type Scan<'a> = Pin<Box<dyn Future<Output = ScanResult> + 'a>>;

fn firewall(scanner: impl Scanner + 'static, limits: Limits) -> Firewall {
    let configuration = Configuration::new().add_scanner(Role::User, Arc::new(scanner));
    Firewall::new(configuration.with_limits(limits)).unwrap()
}

/// A scan that has asked for its thread.
fn begun<'a>(firewall: &'a Firewall, message: &'a Message) -> Scan<'a> {
    let mut scan: Scan<'a> = Box::pin(firewall.scan(message, None));
    assert!(scan.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    scan
}

/// Works on until nobody waits any more, unless the text is empty; says when it begins and when it ends.
struct Patient(Sender<&'static str>);

impl Scanner for Patient {
    fn name(&self) -> &str {
        "patient"
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        if !input.text().is_empty() {
            self.0.send("begun").unwrap();
            while !input.is_abandoned() {
                std::thread::yield_now();
            }
            self.0.send("abandoned").unwrap();
        }
        Box::pin(async { Ok(ScanResult::allow("fine")) })
    }
}

#[test]
fn a_scan_that_is_dropped_ends_and_leaves_room_for_others() {
    let (said, heard) = channel();
    let firewall = firewall(Patient(said), Limits::default());
    let message = Message::user("text");
    for _ in 0..300 {
        let scan = begun(&firewall, &message);
        assert_eq!(heard.recv().unwrap(), "begun");
        drop(scan);
        assert_eq!(heard.recv().unwrap(), "abandoned");
    }
    assert_eq!(firewall.scan_blocking(&Message::user(""), None).status, ScanStatus::Success);
}

#[test]
fn a_scan_that_is_dropped_before_it_had_a_thread_is_not_begun() {
    let (said, heard) = channel();
    let firewall = firewall(Patient(said), Limits::default());
    let message = Message::user("text");
    let scans: Vec<Scan<'_>> = (0..1000).map(|_| begun(&firewall, &message)).collect();
    drop(scans.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(firewall.scan_blocking(&Message::user(""), None).status, ScanStatus::Success);
    drop(firewall);
    let begun = heard.iter().filter(|said| *said == "begun").count();
    assert!(begun < 1000, "{begun} of 1000 were begun");
}

/// Waits until the gate is open, and counts how many others do.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    here: AtomicUsize,
    most: AtomicUsize,
}

struct Guest(Arc<Gate>);

impl Scanner for Guest {
    fn name(&self) -> &str {
        "guest"
    }

    fn scan<'a>(&'a self, _: &'a ScanInput) -> ScanFuture<'a> {
        let here = self.0.here.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(here, Ordering::SeqCst);
        let open = self.0.open.lock().unwrap();
        drop(self.0.opened.wait_while(open, |open| !*open).unwrap());
        self.0.here.fetch_sub(1, Ordering::SeqCst);
        Box::pin(async { Ok(ScanResult::allow("fine")) })
    }
}

#[test]
fn more_scans_than_threads_wait_for_one() {
    let gate = Arc::new(Gate::default());
    let firewall = firewall(Guest(gate.clone()), Limits::default());
    let message = Message::user("text");
    let scans: Vec<Scan<'_>> = (0..400).map(|_| begun(&firewall, &message)).collect();
    *gate.open.lock().unwrap() = true;
    gate.opened.notify_all();
    for scan in scans {
        let result = block_on(scan);
        assert_eq!(result.status, ScanStatus::Success, "{}", result.reason);
    }
    let most = gate.most.load(Ordering::SeqCst);
    assert!(most <= 16.max(4 * std::thread::available_parallelism().unwrap().get()), "{most} at once");
}

#[test]
fn scanners_that_hang_fail_those_who_wait_too() {
    let limits = Limits { time: Duration::from_millis(5), ..Limits::default() };
    let firewall = firewall(Guest(Arc::default()), limits);
    let message = Message::user("text");
    let scans: Vec<Scan<'_>> = (0..400).map(|_| begun(&firewall, &message)).collect();
    let reasons: Vec<String> = scans.into_iter().map(|scan| block_on(scan).reason).collect();
    for reason in &reasons {
        let is_said =
            ["no verdict within 5 ms", "no thread was free for 5 ms"].iter().any(|why| reason.contains(why));
        assert!(is_said, "{reason}");
    }
    while !firewall.scan_blocking(&message, None).reason.contains("too many scans are still running") {}
}
