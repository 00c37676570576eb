//! Renders a conversation by an arbitrary template. Input: a template, and behind a zero byte a JSON conversation.
#![no_main]

use torchless_chat::{ChatTemplate, Conversation, RenderOptions};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (source, messages) = text.split_once('\0').unwrap_or((&text, r#"[{"role": "user", "content": "hi"}]"#));
    let (Ok(template), Ok(conversation)) = (ChatTemplate::new(source), Conversation::from_json(messages)) else { return };
    if let Ok(prompt) = template.render(&conversation, &RenderOptions::default()) {
        assert!(prompt.parts.iter().all(|part| !part.as_str().is_empty()));
    }
});
