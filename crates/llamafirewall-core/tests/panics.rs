//! What a scanner panics with may quote the text: nobody gets to see it. The hook for panics is one per process, so this stands alone.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use llamafirewall_core::{
    Configuration, Firewall, Message, Placement, Role, ScanFuture, ScanInput, ScanResult, ScanStatus, Scanner,
};
use std::panic::{catch_unwind, set_hook};
use std::sync::{Arc, Mutex};

struct Panics(Placement, When);

#[derive(Clone, Copy)]
enum When {
    Called,
    Polled,
}

impl Scanner for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn placement(&self) -> Placement {
        self.0
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        match self.1 {
            When::Called => panic!("cannot read {}", input.text()),
            When::Polled => Box::pin(async { panic!("cannot read {}", input.text()) }),
        }
    }
}

fn scan(scanner: Panics) -> ScanResult {
    let configuration = Configuration::new().add_scanner(Role::User, Arc::new(scanner));
    Firewall::new(configuration).unwrap().scan_blocking(&Message::user("the text"), None)
}

#[test]
fn a_panic_of_a_scanner_prints_and_tells_nothing_of_the_text() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let printed = seen.clone();
    set_hook(Box::new(move |info| printed.lock().unwrap().push(info.to_string())));
    for placement in [Placement::Task, Placement::Thread] {
        for when in [When::Called, When::Polled] {
            let result = scan(Panics(placement, when));
            assert_eq!(result.status, ScanStatus::Error);
            let place = "scan failed: the scanner panicked at crates/llamafirewall-core/tests/panics.rs:";
            assert!(result.reason.starts_with(place), "{}", result.reason);
        }
    }
    assert_eq!(*seen.lock().unwrap(), Vec::<String>::new());
    assert!(catch_unwind(|| panic!("of no scanner")).is_err());
    assert_eq!(seen.lock().unwrap().len(), 1, "panics of others are told as before");
}
