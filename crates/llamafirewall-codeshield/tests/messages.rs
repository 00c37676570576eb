//! Messages: where their code is, what becomes of it, and text that means harm to the scanner.

use llamafirewall_codeshield::{
    Language, Report, Severity, Treatment, prepare, scan_code, scan_message, scan_named, settled,
};

fn rules(report: &Report) -> Vec<&'static str> {
    report.issues.iter().map(|issue| issue.rule).collect()
}

#[test]
fn a_fence_decides_the_language() {
    let python = scan_message("Run it:\n```python\neval(text)\n```\n");
    assert_eq!(rules(&python), ["insecure-eval-use"]);
    let script = scan_message("Run it:\n```js\neval(text)\n```\n");
    assert_eq!(rules(&script), ["eval-with-expression"]);
    assert_eq!(rules(&scan_message("```c\nint eval(int x);\n```")), Vec::<&str>::new());
}

#[test]
fn rules_of_other_languages_do_not_hold_for_code_that_names_its_own() {
    let report = scan_message("```python\nimport hashlib\nh = hashlib.md5(data)\n```\n");
    assert_eq!(rules(&report), ["insecure-md5-hash-usage"]);
    let report = scan_message("h = hashlib.md5(data)\n");
    assert_eq!(rules(&report), ["insecure-md5-hash-usage", "weak-md5-hashing", "risky-crypto-algorithm"]);
}

/// In code that can be read as the language that its fence names, comments and the text of strings are told from code.
#[test]
fn comments_and_strings_are_no_code() {
    let found = |name: &str, code: &str| rules(&scan_message(&format!("```{name}\n{code}\n```\n")));
    for (name, code) in [
        ("c", "/*\n * gets(buf);\n */\nint x;"),
        ("c", "int f() { puts(\"never call gets(buf)\"); }"),
        ("c", "int x; /* gets(buf) */ // gets(buf)"),
        ("py", "x = 1  # hashlib.md5(y)"),
        ("py", "def f(y):\n    \"\"\"As hashlib.md5(y) did,\n    hashlib.sha1(y) does.\"\"\"\n"),
        ("py", "print(f'hashlib.md5(y) of {y}')"),
        ("js", "log('fetch(\"http://x.org/\")', `fetch('http://x.org/')`);"),
        ("java", "class A { /** c.getInstance(\"DES\") */ String s; }"),
    ] {
        assert_eq!(found(name, code), Vec::<&str>::new(), "{name}: {code}");
    }
    for (name, code, rule) in [
        ("c", "void f() {\n/* read */ gets(line);\n}", "bugprone-gets"),
        ("c", "#define READ gets(line)\n", "bugprone-gets"),
        ("java", "/** x */ Cipher c = Cipher.getInstance(\"DES\");", "deprecated-crypto-algorithms-usage"),
        ("py", "print(f'{hashlib.md5(y)} of {y}')", "insecure-md5-hash-usage"),
        ("py", "\"\"\"Docs\"\"\"\nhashlib.md5(y)", "insecure-md5-hash-usage"),
        ("js", "log(`${fetch('http://x.org/')}`);", "unencrypted-fetch-usage"),
        ("py", "# only a comment\nx = \"gets(x) hashlib.md5(\" hashlib.md5(y)", "insecure-md5-hash-usage"),
    ] {
        assert!(found(name, code).contains(&rule), "{name}: {code}");
    }
    let key = format!("s = '''\nkey ghp_{}\n'''", "a1B2".repeat(9));
    assert_eq!(found("py", &key), ["ALL-R-010"]);
}

#[test]
fn a_wrong_name_on_a_fence_hides_nothing() {
    for name in ["java", "rust", "sql", "klingon", "php", "text", ""] {
        let report = scan_message(&format!("```{name}\nimport os\ndef f(x):\n    os.system(x)\n```\n"));
        assert_eq!(rules(&report), ["insecure-os-system-use"], "{name}");
    }
}

/// A function of the same name in another language is another function.
#[test]
fn code_of_other_languages_has_secrets_alone() {
    let key = format!("key = 'ghp_{}'", "a1B2".repeat(9));
    for (name, code) in [
        ("sql", "SELECT md5(name) FROM users;"),
        ("rust", "fn main() { let status = system(y); gets(x); }"),
        ("r", "require(dplyr)\nf <- function(x) { eval(x) }"),
        ("julia", "import Pkg\nfunction f(x)\n    eval(x)\nend"),
        ("yaml", "run: eval(x)"),
        ("Go", "import \"os/exec\"\n\nfunc f(x string) { exec(x); md5(x) }"),
    ] {
        let message = |code: &str| rules(&scan_message(&format!("```{name}\n{code}\n```\n")));
        assert_eq!(message(code), Vec::<&str>::new(), "{name}: {code}");
        assert_eq!(message(&format!("{code}\n{key}")), ["ALL-R-010"], "{name}: {code}");
    }
}

#[test]
fn a_file_is_read_as_its_ending_says() {
    let found = |name: &str, text: &str| rules(&scan_named(text, name));
    let python = "import hashlib\nh = hashlib.md5(x)\n";
    assert_eq!(found("py", python), ["insecure-md5-hash-usage"]);
    assert_eq!(found("rs", python), ["insecure-md5-hash-usage"]);
    assert_eq!(found("sql", "SELECT md5(name);"), Vec::<&str>::new());
    assert_eq!(found("md", "Try\n```sql\nSELECT md5(name);\n```\n"), Vec::<&str>::new());
    assert_eq!(found("txt", "h = hashlib.md5(x)"), found("", "h = hashlib.md5(x)"));
    assert_eq!(found("HPP", "std::auto_ptr<int> p;"), ["deprecated-auto_ptr-usage"]);
}

/// Code that breaks the grammar, so that all rules are tried: of one place the language's own speaks.
#[test]
fn rules_of_other_languages_do_not_repeat_what_the_own_say() {
    for code in ["eval(x as string) ...", "eval(x!)\n) (", "const y: = eval(x)", "interface A {}}\neval(x)"] {
        assert_eq!(rules(&scan_named(code, "ts")), ["eval-with-expression"], "{code}");
    }
}

#[test]
fn typescript_is_read_whatever_it_is_called() {
    let code = [
        "const y = <string>eval(x);",
        "function run(code: string): unknown { return eval(code); }",
        "export const A: React.FC<P> = ({ code }: P) => <b>{eval(code) as string}</b>;",
        "class A<T> { constructor(private code?: string) { eval(code!); } }",
    ];
    for code in code {
        for name in ["ts", "tsx", "typescript", "js", "jsx", ""] {
            let message = format!("So:\n```{name}\n{code}\n```\n");
            assert!(rules(&scan_message(&message)).contains(&"eval-with-expression"), "{message}");
        }
    }
}

#[test]
fn code_is_found_without_fences_and_in_fences_that_never_close() {
    for text in [
        "import os\nos.system(cmd)\n",
        "```python\nimport os\nos.system(cmd)\n",
        "~~~py\nimport os\nos.system(cmd)",
        "> quoted\n\n    ```py\n    os.system(cmd)\n    ```\n",
    ] {
        assert_eq!(rules(&scan_message(text)), ["insecure-os-system-use"], "{text}");
    }
}

#[test]
fn code_is_found_whatever_stands_around_its_lines() {
    for text in [
        "> ```python\n> import os\n> os.system('ls ' + d)\n> ```\n",
        "Look:\n\n1. > > ```python\n   > > import os\n   > > if d:\n   > >     os.system('ls ' + d)\n",
        "- ```python\n  import os\n  os.system('ls ' + d)\n  ```\n",
        "\u{feff}```python\nimport os\nos.system('ls ' + d)\n```\n",
        "\u{200b}```python\nimport os\nos.system('ls ' + d)\n```\n",
        "> import os\n> os.system('ls ' + d)\n",
        "```python\rimport os\ros.system('ls ' + d)\r```\r",
        "<p>Look:</p><pre><code class=\"language-python\">import os\nos.system('ls ' + d)\n</code></pre>",
        "<pre lang=\"py\">\n<code>import os\nif a &lt; b:\n    <span>os</span>.system(&quot;ls &quot; + d)</code></pre>",
        "<pre>import os\nos.<!-- y -->system(&quot;ls &quot; + d)<!-- </pre> --></pre>",
        "<pre>import os\nos&period;system&lpar;&QUOT;ls &quot; + d)</pre>",
        "<pre><div>import os</div>\n<div>os.system('ls ' + d)</div></pre>",
        "<pre><code class=\"language-sql\">SELECT 1\n\n<pre><code class=\"language-python\">import os\nos.system('ls ' + d)",
        "> <pre><code class=\"lang-py\">\n> import os\n> if d:\n>     os.system(&#39;ls &#39; + d)\n> </code></pre>",
    ] {
        assert_eq!(rules(&scan_message(text)), ["insecure-os-system-use"], "{text}");
        let (_, rest) = text.split_once("system").expect("the call");
        let span = &scan_message(text).issues[0].span;
        assert!(text[..span.end].ends_with(&rest[..=rest.find(')').expect("its end")]), "{text}");
    }
    let python = scan_code("import os\r# c\ros.system(d)\r", Some(Language::Python));
    assert_eq!(rules(&python), ["insecure-os-system-use"]);
}

/// A line of fence signs in a string or a comment ends the code around it for some readers, and for those that run it not.
#[test]
fn fences_in_strings_and_comments_hide_no_code() {
    let python = "import os\n\ndef f(d):\n    \"\"\"Lists.\n\n    ```\n    f('x')\n    ```\n    \"\"\"\n";
    let prompt = "import os\nP = f'''\n```json\n{{}}\n```\n'''\n";
    for (name, code, rule) in [
        ("python", format!("{python}    os.system('ls ' + d)\n"), "insecure-os-system-use"),
        ("", format!("{python}    os.system('ls ' + d)\n"), "insecure-os-system-use"),
        ("python", format!("{python}    return 1\n\ndef g(d):\n    os.system(d)\n"), "insecure-os-system-use"),
        ("py", format!("{prompt}os.system('ls ' + d)\n"), "insecure-os-system-use"),
        ("js", "const p = `\n```\nx\n```\n`;\neval(y);\n".to_owned(), "eval-with-expression"),
        ("js", "/*\n~~~\n```\n*/\neval(y);\n".to_owned(), "eval-with-expression"),
        ("c", "/*\n```\n*/\nvoid f(char *x) { system(x); }\n".to_owned(), "potential-command-injection"),
        (
            "java",
            "import java.net.URL;\nclass A { String s = \"\"\"\n      ```\n      x\n      ```\n      \"\"\";\n  \
             void f(String u) throws Exception { new URL(u).openStream(); } }\n"
                .to_owned(),
            "ssrf_insecure_patterns",
        ),
    ] {
        let quoted = code.lines().map(|line| format!("> {line}\n")).collect::<String>();
        let first = format!("```py\nS = '''\n```\n\n```{name}\n{code}```\n");
        for text in [format!("```{name}\n{code}```\n"), format!("> ```{name}\n{quoted}> ```\n"), first] {
            assert!(rules(&scan_message(&text)).contains(&rule), "{text}");
        }
    }
}

/// Where a fence ends is doubtful: at the end of its item, where another begins, or not at all, since it is none.
#[test]
fn fences_of_other_languages_hide_no_code_behind_them() {
    let python = "```python\nimport os\nos.system('ls ' + d)\n```\n";
    let bare = "import os\nos.system('ls ' + d)\n";
    for before in [
        "- ```sql\n  SELECT 1\n\n",
        "1. Schema:\n   ```yaml\n   a: 1\n\n2. Code:\n\n",
        "> - ```go\n>   x\n\n",
        "> ~~~ sql\n> SELECT 1\n",
        "<!--\n```rust\n-->\n\n",
        "<div>\n```toml\n</div>\n\n",
        "<?x\n```sql\n?>\n",
        "Use\n\n    ```sql\n\n",
        "* a\n\n      ```sql\n\n",
        "- a\n  - b\n    ```sql\n    x\n- c\n\n",
    ] {
        for code in [python, bare] {
            let text = format!("{before}{code}");
            assert_eq!(rules(&scan_message(&text)), ["insecure-os-system-use"], "{text}");
        }
    }
    for before in ["```sql\nSELECT 1\n\n", "```sql\nSELECT 1;\n\n> ", "- ```ini\n  a = 1\n- "] {
        let text = format!("{before}{python}");
        assert_eq!(rules(&scan_message(&text)), ["insecure-os-system-use"], "{text}");
    }
}

/// What reads JSON runs the code in its strings.
#[test]
fn code_in_json_is_read_without_its_escapes() {
    for text in [
        r#"{"code":"import os\nos.system(\"ls \" + d)\n"}"#,
        "Here:\n\n```json\n{\n  \"lang\": \"python\",\n  \"code\": \"import os\\nos.system('ls ' + d)\"\n}\n```\nDone.",
        r#"{"text": "Use\n```python\nimport os\nos.system('ls ' + d)\n```\n"}"#,
        r#"{"cmd": "{\"code\": \"import os\\nos.system('ls ' + d)\"}"}"#,
        r#"{"cells": [{"source": ["import os\n", "def f(d):\n", "    os.system(\"ls \" +\n", "        d)\n"]}]}"#,
        "data: {\"a\": 1}\n> data: [\"import os\\nos.system('ls ' + d)\"]\n",
        "\"import os\\nos\\u002esystem('ls ' + d)\"",
        "The result is {\"code\": \"import os\\nos.system('ls ' + d)\", ...",
    ] {
        let report = scan_message(text);
        assert_eq!(rules(&report), ["insecure-os-system-use"], "{text}");
        assert!(text[report.issues[0].span.clone()].starts_with("os"), "{text}");
    }
    for text in [
        r#"{"hint": "Never call eval(x) or\nos.system(cmd) for this.", "rules": ["no-eval", "the system(command) function"]}"#,
        "```json\n{\"scripts\": {\"build\": \"node -e 'eval(x)'\", \"test\": \"python -m pytest && exec bash\"}}\n```\n",
        "puts(\"eval(x)\"); { log(\"exec(x);\\n\"); }",
    ] {
        assert_eq!(rules(&scan_message(text)), Vec::<&str>::new(), "{text}");
    }
}

/// Titles, signatures and messages are no programs, and what says of what language its code is, is believed as a fence is.
#[test]
fn strings_of_json_are_what_their_keys_say() {
    for text in [
        r#"{"results": [{"message": {"text": "Use of eval(x)"}}, {"signature": "eval(script, numkeys, key)"}]}"#,
        r#"{"deny": ["eval(expression)", "os.system(command)"], "eval(expression)": 1}"#,
        r#"{"tokens": ["system", "(", "cmd", ")", ";"]}"#,
        r#"{"source": ["import subprocess\n", "cmd = \"ls -l\"\n", "subprocess.run(cmd, shell=True)\n"]}"#,
        r#"{"language": "perl", "code": "system($cmd);\n"}"#,
        r#"{"code": "y <- eval(expr)\n", "language": "r"}"#,
        r#"{"path": "a.py", "content": "def f(x):\n    \"\"\"Adds.\n\n    eval(x)\n    \"\"\"\n    return x\n"}"#,
    ] {
        assert_eq!(rules(&scan_message(text)), Vec::<&str>::new(), "{text}");
    }
    for text in [
        r#"{"code": "os.system(d)"}"#,
        r#"{"answer": "os.system('ls ' + d)"}"#,
        r#"{"language": "r", "code": "import os\nos.system('ls ' + d)\n"}"#,
        r#"{"path": "a.py", "content": "import os\nos.system('ls ' + d)\n"}"#,
        r#"{"body": ["import os", "os.system('ls ' + d)"]}"#,
        r#""os.system(d)""#,
    ] {
        assert_eq!(rules(&scan_message(text)), ["insecure-os-system-use"], "{text}");
    }
}

#[test]
fn secrets_are_found_in_comments_and_with_any_line_ends() {
    let token = format!("ghp_{}", "a1B2".repeat(9));
    for text in [
        format!("```py\n# {token}\nx = 1\n```\n"),
        format!("# {token}\n"),
        format!("```js\n// {token}\n```\n"),
    ] {
        assert_eq!(rules(&scan_message(&text)), ["ALL-R-010"], "{text}");
    }
    let key = "-----BEGIN RSA PRIVATE KEY-----\r\nMIIEpAIBAAKCAQEA\r\n-----END RSA PRIVATE KEY-----\r\n";
    assert_eq!(rules(&scan_message(key)), ["ALL-R-009"]);
    let key = key.replace("\r\n", "\n   ");
    for text in [format!("1. Key:\n\n   ```\n   {key}```\n"), format!("Key:\n\n   {key}\nEnd.\n")] {
        assert_eq!(rules(&scan_message(&text)), ["ALL-R-009"], "{text}");
    }
}

/// Read together with prose, code is lost among it.
#[test]
fn code_is_found_between_paragraphs() {
    for text in [
        "Here you go.\n\n    import os\n    os.system('ls ' + d)\n\nThat's it.\n",
        "Here you go.\n\nimport os\n\ndef f(d):\n\n    os.system('ls ' + d)\n\nThat's it.\n",
        "> It's so.\n>\n>     import os\n>     os.system('ls ' + d)\n>\n> It's done.\n",
        "1. Don't.\n\n   But:\n\n       import os\n       os.system('ls ' + d)\n\n   It's done.\n",
        "```sql\nSELECT 1\n\n- ```\n\nThat's it:\n\n    import os\n    os.system('ls ' + d)\n\nIt's done.\n",
    ] {
        assert_eq!(rules(&scan_message(text)), ["insecure-os-system-use"], "{text}");
    }
    let constant = "It's so.\n\nimport os\n\nd = 'ls'\n\nos.system(d)\n\nThat's it.\n";
    assert_eq!(rules(&scan_message(constant)), Vec::<&str>::new());
}

/// For some readers there is no fence, or it ends before; for most it names its language.
#[test]
fn doubtful_fences_keep_their_names() {
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    for (name, code) in [
        ("r", "e <- parse(text = s)\ny <- eval(e)\n"),
        ("js", "exec(cmd);\n"),
        ("perl", "my $x = rand();\nsystem($cmd);\n"),
        ("yaml", "run: exec(x)\n"),
        ("python", "import hashlib\nh = hashlib.sha256(b)  # not hashlib.md5(b)\n"),
        (
            "python",
            "import ast\ndef f(s):\n    \"\"\"As:\n\n    eval(s)\n    \"\"\"\n    return ast.literal_eval(s)\n",
        ),
        ("c", "#include <stdio.h>\nint main(void) { puts(\"gets(x)\"); return 0; }\n"),
        ("js", "import a from 'a';\nconst s = \"fetch('http://a.com/x')\"; // fetch('http://a.com/')\n"),
    ] {
        let fence = format!("```{name}\n{code}```\n");
        for text in [
            format!("<details>\n<summary>Run</summary>\n{fence}</details>\n"),
            format!("!!! note\n    Run:\n\n{}", indented(&fence)),
            format!("1. Run:\n   ```{name}\n{code}   ```\n2. Done\n"),
            format!("- Run:\n  {fence}\nThen more.\n"),
        ] {
            assert_eq!(rules(&scan_message(&text)), Vec::<&str>::new(), "{text}");
        }
    }
}

#[test]
fn harmless_replies_with_fences_pass() {
    for text in [
        "1. Count:\n\n   ```sql\n   SELECT md5(name), exec(x) FROM users;\n   ```\n\n2. Never call eval(x) there.\n",
        "1. Count:\n   ```sql\nSELECT md5(name) FROM users;\n   ```\n2. List:\n   ```sh\nls /tmp/* # system(x)\n   ```\n",
        "- ```yaml\n  run: eval(x)\n  ```\n- ```go\n  exec(x); md5(x)\n  ```\nThe system(command) function runs a shell.\n",
        "````md\n# How\n```python\nprint(1)\n```\nNever use eval(text) for it.\n````\n",
        "```python\ndef f(x):\n    \"\"\"Adds.\n\n    Title\n    ~~~~~\n    eval(x)\n    hashlib.md5(x)\n    \"\"\"\n    return x\n```\n",
        "```python\ndef f(x):\n    \"\"\"Adds.\n\n    ```sql\n    SELECT a, b\n    ```\n    \"\"\"\n    return x\n```\nDone.\n",
        "```sh\nrm -r /tmp/*\n```\nand exec(cmd) is for later\n```sh\nls */\n```\n",
        "```js\nconst r = /`/;\n```\nAvoid `eval(x)` and `exec(x)` here.\n```sql\nSELECT eval(x);\n```\n",
        "<details>\n\n```toml\na = \"eval(x)\"\n```\n\n</details>\n\n> ```ini\n> exec(x) = 1\n> ```\n",
        "```rust\nfn main() { let s = system(y); }\n```\n\n    ```\n    indented\n    ```\n",
    ] {
        assert_eq!(rules(&scan_message(text)), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn prose_about_functions_is_no_code() {
    for text in [
        "You can call eval(user_input) in Python, but you should not.",
        "The system(command) function of C hands its argument to a shell; prefer execve.",
        "Use free(ptr) for what malloc(size * n) gave you, and never strcpy(a, b).",
        "Never use `os.system(cmd)`; `subprocess.run(args)` is better.",
        "Use of eval(x)",
        "Use JSON.parse(x), not eval(x)",
        "N'utilisez jamais eval(x)",
        "Не используйте eval(x)",
        "Warning: eval(x) is unsafe",
        "feat: eval(x)",
        "Führt Code aus: exec(code)",
        "See also: eval(x), exec(y)",
        "e.g. eval(x)",
        "# eval(x)\n# os.system(cmd)\nx = 1\n",
    ] {
        assert_eq!(rules(&scan_message(text)), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn places_are_those_of_the_message() {
    let text = "Grüße:\n\n```py\nx = 1\nos.system(x + y)\n```\nand\n```py\nos.system(z)\n```";
    let report = scan_message(text);
    let found: Vec<_> = report.issues.iter().map(|issue| (&text[issue.span.clone()], issue.line)).collect();
    assert_eq!(found, [("os.system(x + y)", 5), ("os.system(z)", 9)]);
}

#[test]
fn secrets_are_found_once_in_any_language() {
    let token = format!("ghp_{}", "a1B2".repeat(9));
    for text in
        [format!("t = '{token}'"), format!("```rust\nlet t = \"{token}\";\n```"), format!("see {token}.")]
    {
        let report = scan_message(&text);
        assert_eq!(rules(&report), ["ALL-R-010"], "{text}");
        assert_eq!(report.issues[0].language, None);
        assert_eq!(&text[report.issues[0].span.clone()], token);
    }
}

#[test]
fn the_worst_issue_decides_the_treatment() {
    assert_eq!(scan_code("print(1)", Some(Language::Python)).treatment(), Treatment::Ignore);
    assert_eq!(scan_code("eval(x)", Some(Language::Python)).treatment(), Treatment::Warn);
    assert_eq!(scan_code("rand(); gets(x);", Some(Language::C)).treatment(), Treatment::Block);
    let java = "import javax.xml.xpath.*; class A { void f(XPath p, String q) { p.compile(q); } }";
    let report = scan_code(java, Some(Language::Java));
    assert_eq!((report.issues[0].severity, report.treatment()), (Severity::Error, Treatment::Block));
    assert!(report.is_insecure());
}

#[test]
fn messages_never_repeat_the_code() {
    let report = scan_message("```py\nos.system(hush_hush)\n```");
    assert!(!report.issues.is_empty() && report.issues.iter().all(|issue| !issue.message.contains("hush")));
}

fn check_settled(text: &str) {
    let whole = scan_message(text);
    for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
        let part = &text[..end];
        let border = settled(part);
        let before = |report: Report| {
            let early = report.issues.into_iter().filter(|issue| issue.span.start < border);
            early.map(|issue| (issue.rule, issue.span)).collect::<Vec<_>>()
        };
        assert_eq!(before(scan_message(part)), before(whole.clone()), "{part:?}");
    }
}

#[test]
fn what_is_settled_stays_as_it_is_whatever_follows() {
    check_settled(
        "intro os.system(a)\n```py\nos.system(b)\n```\nmiddle\n```js\neval(c)\n```\n~~~\nexec(d)\n~~~\nend eval(e)",
    );
    check_settled(
        "> ```py\n> exec(a)\nexec(b)\n> exec(c)\n> ~~~\n> exec(d)\n> ~~~\n<pre>exec(e)</pre> x\n```py\r\nexec(f)\r\n```\r\nexec(g)",
    );
}

#[test]
fn what_is_settled_stays_so_in_every_reading() {
    for text in [
        "a\n```py\ndef f(d):\n  \"\"\"\n  ```\n  x\n  ```\n  \"\"\"\n  exec(d)\n```\nb\n```py\nexec(c)\n```\nexec(e)",
        "- ```sql\n  x\n  ```\n  ```sql\n  y\n\nexec(a)\n```\nexec(b)\n```\n<!--\n```go\n-->\nexec(c)\n```\nexec(d)\n",
        "2. a\n```go\nx\n```\nb\n2. ```go\nexec(a)\n```\n\n1. c\n   ```go\nexec(b)\n   ```\nexec(c)\n```\nexec(d)",
        "> a\nb\n> ```go\n> x\nexec(a)\n> ```js\n> `\n> ```\n> `\n> eval(b)\n> ```\n<pre>\n```\n</pre>\nexec(a)",
    ] {
        check_settled(text);
    }
}

#[test]
fn long_code_is_read_in_pieces_and_none_is_left_out() {
    let line = "value = compute(value)  # a line like any other\n";
    let mut code = line.repeat(8000);
    code.push_str("import os\nos.system(value)\n");
    assert!(code.len() > 300 << 10);
    let report = scan_code(&code, Some(Language::Python));
    assert_eq!((rules(&report), report.unread.len()), (vec!["insecure-os-system-use"], 0));
    assert_eq!(report.issues[0].line, 8002);
}

#[test]
fn code_that_cannot_be_read_is_named_and_not_passed_over() {
    let line = format!("{}eval(x)", "a + ".repeat(100_000));
    let report = scan_code(&line, Some(Language::Python));
    assert_eq!(report.unread.first(), Some(&(0..line.len())));
    assert_eq!(report.treatment(), Treatment::Warn);
}

/// Comments that never end are looked for to the end of the text wherever one may begin, and each fence is read by itself: without bounds
/// these take minutes.
#[test]
fn what_takes_too_much_parsing_is_named_and_not_passed_over() {
    for (unit, kilobytes) in [("`\n\neval(x)\n\n/*\n\n", 256), ("```js\neval(x\n", 400)] {
        let text = unit.repeat((kilobytes << 10) / unit.len());
        let report = scan_message(&text);
        assert!(report.unread.contains(&(0..text.len())), "{unit:?}");
        assert!(report.treatment() >= Treatment::Warn);
        // Nothing of it is left for the next scan.
        assert!(scan_message("```py\neval(x)\n```\n").unread.is_empty());
    }
}

/// Repetitions, nesting, cut and foreign characters: nothing panics, places lie on characters, and a report stays small.
#[test]
fn hostile_text_is_survived() {
    prepare();
    let units = [
        "(",
        "eval(",
        "eval((",
        "```\n",
        "```py\n",
        "`",
        "\0",
        "\u{feff}",
        "ß",
        "👩‍👩‍👧",
        "\r\n",
        "\"",
        "'",
        "\"\"\"",
        "/*",
        "#",
        "{system(",
        "<a b={eval(",
        "`${eval(",
        "EVP_",
        "SK",
        "scanf(\"%s",
        "-----BEGIN PRIVATE KEY-----\n",
        "---BEGIN PRIVATE KEY---\n+ ",
        "md5(\n",
        "a=a+",
        "if x:\n ",
        "using System.Xml;[HttpPost]",
        "new URL(a).",
        "n=snprintf(b,1,s);b[n]=0;",
        "char b[9];memcpy(b,s,n);",
        "\\",
        "f\"{",
        "x = eval(a)\n",
        "xmlReadDoc(",
        ".setFeature(\"http://",
        "Cipher.getInstance(\"",
        "<system.web><pages ",
        "> ",
        "> ```py\n> eval(a)\n",
        "- > ",
        "<pre>eval(a)</pre>",
        "<pre>\n<code class=\"lang-js\">",
        "&lt;&",
        "eval /* ",
        "eval(a)\r",
    ];
    for unit in units {
        let text = unit.repeat(6000 / unit.len());
        let mut texts = vec![text.clone()];
        for name in ["py", "js", "c", "cs", "java"] {
            texts.push(format!("```{name}\n{text}"));
            texts.push(format!("```{name}\n{text}\n```\n{text}"));
        }
        for text in texts {
            let report = scan_message(&text);
            assert!(report.issues.len() <= 64 * 108);
            let on_characters = report.issues.iter().all(|issue| text.get(issue.span.clone()).is_some());
            assert!(on_characters, "{unit:?}");
        }
    }
}

/// Blocks that stand in each other more and more deeply, and empty lines in them.
#[test]
fn deep_nesting_takes_linear_time() {
    let shapes = [
        ("- ", "\n"),
        ("> ", ">\n"),
        ("> - ", ">\n"),
        ("1) ", "```py\n"),
        ("- ", "  ```\n"),
        ("> ", "> ```\n"),
    ];
    for (unit, line) in shapes {
        let text = format!("{}```py\n'''\n{}", unit.repeat(100_000), line.repeat(100_000));
        assert!(scan_message(&text).issues.is_empty(), "{unit:?}");
        let staircase = (0..700).map(|depth| format!("{}```py\n{line}", unit.repeat(depth)));
        assert!(scan_message(&staircase.collect::<String>()).issues.is_empty(), "{unit:?}");
    }
}

/// A megabyte of one repeated word takes no more than a megabyte's time: every check that fails says how far it is
/// pointless to try again. Without that, each of these takes minutes.
#[test]
fn patterns_take_linear_time() {
    for unit in [
        "EVP_bf_",
        "---BEGIN",
        "---BEGIN PRIVATE KEY---",
        "---BEGIN PRIVATE KEY---\n# > ",
        "xmlReadDoc(",
        "Cipher.getInstance(\"",
        ".setFeature(\"http://",
        "scanf(\"%s",
        "<system.web><pages ",
        "> > ",
        "<pre>x</pre>",
        "<pre>&lt;",
        "<pre><!-- ",
        "<pre>\n<!---->",
        "<pre><div>x",
        "<pre> <code>",
        "- ```",
        "- - ",
        "- * + ",
        "> - ",
        "- > 1. ```py\n",
        "- ```py\n\"\"\"\n",
        "```py\n'''\n\"\"\"\n",
        "```\n/*\n",
        "```js\n`\n",
        "~~~\n```c\nR\"x(",
        "<!--\n```\n",
        "{\"a\": [",
        "[{",
        "{\"eval(x);\": \"eval(\\",
        "[\"\\\"[\\\\\\\"",
        "```\n\"\"\"\"\"\"\"",
    ] {
        let text = unit.repeat((1 << 20) / unit.len());
        assert!(scan_message(&text).issues.len() <= 64 * 108, "{unit}");
    }
}
