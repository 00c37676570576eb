//! Streams an arbitrary text byte by byte: the verdict is that of the whole, and nothing that is found leaves.
#![no_main]

use llamafirewall::{Firewall, Message, Released, Role, ScanDecision, UseCase};
use std::sync::LazyLock;

static FIREWALL: LazyLock<Firewall> = LazyLock::new(|| {
    let configuration = UseCase::General.configuration().expect("the preset is whole");
    Firewall::new(configuration).expect("the preset is whole")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Each byte is a scan of what is held back, and sanitizers make it twenty times as slow: more texts rather than longer ones.
    let text = String::from_utf8_lossy(&data[..data.len().min(400)]);
    let whole = FIREWALL.scan_blocking(&Message::assistant(text.clone()), None);
    let mut guard = FIREWALL.output_guard(Role::Assistant, None);
    let mut out = String::new();
    let mut stopped = None;
    for byte in text.as_bytes() {
        match guard.push_bytes(&[*byte]) {
            Released::Text(released) => out.push_str(&released),
            Released::Stopped(result) => {
                stopped = Some(result);
                break;
            }
        }
    }
    let result = stopped.unwrap_or_else(|| {
        let (last, result) = guard.finish();
        if let Released::Text(released) = last {
            out.push_str(&released);
        }
        result
    });
    assert!(text.starts_with(&out));
    assert_eq!(result.decision, whole.decision);
    assert!(!whole.is_allowed() || out == text);
    for finding in whole.findings.iter().filter(|finding| finding.decision != ScanDecision::Allow) {
        assert!(out.len() <= finding.span.start);
    }
});
