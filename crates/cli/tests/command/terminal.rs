//! A conversation on a terminal.

use crate::remake::Remake;
use crate::support::{command, output, text};
use rexpect::process::signal::Signal;
use rexpect::process::wait::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

/// A conversation with the story model by this template.
fn talk_of(template: &str, more: &[&str], folder: &std::path::Path) -> PtySession {
    let model = folder.join("talks.gguf");
    Remake::story().with("tokenizer.chat_template", template).write(&model);
    let words = [text(&model), "--chat", "--temperature", "0", "--debug"];
    let mut command = command(&[&words[..], more].concat());
    // The terminal is in the place of what a test's command has for input.
    command.stdin(std::process::Stdio::inherit()).env("TERM", "xterm");
    let mut session = spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("> ").unwrap();
    session
}

/// One whose model sees nothing but how many characters the last message has.
fn talk(folder: &std::path::Path) -> (PtySession, String) {
    let session = talk_of("{{ messages[-1].content | length }}", &["--max-tokens", "2"], folder);
    (session, text(&folder.join("talks.gguf")).to_owned())
}

fn type_in(session: &mut PtySession, mut text: &str) {
    while !text.is_empty() {
        // As much as there is room for.
        let sent = session.send(text).unwrap();
        text = &text[sent..];
    }
    session.flush().unwrap();
}

fn expect_length(session: &mut PtySession, model: &str, length: usize) {
    let ids = output(&["tokenize", "--ids", model, &length.to_string()]).trim().replace(',', ", ");
    session.exp_string(&format!("Tokens: [{ids}]")).unwrap();
    session.exp_string("> ").unwrap();
}

#[test]
fn a_message_is_as_long_as_what_was_pasted_and_comes_back_by_the_arrow_key() {
    let folder = tempfile::tempdir().unwrap();
    let (mut session, model) = talk(folder.path());
    let pasted = format!("two lines,\n{}", "nine words that are said many times over here. ".repeat(200));
    type_in(&mut session, &format!("\x1b[200~{pasted}\x1b[201~\r"));
    expect_length(&mut session, &model, pasted.len());
    session.send_line("été").unwrap();
    expect_length(&mut session, &model, 3);
    type_in(&mut session, "\x1b[A\x1b[A\r");
    expect_length(&mut session, &model, pasted.len());
    session.send_line("/bye").unwrap();
    session.exp_eof().unwrap();
    assert!(matches!(session.process().wait(), Ok(WaitStatus::Exited(_, 0))));
}

#[test]
fn each_line_that_is_typed_ahead_is_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let (mut session, model) = talk(folder.path());
    // More than the editor reads at once.
    let long = "seven..".repeat(200);
    type_in(&mut session, &format!("a\rbb\r\x1b[200~c\rc\x1b[201~c\r{long}\r/bye\r"));
    for length in [1, 2, 4, long.len()] {
        expect_length(&mut session, &model, length);
    }
    session.exp_eof().unwrap();
    assert!(matches!(session.process().wait(), Ok(WaitStatus::Exited(_, 0))));
}

#[test]
fn pasted_control_characters_are_part_of_the_message_and_steer_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let (mut session, model) = talk(folder.path());
    type_in(&mut session, "\x1b[200~a\x07b\u{9b}31mc\x1b[201~\r");
    let shown = session.exp_string("control characters: \\u0007 \\u009b").unwrap();
    assert!(shown.contains("ab31mc") && !shown.contains(['\x07', '\u{9b}']), "{shown:?}");
    expect_length(&mut session, &model, "a.b.31mc".len());
}

#[test]
fn prompts_go_to_the_terminal_and_not_into_a_file() {
    for term in ["xterm", "dumb"] {
        let folder = tempfile::tempdir().unwrap();
        let (model, talked) = (folder.path().join("talks.gguf"), folder.path().join("talk.txt"));
        Remake::story().with("tokenizer.chat_template", "{{ messages[-1].content }}").write(&model);
        let of = command(&[text(&model), "--chat", "--grammar", "root ::= \"done\""]);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", r#"talked=$1; shift; exec "$@" > "$talked""#, "sh", text(&talked)]);
        command.arg(of.get_program()).args(of.get_args()).current_dir(of.get_current_dir().unwrap());
        command.env("TERM", term);
        let mut session = spawn_command(command, Some(60_000)).unwrap();
        for said in ["one", "two", "/bye"] {
            session.exp_string("> ").unwrap();
            session.send_line(said).unwrap();
        }
        session.exp_eof().unwrap();
        assert_eq!(std::fs::read_to_string(&talked).unwrap(), "done\ndone\n", "{term}");
    }
}

#[test]
fn signals_give_the_terminal_back() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let folder = tempfile::tempdir().unwrap();
        let (mut session, _) = talk(folder.path());
        type_in(&mut session, "half a mess");
        session.exp_string("mess").unwrap();
        session.process_mut().signal(signal).unwrap();
        session.exp_string("\x1b[?2004l").unwrap();
        assert!(matches!(session.process().wait(), Ok(WaitStatus::Signaled(_, by, _)) if by == signal));
        let settings = nix::sys::termios::tcgetattr(&session.process().pty).unwrap();
        assert!(settings.local_flags.contains(nix::sys::termios::LocalFlags::ICANON));
    }
}

#[test]
fn control_c_twice_instead_of_a_message_ends_as_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut session, model) = talk(folder.path());
    type_in(&mut session, "half a mess");
    session.send_control('c').unwrap();
    session.exp_string("once more").unwrap();
    session.exp_string("> ").unwrap();
    session.send_line("four").unwrap();
    expect_length(&mut session, &model, "four".len());
    for typed in ["", "half", "a mess"] {
        type_in(&mut session, typed);
        session.send_control('c').unwrap();
        session.exp_string("once more").unwrap();
        session.exp_string("> ").unwrap();
    }
    session.send_control('c').unwrap();
    session.exp_eof().unwrap();
    assert!(matches!(session.process().wait(), Ok(WaitStatus::Exited(_, 130))));
}

#[test]
fn commands_are_no_messages() {
    let folder = tempfile::tempdir().unwrap();
    let (mut session, model) = talk(folder.path());
    session.send_line("/help").unwrap();
    session.exp_string("/clear  begin anew").unwrap();
    session.exp_string("> ").unwrap();
    type_in(&mut session, "\x1b[200~/clear\n/bye\x1b[201~\r");
    session.exp_string("/clear is a command on a line of its own").unwrap();
    session.exp_string("> ").unwrap();
    session.send_line("/claer").unwrap();
    session.exp_string("/claer is no command").unwrap();
    session.exp_string("> ").unwrap();
    session.send_line("//bin").unwrap();
    expect_length(&mut session, &model, "/bin".len());
}

#[test]
fn a_full_conversation_says_so_and_can_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = talk_of(
        "{% for m in messages %}{{ m.content }} {% endfor %}",
        &["--max-seq-len", "16", "--max-tokens", "2"],
        folder.path(),
    );
    session.send_line("One day a dog ran home.").unwrap();
    session.exp_string("> ").unwrap();
    session.send_line("Then it slept until the sun went down.").unwrap();
    session.exp_string("the conversation is full").unwrap();
    session.exp_string("/clear begins anew").unwrap();
    session.exp_string("> ").unwrap();
    session.send_line(&"Then it slept until the sun went down. ".repeat(3)).unwrap();
    session.exp_string("the context holds 16: shorten it").unwrap();
    session.exp_string("> ").unwrap();
    session.send_line("/clear").unwrap();
    session.exp_string("> ").unwrap();
    session.send_line("One day a dog ran home.").unwrap();
    session.exp_string("Processing").unwrap();
}

#[test]
fn the_results_of_calls_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let tools = folder.path().join("tools.json");
    std::fs::write(&tools, r#"[{"type": "function", "function": {"name": "look"}}]"#).unwrap();
    let template = "{# <tool_call> #}{{ tools[0].function.name }}{% for m in messages %} {{ m.role }}{% endfor %} \
                    {{ messages[-1].tool_call_id }} {{ messages[-1].content }}";
    let call = r#"<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": 1}}\n</tool_call>"#;
    let grammar = format!("root ::= \"{call}\"");
    let more = ["--tools", text(&tools), "--grammar", &grammar];
    let mut session = talk_of(template, &more, folder.path());
    let model = folder.path().join("talks.gguf");
    let expect_rendered = |session: &mut PtySession, rendered: &str| {
        let ids = output(&["tokenize", "--ids", text(&model), rendered]).trim().replace(',', ", ");
        session.exp_string(&format!("Tokens: [{ids}]")).unwrap();
        session.exp_string("result of look> ").unwrap();
    };
    session.send_line("hello").unwrap();
    expect_rendered(&mut session, "look user  hello");
    session.send_line("nothing there").unwrap();
    expect_rendered(&mut session, "look user assistant tool call00001 nothing there");
    session.send_line("/clear").unwrap();
    session.exp_string("> ").unwrap();
    session.send_line("again").unwrap();
    expect_rendered(&mut session, "look user  again");
}

#[test]
fn a_quiet_chat_says_nothing_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("talks.gguf");
    Remake::story().with("tokenizer.chat_template", "{{ messages[-1].content }}").write(&model);
    let mut command = command(&[text(&model), "--chat", "--quiet"]);
    command.stdin(std::process::Stdio::inherit()).env("TERM", "xterm");
    let mut session = spawn_command(command, Some(60_000)).unwrap();
    assert!(!session.exp_string("> ").unwrap().contains("Type a message"));
    session.send_line("/bye").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn each_reply_has_a_seed_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let template = "{{ messages[-1].content }}";
    let mut session = talk_of(template, &["--max-tokens", "1"], folder.path());
    let mut seed_of_a_reply = || {
        session.send_line("One day").unwrap();
        session.exp_string(", seed ").unwrap();
        let seed = session.exp_string(",").unwrap();
        session.exp_string("> ").unwrap();
        seed
    };
    assert_ne!(seed_of_a_reply(), seed_of_a_reply());
}

#[test]
fn a_reply_steers_no_terminal() {
    let words = ["--prompt", "x", "--grammar", r#"root ::= "\x1b]52;c;cHduZWQ=\x07""#];
    let mut command = command(&words);
    command.stdin(std::process::Stdio::inherit());
    let mut session = spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("\\u001b]52;c;cHduZWQ=\\u0007").unwrap();
    session.exp_eof().unwrap();
    assert_eq!(output(&[&words[..], &["--quiet"]].concat()), "\x1b]52;c;cHduZWQ=\x07\n");
}

#[test]
fn each_message_is_scanned_once() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "[audit]\nfile = \"log\"\n[role.user]\nscanners = [\"regex\"]\n").unwrap();
    let more = ["--max-tokens", "2", "--policy", text(&policy)];
    let mut session = talk_of("{{ messages[-1].content | length }}", &more, folder.path());
    for message in ["one", "two", "three"] {
        type_in(&mut session, &format!("{message}\r"));
        session.exp_string("Tokens: ").unwrap();
        session.exp_string("> ").unwrap();
    }
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let of = |role: &str| log.lines().filter(|line| line.contains(&format!("\"role\":\"{role}\""))).count();
    assert_eq!([of("user"), of("assistant")], [3, 3], "{log}");
}
