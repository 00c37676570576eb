//! Reads an arbitrary policy: it is refused with a reason, or it scans.
#![no_main]

use llamafirewall::{Configuration, Firewall, Message, registry};
use std::sync::LazyLock;

static REGISTRY: LazyLock<llamafirewall::Registry> = LazyLock::new(registry);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    // A log would be written where the policy says, and a model read from there.
    if ["audit", "file", "model", "path"].iter().any(|word| text.contains(word)) {
        return;
    }
    match Configuration::from_policy(&text, None, &REGISTRY) {
        Ok(configuration) => {
            if let Ok(firewall) = Firewall::new(configuration) {
                firewall.scan_blocking(&Message::user("hello"), None);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
