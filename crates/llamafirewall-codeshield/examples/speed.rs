//! How long scans take: messages of everyday length, and hostile ones of a megabyte.
//!
//! `cargo run --release -p llamafirewall-codeshield --example speed`

use std::hint::black_box;
use std::time::{Duration, Instant};

use llamafirewall_codeshield::{Language, rules, scan_code, scan_message};

const CASES: [(&str, Language, &str); 5] = [
    ("c", Language::C, include_str!("../tests/cases/c.txt")),
    ("csharp", Language::CSharp, include_str!("../tests/cases/csharp.txt")),
    ("java", Language::Java, include_str!("../tests/cases/java.txt")),
    ("javascript", Language::JavaScript, include_str!("../tests/cases/javascript.txt")),
    ("python", Language::Python, include_str!("../tests/cases/python.txt")),
];

const PROSE: &str = "To read a file in Python, open it in a `with` block, so that it is closed whatever happens. The \
    block ends where the indentation ends. Errors such as a missing file are exceptions, which you may catch.\n\n";

#[expect(clippy::print_stdout, reason = "printing figures is what this example is for")]
fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "{name:44} {:5} scans: median {:8.3} ms, 95 % {:8.3} ms, most {:8.3} ms",
        times.len(),
        at(50),
        at(95),
        at(100)
    );
}

fn time(texts: &[String], scan: &dyn Fn(&str)) -> Vec<Duration> {
    texts
        .iter()
        .map(|text| {
            let begin = Instant::now();
            scan(text);
            begin.elapsed()
        })
        .collect()
}

/// The pieces of code of a file of cases.
fn pieces(file: &str) -> Vec<&str> {
    let file = file.strip_prefix("== ").unwrap_or(file);
    file.split("\n== ").filter_map(|case| case.split_once('\n')).map(|(_, code)| code).collect()
}

fn messages() {
    let mut texts = Vec::new();
    for (name, _, file) in CASES {
        texts.extend(pieces(file).iter().map(|code| format!("{PROSE}```{name}\n{code}\n```\n\n{PROSE}")));
    }
    report("a fence of a few lines", time(&texts, &|text| drop(black_box(scan_message(text)))));
    let bare: Vec<String> = CASES.iter().flat_map(|(_, _, file)| pieces(file)).map(str::to_owned).collect();
    report("the same without fences", time(&bare, &|text| drop(black_box(scan_message(text)))));
    let prose: Vec<String> = (1..200).map(|length| PROSE.repeat(length % 20 + 1)).collect();
    report("prose of 200 bytes to 4 kB", time(&prose, &|text| drop(black_box(scan_message(text)))));
    for (name, language, file) in CASES {
        let long: Vec<String> = pieces(file).chunks(40).map(|some| some.concat()).collect();
        let name = format!("{name}, a file of {} bytes", long[0].len());
        report(&name, time(&long, &|text| drop(black_box(scan_code(text, Some(language))))));
    }
}

fn hostile() {
    const SIZE: usize = 1 << 20;
    let mut texts: Vec<(String, String)> = Vec::new();
    let mut add = |text: &str| {
        let shown: String = text.chars().take(24).collect();
        texts.push((format!("{shown:?} repeated"), text.repeat(SIZE / text.len())));
    };
    for text in [
        "a",
        " ",
        "\n",
        "A",
        "-",
        "SK",
        "BEGIN ",
        "---BEGIN PRIVATE KEY---\n",
        "EVP_",
        "EVP_bf_",
        "scanf(\"%s",
        "xmlReadDoc(",
        "Cipher.getInstance(",
        "Cipher.getInstance(\"",
        ".setFeature(\"http://",
        "AIza",
        "ya29.a ",
        "md5(",
        "md5(\n",
        "<system.web>",
        "<system.web><pages ",
        "fetch('http://",
        "hashlib.new(",
        "ghp_",
        "AR",
        "strtok(a",
        "```\n",
        "```py\n",
        "# md5(x)\n",
        "/* */ md5(",
        "serialize(",
        "\u{200b}",
    ] {
        add(text);
    }
    for (name, text) in &texts {
        report(name, time(std::slice::from_ref(text), &|text| drop(black_box(scan_message(text)))));
    }
}

fn deep() {
    for (language, text) in [
        (Language::Python, "eval(".repeat(100_000)),
        (Language::Python, "eval((".repeat(10_000) + "x" + &"))".repeat(10_000)),
        (Language::Python, "x = eval(a)\n".repeat(80_000)),
        (Language::Python, "cursor.execute(a + ".repeat(50_000)),
        (Language::Python, "os.system('a' + ".repeat(50_000)),
        (Language::C, "{system(".repeat(100_000)),
        (Language::C, "n = snprintf(b, 1, s); b[n] = 0;".repeat(30_000)),
        (Language::C, "char b[9]; memcpy(b, s, n);".repeat(30_000)),
        (Language::JavaScript, "eval(`${".repeat(60_000)),
        (Language::JavaScript, "<a b={eval(".repeat(60_000)),
        (Language::Java, "import java.net.*; new URL(a).b().".repeat(20_000)),
        (Language::CSharp, "using System.Diagnostics; [HttpPost] Redirect(".repeat(20_000)),
    ] {
        let name: String = text.chars().take(34).collect();
        let unread = scan_code(&text, Some(language)).unread.len();
        let name = format!("{name} ({} kB, unread {unread})", text.len() >> 10);
        report(&name, time(&[text], &|text| drop(black_box(scan_code(text, Some(language))))));
    }
}

fn main() {
    black_box(rules().count());
    black_box(scan_message("```py\neval(x)\n```\n```js\neval(x)\n```\n```c\nrand()\n```\n"));
    messages();
    hostile();
    deep();
}
