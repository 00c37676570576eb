//! Reads an arbitrary text in every form, and follows a span of each back to the text.
#![no_main]

use llamafirewall::Views;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let views = Views::of(&text);
    for view in views.iter() {
        let places: Vec<usize> = view.text().char_indices().map(|(at, _)| at).chain([view.text().len()]).collect();
        let (a, b) = (places[places.len() / 3], places[places.len() / 2]);
        let span = view.original(a..b);
        assert!(span.start <= span.end && span.end <= text.len());
        assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
    }
    for span in views.opaque() {
        assert!(text.get(span.clone()).is_some());
    }
    let whole = Views::without_last_word(&text);
    assert!(text.starts_with(whole));
});
