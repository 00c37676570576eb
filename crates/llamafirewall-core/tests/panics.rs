//! What a scanner panics with may quote the text: nobody gets to see it. The hook for panics is one per process, so this stands alone.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use llamafirewall_core::{
    Configuration, Firewall, Message, Placement, Released, Role, ScanFuture, ScanInput, ScanResult,
    ScanStatus, Scanner,
};
use std::panic::{catch_unwind, panic_any, set_hook};
use std::sync::{Arc, Mutex};

struct Panics(Placement, When);

#[derive(Clone, Copy)]
enum When {
    Called,
    Polled,
    /// With what panics again when it is dropped.
    Twice,
    Placed,
    Settled,
}

struct Again(String);

impl Drop for Again {
    fn drop(&mut self) {
        panic!("cannot drop {}", self.0);
    }
}

impl Scanner for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn placement(&self) -> Placement {
        if matches!(self.1, When::Placed) {
            panic!("cannot be placed");
        }
        self.0
    }

    fn settled(&self, input: &ScanInput) -> Option<usize> {
        if matches!(self.1, When::Settled) && !input.text().is_empty() {
            panic!("cannot settle {}", input.text());
        }
        Some(input.text().len())
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        match self.1 {
            When::Called => panic!("cannot read {}", input.text()),
            When::Twice => panic_any(Again(input.text().to_owned())),
            When::Placed | When::Settled => Box::pin(async { Ok(ScanResult::allow("fine")) }),
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
        for when in [When::Called, When::Polled, When::Twice, When::Placed] {
            let result = scan(Panics(placement, when));
            assert_eq!(result.status, ScanStatus::Error);
            let place = "scan failed: the scanner panicked at crates/llamafirewall-core/tests/panics.rs:";
            assert!(result.reason.starts_with(place), "{}", result.reason);
        }
    }
    let settles = Panics(Placement::Task, When::Settled);
    let configuration = Configuration::new().add_scanner(Role::Assistant, Arc::new(settles));
    let mut guard = Firewall::new(configuration).unwrap().output_guard(Role::Assistant, None);
    assert_eq!(guard.push("the text "), Released::Text(String::new()));
    assert_eq!(guard.finish().0, Released::Text("the text ".to_owned()));
    assert_eq!(*seen.lock().unwrap(), Vec::<String>::new());
    assert!(catch_unwind(|| panic!("of no scanner")).is_err());
    assert_eq!(seen.lock().unwrap().len(), 1, "panics of others are told as before");
}
