//! Small templates beside what jinja2 3.1.6 made of them (immutable sandbox, trim_blocks, lstrip_blocks, loopcontrols,
//! transformers' tojson); null stands for an error there.

use serde_json::Value;
use torchless_chat::{ChatTemplate, CivilTime, Conversation, Data, RenderOptions};

#[test]
fn small_templates_are_rendered_as_by_jinja2() {
    let file: Value = serde_json::from_str(include_str!("jinja2.json")).unwrap();
    let variables = file["variables"].as_object().unwrap();
    let extra: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.clone(), Data::parse(&value.to_string()).unwrap()))
        .collect();
    let options =
        RenderOptions { now: CivilTime::from_unix(1_763_640_000), extra, ..RenderOptions::default() };
    let mut faults = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let source = case[0].as_str().unwrap();
        let rendered =
            ChatTemplate::new(source).and_then(|template| template.render(&Conversation::new(), &options));
        match (rendered, case[1].as_str()) {
            (Ok(prompt), Some(want)) if prompt.text() == want => {}
            (Err(_), None) => {}
            (got, want) => {
                let got = got.map(|prompt| prompt.text()).map_err(|e| e.to_string());
                faults.push(format!("{source}\n  got  {got:?}\n  want {want:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Nothing is escaped by itself here: a template that counts on it is refused, wherever that stands.
#[test]
fn automatic_escaping_is_refused() {
    for asked in ["true", "escaping", "not false"] {
        let source = format!("{{% if false %}}{{% autoescape {asked} %}}x{{% endautoescape %}}{{% endif %}}");
        let error = ChatTemplate::new(&source).err().map_or_else(String::new, |e| e.to_string());
        assert!(error.contains("only {% autoescape false %}"), "{error}");
    }
}

/// A hostile template ends with an error, soon, and without much memory.
#[test]
fn hostile_templates_end_with_an_error() {
    let mut conversation = Conversation::new();
    conversation.push("user", "hi");
    let loops = "{% for i in range(99999) %}".repeat(30) + "x" + &"{% endfor %}".repeat(30);
    let doubled =
        "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}";
    let replaced = "{% set ns = namespace(x='aa') %}{% for i in range(99) %}\
                    {% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}";
    let nested =
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}";
    let shared =
        "{% set ns = namespace(x=[]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
    for source in [
        "{{ 'a' * 10**9 }}",
        "{{ [0] * 10**9 }}",
        "{{ 'a'.center(10**9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'a'|indent(10**9) }}{{ 'a' * 10**8 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ range(10**9) }}",
        "{{ messages.x.y }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% include '/etc/passwd' %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{% for i in [1] %}{{ [f()] }}{% endfor %}{% endmacro %}{{ f() }}",
        "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}{{ 'a' * 100000 }}{% endfor %}",
        "{% for i in range(100000) %}{% set x = range(100000)|list %}{% endfor %}",
        &loops,
        doubled,
        replaced,
        nested,
        &format!("{shared}{{{{ ns.x }}}}"),
        &format!("{shared}{{{{ ns.x|tojson }}}}"),
        &format!("{shared}{{{{ ns.x == ns.x }}}}"),
        &format!("{shared}{{{{ [ns.x, ns.x]|sort }}}}"),
        &format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000)),
        &"{% if 1 %}".repeat(20_000),
    ] {
        let rendered =
            ChatTemplate::new(source).and_then(|t| t.render(&conversation, &RenderOptions::default()));
        assert!(rendered.is_err(), "{source} gave {:?}", rendered.map(|p| p.text().len()));
    }
}

/// What looks at long texts, or copies them, is paid for by their length.
#[test]
fn work_on_long_texts_is_bounded() {
    let mut conversation = Conversation::new();
    conversation.push("user", "hi");
    let name = "n".repeat(1 << 19);
    for (text, work) in [
        ("'1' * 4000000", "{% set z = x|int %}"),
        ("'1' * 4000000", "{% set z = x|float %}"),
        ("'a' * 4000000", "{% set z = x == y %}"),
        ("'a' * 4000000", "{% set z = x is sameas y %}"),
        ("'a' * 4000000", "{% set z = {x: 1} %}"),
        ("'a' * 4000000", "{% set z = {'a': 1}[x] %}"),
        ("'a' * 4000000", "{% set z = {'a': 1}.get(x) %}"),
        ("'a' * 4000000", "{% set z = 'a'|attr(x) %}"),
        ("'a' * 4000000", "{% set z = namespace()[x] %}"),
        ("'a' * 4000000", "{% set z = 'a'.find(x) %}"),
        ("'a' * 4000000", "{% set z = 'a'.split(x) %}"),
        ("'a' * 4000000", "{% set z = 'a'|replace(x, '') %}"),
        ("'a' * 4000000", "{% set z = x.startswith((y,) * 1000) %}"),
        ("'a' * 4000000", "{% set z = '%s' % x %}"),
        ("'a' * 4000000", "{% set z = '{}'.format(x) %}"),
        ("'a' * 4000000", "{% set z = [x, x]|sort %}"),
        ("'a' * 4000000", "{% set z = range(99999)|list|tojson(separators=(x, ':')) %}"),
        ("'%Z' * 4000000", "{% set z = strftime_now(x) %}"),
        ("('a',) * 900", "{% set z = {x: 1} %}"),
        ("'%%' * 4000000", "{% set z = x % () %}"),
        ("'a' * 4000000", "{% set z = x.strip(('b' * 4000000) ~ 'a') %}"),
        ("messages[0].content ~ 'x'", "{% set z = x * 3000000 %}"),
        ("0", &format!("{{% set {name} = 1 %}}")),
        ("0", &format!("{{{{ {name} }}}}")),
    ] {
        let source = format!(
            "{{% set x = {text} %}}{{% set y = {text} %}}\
             {{% for i in range(99999) %}}{{% for j in range(99) %}}{work}{{% endfor %}}{{% endfor %}}"
        );
        let rendered =
            ChatTemplate::new(&source).and_then(|t| t.render(&conversation, &RenderOptions::default()));
        let error = rendered.err().map_or_else(String::new, |e| e.to_string());
        assert!(
            error.contains("than the messages are worth") || error.contains("of at most"),
            "{work}: {error}"
        );
    }
}

/// The end of a deep template is reached on a small stack.
#[test]
fn the_deepest_template_that_is_taken_in_runs_on_a_small_stack() {
    let deep = format!("{{{{ {}1{} }}}}", "[".repeat(150), "]".repeat(150));
    let recursive = "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{% endif %}x{% endmacro %}{{ f(40) }}";
    let run = move || {
        for source in [&deep, recursive] {
            let template = ChatTemplate::new(source).unwrap();
            template.render(&Conversation::new(), &RenderOptions::default()).unwrap();
        }
        let endless = ChatTemplate::new("{% macro f(n) %}{{ [(f(n))] }}{% endmacro %}{{ f(0) }}").unwrap();
        assert!(endless.render(&Conversation::new(), &RenderOptions::default()).is_err());
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Pieces of templates in any order: whatever comes of them, nothing panics.
#[test]
fn templates_put_together_at_random_are_rendered_or_refused() {
    let file: Value = serde_json::from_str(include_str!("jinja2.json")).unwrap();
    let sources: Vec<Vec<char>> = file["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case[0].as_str().unwrap().chars().collect())
        .collect();
    let extra = file["variables"].as_object().unwrap().iter();
    let extra = extra.map(|(name, value)| (name.clone(), Data::parse(&value.to_string()).unwrap())).collect();
    let options = RenderOptions { extra, ..RenderOptions::default() };
    let mut numbers = Numbers(7);
    let mut rendered = 0;
    for _ in 0..4000 {
        let mut source = sources[numbers.below(sources.len())].clone();
        for _ in 0..=numbers.below(4) {
            let other = &sources[numbers.below(sources.len())];
            let from = numbers.below(other.len());
            let piece = other[from..(from + numbers.below(12)).min(other.len())].to_vec();
            let at = numbers.below(source.len());
            let end = (at + numbers.below(8)).min(source.len());
            source.splice(at..end, piece);
        }
        let source: String = source.into_iter().collect();
        let template = ChatTemplate::new(&source);
        rendered += usize::from(
            template.is_ok_and(|template| template.render(&Conversation::new(), &options).is_ok()),
        );
    }
    assert!(rendered > 100, "{rendered} rendered");
}
