//! Templates for models whose file brings none, as rows of a table.
//!
//! Most formats put something before and after what each role says; those are rows of strings, and one piece of Jinja
//! serves them all. The others are written out. None has a place for tools, and says so when it is given some.

/// A template that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// What `--chat-template` calls it.
    pub name: &'static str,
    /// Control tokens that a vocabulary has to have for this to be its format; with none it is chosen by name alone.
    pub needs: &'static [&'static str],
    /// Architectures that use it, as GGUF names them; with none any may.
    pub architectures: &'static [&'static str],
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Before and after the messages of system, user and assistant; then what a reply begins with.
    Turns {
        system: [&'static str; 2],
        user: [&'static str; 2],
        assistant: [&'static str; 2],
        reply: &'static str,
    },
    Jinja(&'static str),
}

/// Without `bos_token` in front: such formats begin with a token of their own.
const NO_BOS: [&str; 4] = ["chatml", "glm4", "kimi-k2", "gpt-oss"];

const fn turns(
    name: &'static str,
    needs: &'static [&'static str],
    architectures: &'static [&'static str],
    [system, user, assistant]: [[&'static str; 2]; 3],
    reply: &'static str,
) -> Builtin {
    Builtin { name, needs, architectures, shape: Shape::Turns { system, user, assistant, reply } }
}

const fn jinja(
    name: &'static str,
    needs: &'static [&'static str],
    architectures: &'static [&'static str],
    source: &'static str,
) -> Builtin {
    Builtin { name, needs, architectures, shape: Shape::Jinja(source) }
}

/// What each of the formats that write the system message into the first user message begins with.
macro_rules! first_system {
    () => {
        "{%- set ns = namespace(system='') -%}\
         {%- if messages and messages[0].role in ['system', 'developer'] -%}\
         {%- set ns.system = text(messages[0].content) -%}{%- set messages = messages[1:] -%}{%- endif -%}"
    };
}

const LLAMA2: &str = concat!(
    first_system!(),
    "{%- for m in messages -%}{%- if m.role == 'user' -%}",
    "{{ bos_token }}[INST] {% if loop.first and ns.system %}<<SYS>>\n{{ ns.system }}\n<</SYS>>\n\n{% endif %}",
    "{{ text(m.content).strip() }} [/INST]",
    "{%- elif m.role == 'assistant' %} {{ text(m.content).strip() }} {{ eos_token }}",
    "{%- else -%}{{ unknown(m.role) }}{%- endif -%}{%- endfor -%}"
);

const MISTRAL_V1: &str = concat!(
    first_system!(),
    "{{ bos_token }}{%- for m in messages -%}{%- if m.role == 'user' %} [INST] ",
    "{%- if loop.first and ns.system %}{{ ' ' + ns.system + '\n\n' }}{% else %}{{ ' ' }}{% endif -%}",
    "{{ text(m.content) }} [/INST]{%- elif m.role == 'assistant' %} {{ text(m.content) }}{{ eos_token }}",
    "{%- else -%}{{ unknown(m.role) }}{%- endif -%}{%- endfor -%}"
);

const MISTRAL_V3: &str = concat!(
    first_system!(),
    "{{ bos_token }}{%- for m in messages -%}{%- if m.role == 'user' -%}[INST] ",
    "{%- if loop.last and ns.system %}{{ ' ' + ns.system + '\n\n' }}{% else %}{{ ' ' }}{% endif -%}",
    "{{ text(m.content) }}[/INST]{%- elif m.role == 'assistant' %} {{ text(m.content) }}{{ eos_token }}",
    "{%- else -%}{{ unknown(m.role) }}{%- endif -%}{%- endfor -%}"
);

const GEMMA: &str = concat!(
    first_system!(),
    "{{ bos_token }}{%- for m in messages -%}{%- if m.role == 'user' -%}",
    "<start_of_turn>user\n{% if loop.first and ns.system %}{{ ns.system + '\n\n' }}{% endif %}",
    "{{ text(m.content).strip() }}<end_of_turn>\n",
    "{%- elif m.role == 'assistant' -%}<start_of_turn>model\n{{ text(m.content).strip() }}<end_of_turn>\n",
    "{%- else -%}{{ unknown(m.role) }}{%- endif %}{{ '\n' }}{%- endfor -%}",
    "{%- if add_generation_prompt %}<start_of_turn>model\n{{ '' }}{% endif -%}"
);

const GPT_OSS: &str = concat!(
    "{%- set ns = namespace(instructions='') -%}",
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n",
    "Knowledge cutoff: 2024-06\nCurrent date: {{ strftime_now('%Y-%m-%d') }}\n\n",
    "Reasoning: {{ reasoning_effort | default('medium') }}\n\n",
    "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>",
    "{%- if messages and messages[0].role in ['system', 'developer'] -%}",
    "<|start|>developer<|message|># Instructions\n\n{{ text(messages[0].content) }}\n\n<|end|>",
    "{%- set messages = messages[1:] -%}{%- endif -%}",
    "{%- for m in messages -%}{%- if m.role == 'user' -%}",
    "<|start|>user<|message|>{{ text(m.content) }}<|end|>",
    "{%- elif m.role == 'assistant' -%}",
    "<|start|>assistant<|channel|>final<|message|>{{ text(m.content) }}",
    "{%- if loop.last and not add_generation_prompt %}<|return|>{% else %}<|end|>{% endif -%}",
    "{%- else -%}{{ unknown(m.role) }}{%- endif -%}{%- endfor -%}",
    "{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}"
);

const DEEPSEEK3: &str = concat!(
    "{{ bos_token }}{%- for m in messages -%}{%- if m.role in ['system', 'developer'] -%}{{ text(m.content) }}",
    "{%- elif m.role == 'user' -%}<｜User｜>{{ text(m.content) }}",
    "{%- elif m.role == 'assistant' -%}<｜Assistant｜>{{ text(m.content).split('</think>')[-1] }}",
    "<｜end▁of▁sentence｜>{%- else -%}{{ unknown(m.role) }}{%- endif -%}{%- endfor -%}",
    "{%- if add_generation_prompt -%}<｜Assistant｜>{%- endif -%}"
);

const ALPACA: &str = concat!(
    first_system!(),
    "{%- if ns.system %}{{ ns.system + '\n\n' }}{% endif -%}",
    "{%- for m in messages -%}{%- if m.role == 'user' %}### Instruction:\n{{ text(m.content) }}\n\n{{ '' }}",
    "{%- elif m.role == 'assistant' %}### Response:\n{{ text(m.content) }}{{ eos_token }}\n\n{{ '' }}",
    "{%- else -%}{{ unknown(m.role) }}{%- endif -%}{%- endfor -%}",
    "{%- if add_generation_prompt %}### Response:\n{{ '' }}{% endif -%}"
);

/// In the order in which they are tried.
pub const BUILTINS: &[Builtin] = &[
    jinja("gpt-oss", &["<|start|>", "<|message|>", "<|channel|>"], &["gpt-oss"], GPT_OSS),
    turns(
        "phi4",
        &["<|im_start|>", "<|im_sep|>"],
        &[],
        [
            ["<|im_start|>system<|im_sep|>", "<|im_end|>"],
            ["<|im_start|>user<|im_sep|>", "<|im_end|>"],
            ["<|im_start|>assistant<|im_sep|>", "<|im_end|>"],
        ],
        "<|im_start|>assistant<|im_sep|>",
    ),
    turns(
        "kimi-k2",
        &["<|im_user|>", "<|im_middle|>"],
        &[],
        [
            ["<|im_system|>system<|im_middle|>", "<|im_end|>"],
            ["<|im_user|>user<|im_middle|>", "<|im_end|>"],
            ["<|im_assistant|>assistant<|im_middle|>", "<|im_end|>"],
        ],
        "<|im_assistant|>assistant<|im_middle|>",
    ),
    turns(
        "chatml",
        &["<|im_start|>", "<|im_end|>"],
        &[],
        [
            ["<|im_start|>system\n", "<|im_end|>\n"],
            ["<|im_start|>user\n", "<|im_end|>\n"],
            ["<|im_start|>assistant\n", "<|im_end|>\n"],
        ],
        "<|im_start|>assistant\n",
    ),
    turns(
        "llama3",
        &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        &[],
        [
            ["<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"],
            ["<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"],
            ["<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"],
        ],
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    turns(
        "llama4",
        &["<|header_start|>", "<|header_end|>", "<|eot|>"],
        &[],
        [
            ["<|header_start|>system<|header_end|>\n\n", "<|eot|>"],
            ["<|header_start|>user<|header_end|>\n\n", "<|eot|>"],
            ["<|header_start|>assistant<|header_end|>\n\n", "<|eot|>"],
        ],
        "<|header_start|>assistant<|header_end|>\n\n",
    ),
    jinja("gemma", &["<start_of_turn>", "<end_of_turn>"], &[], GEMMA),
    turns(
        "granite",
        &["<|start_of_role|>", "<|end_of_role|>"],
        &[],
        [
            ["<|start_of_role|>system<|end_of_role|>", "<|end_of_text|>\n"],
            ["<|start_of_role|>user<|end_of_role|>", "<|end_of_text|>\n"],
            ["<|start_of_role|>assistant<|end_of_role|>", "<|end_of_text|>\n"],
        ],
        "<|start_of_role|>assistant<|end_of_role|>",
    ),
    turns(
        "command-r",
        &["<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"],
        &[],
        [
            ["<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>", "<|END_OF_TURN_TOKEN|>"],
            ["<|START_OF_TURN_TOKEN|><|USER_TOKEN|>", "<|END_OF_TURN_TOKEN|>"],
            ["<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>"],
        ],
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    ),
    jinja("deepseek3", &["<｜User｜>", "<｜Assistant｜>"], &[], DEEPSEEK3),
    turns(
        "glm4",
        &["[gMASK]", "<sop>", "<|user|>", "<|assistant|>"],
        &[],
        [["<|system|>\n", ""], ["<|user|>\n", ""], ["<|assistant|>\n", ""]],
        "<|assistant|>\n",
    ),
    turns(
        "phi3",
        &["<|user|>", "<|assistant|>", "<|end|>"],
        &[],
        [["<|system|>\n", "<|end|>\n"], ["<|user|>\n", "<|end|>\n"], ["<|assistant|>\n", "<|end|>\n"]],
        "<|assistant|>\n",
    ),
    turns(
        "exaone3",
        &["[|user|]", "[|assistant|]", "[|endofturn|]"],
        &[],
        [["[|system|]", "[|endofturn|]\n"], ["[|user|]", "\n"], ["[|assistant|]", "[|endofturn|]\n"]],
        "[|assistant|]",
    ),
    turns(
        "seed-oss",
        &["<seed:bos>", "<seed:eos>"],
        &[],
        [
            ["<seed:bos>system\n", "<seed:eos>"],
            ["<seed:bos>user\n", "<seed:eos>"],
            ["<seed:bos>assistant\n", "<seed:eos>"],
        ],
        "<seed:bos>assistant\n",
    ),
    jinja("mistral-v7", &["[INST]", "[/INST]", "[SYSTEM_PROMPT]"], &[], MISTRAL_V7),
    jinja("mistral-v3", &["[INST]", "[/INST]"], &[], MISTRAL_V3),
    jinja("mistral-v1", &[], &[], MISTRAL_V1),
    jinja("llama2", &[], &[], LLAMA2),
    jinja("alpaca", &[], &[], ALPACA),
    turns(
        "zephyr",
        &[],
        &[],
        [
            ["<|system|>\n", "{{ eos_token }}\n"],
            ["<|user|>\n", "{{ eos_token }}\n"],
            ["<|assistant|>\n", "{{ eos_token }}\n"],
        ],
        "<|assistant|>\n",
    ),
    turns(
        "vicuna",
        &[],
        &[],
        [["", "\n\n"], ["USER: ", "\n"], ["ASSISTANT: ", "{{ eos_token }}\n"]],
        "ASSISTANT:",
    ),
    turns(
        "deepseek",
        &[],
        &[],
        [["", "\n\n"], ["User: ", "\n\n"], ["Assistant: ", "{{ eos_token }}"]],
        "Assistant:",
    ),
    turns(
        "openchat",
        &[],
        &[],
        [
            ["GPT4 Correct System: ", "<|end_of_turn|>"],
            ["GPT4 Correct User: ", "<|end_of_turn|>"],
            ["GPT4 Correct Assistant: ", "<|end_of_turn|>"],
        ],
        "GPT4 Correct Assistant:",
    ),
];

const MISTRAL_V7: &str = concat!(
    "{{ bos_token }}{%- for m in messages -%}{%- if m.role in ['system', 'developer'] -%}",
    "[SYSTEM_PROMPT]{{ text(m.content) }}[/SYSTEM_PROMPT]",
    "{%- elif m.role == 'user' -%}[INST]{{ text(m.content) }}[/INST]",
    "{%- elif m.role == 'assistant' -%}{{ text(m.content) }}{{ eos_token }}",
    "{%- else -%}{{ unknown(m.role) }}{%- endif -%}{%- endfor -%}"
);

/// Other names for the same formats.
const ALIASES: &[(&str, &str)] = &[
    ("qwen", "chatml"),
    ("qwen2", "chatml"),
    ("qwen3", "chatml"),
    ("smollm", "chatml"),
    ("harmony", "gpt-oss"),
    ("gemma2", "gemma"),
    ("gemma3", "gemma"),
    ("phi3.5", "phi3"),
    ("mistral", "mistral-v3"),
    ("deepseek-r1", "deepseek3"),
    ("deepseek-v3", "deepseek3"),
    ("cohere", "command-r"),
];

/// The template of this name, or of another name for it.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| *name);
    BUILTINS.iter().find(|builtin| builtin.name == name)
}

/// The template that fits an architecture and what its vocabulary has, if there is one that surely does.
pub fn builtin_for(architecture: &str, has_control: &dyn Fn(&str) -> bool) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|builtin| {
        let arch = builtin.architectures.is_empty() || builtin.architectures.contains(&architecture);
        arch && !builtin.needs.is_empty() && builtin.needs.iter().all(|token| has_control(token))
    })
}

impl Builtin {
    /// The Jinja source.
    pub fn source(&self) -> String {
        let body = match self.shape {
            Shape::Jinja(source) => source.to_owned(),
            Shape::Turns { system, user, assistant, reply } => turns_source([system, user, assistant], reply),
        };
        let begin = match (self.shape, self.name) {
            (_, "glm4") => "[gMASK]<sop>",
            (Shape::Turns { .. }, name) if !NO_BOS.contains(&name) => "{{ bos_token }}",
            _ => "",
        };
        format!("{PROLOGUE}{begin}{body}")
    }
}

/// Content may be a text, a list of parts, or nothing.
const PROLOGUE: &str = "{%- macro text(content) -%}\
    {%- if content is string -%}{{ content }}\
    {%- elif content -%}{%- for part in content -%}\
    {%- if part.text is not string -%}\
    {{ raise_exception('the built-in template has no place for parts of a message that are no text') }}\
    {%- endif -%}{{ part.text }}{%- endfor -%}{%- endif -%}\
    {%- endmacro -%}\
    {%- macro unknown(role) -%}\
    {{ raise_exception('the built-in template has no place for messages of ' ~ role) }}\
    {%- endmacro -%}\
    {%- if tools -%}{{ raise_exception('the built-in template has no place for tools') }}{%- endif -%}\
    {%- for m in messages -%}{%- if m.tool_calls -%}\
    {{ raise_exception('the built-in template has no place for calls of tools') }}{%- endif -%}{%- endfor -%}";

fn turns_source([system, user, assistant]: [[&str; 2]; 3], reply: &str) -> String {
    let turn = |[before, after]: [&str; 2]| {
        let after = after.replace("{{ eos_token }}", "' ~ eos_token ~ '");
        format!("{{{{ '{before}' ~ text(m.content) ~ '{after}' }}}}").replace('\n', "\\n")
    };
    format!(
        "{{%- for m in messages -%}}{{%- if m.role in ['system', 'developer'] -%}}{}\
         {{%- elif m.role == 'user' -%}}{}{{%- elif m.role == 'assistant' -%}}{}\
         {{%- else -%}}{{{{ unknown(m.role) }}}}{{%- endif -%}}{{%- endfor -%}}\
         {{%- if add_generation_prompt -%}}{{{{ '{}' }}}}{{%- endif -%}}",
        turn(system),
        turn(user),
        turn(assistant),
        reply.replace('\n', "\\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChatTemplate, Conversation, Data, Part, RenderOptions};

    fn render(name: &str, messages: &[(&str, &str)]) -> Result<String, String> {
        let template = ChatTemplate::new(&builtin(name).unwrap().source()).unwrap();
        let mut conversation = Conversation::new();
        messages.iter().for_each(|(role, content)| conversation.push(role, content));
        let options =
            RenderOptions { bos: "<s>".to_owned(), eos: "</s>".to_owned(), ..RenderOptions::default() };
        template.render(&conversation, &options).map(|prompt| prompt.text()).map_err(|e| e.to_string())
    }

    const TALK: [(&str, &str); 4] = [("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "V")];

    #[test]
    fn formats_are_those_of_their_models() {
        for (name, want) in [
            (
                "chatml",
                "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n\
                 <|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
            ),
            ("llama2", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST]"),
            (
                "llama3",
                "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n\
                 U<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user\
                 <|end_header_id|>\n\nV<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            ),
            ("mistral-v1", "<s> [INST] S\n\nU [/INST] A</s> [INST] V [/INST]"),
            ("mistral-v3", "<s>[INST] U[/INST] A</s>[INST] S\n\nV[/INST]"),
            ("mistral-v7", "<s>[SYSTEM_PROMPT]S[/SYSTEM_PROMPT][INST]U[/INST]A</s>[INST]V[/INST]"),
            (
                "gemma",
                "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\n\
                 V<end_of_turn>\n<start_of_turn>model\n",
            ),
            (
                "zephyr",
                "<s><|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</s>\n<|assistant|>\n",
            ),
            ("vicuna", "<s>S\n\nUSER: U\nASSISTANT: A</s>\nUSER: V\nASSISTANT:"),
            (
                "alpaca",
                "S\n\n### Instruction:\nU\n\n### Response:\nA</s>\n\n### Instruction:\nV\n\n### Response:\n",
            ),
            ("deepseek3", "<s>S<｜User｜>U<｜Assistant｜>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜>"),
            ("glm4", "[gMASK]<sop><|system|>\nS<|user|>\nU<|assistant|>\nA<|user|>\nV<|assistant|>\n"),
        ] {
            assert_eq!(render(name, &TALK).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn every_template_compiles_and_keeps_messages_as_text() {
        for builtin in BUILTINS {
            let template = ChatTemplate::new(&builtin.source()).unwrap();
            let mut conversation = Conversation::new();
            conversation.push("user", "UUU");
            conversation.push("assistant", "AAA");
            conversation.push("user", "VVV");
            let prompt = template.render(&conversation, &RenderOptions::default()).unwrap();
            let texts: Vec<_> =
                prompt.parts.iter().filter(|part| matches!(part, Part::Text(_))).map(Part::as_str).collect();
            assert_eq!(texts, ["UUU", "AAA", "VVV"], "{}", builtin.name);
            assert!(
                render(builtin.name, &[("critic", "x")]).unwrap_err().contains("critic"),
                "{}",
                builtin.name
            );
        }
    }

    #[test]
    fn what_has_no_place_is_said() {
        for (fields, what) in [
            (
                r#"{"content": null, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}"#,
                "calls of tools",
            ),
            (r#"{"content": [{"type": "image_url", "image_url": {"url": "x"}}]}"#, "no text"),
        ] {
            let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(fields).unwrap();
            let mut conversation = Conversation::new();
            let data =
                fields.iter().map(|(key, value)| (key.as_str(), Data::parse(&value.to_string()).unwrap()));
            conversation.push_fields("assistant", data);
            let template = ChatTemplate::new(&builtin("chatml").unwrap().source()).unwrap();
            let refused = template.render(&conversation, &RenderOptions::default()).unwrap_err().to_string();
            assert!(refused.contains(what), "{refused}");
        }
    }

    #[test]
    fn a_vocabulary_tells_which_template_fits() {
        let find = |arch: &str, tokens: &[&str]| builtin_for(arch, &|t| tokens.contains(&t)).map(|b| b.name);
        assert_eq!(find("qwen2", &["<|im_start|>", "<|im_end|>"]), Some("chatml"));
        assert_eq!(find("phi3", &["<|im_start|>", "<|im_sep|>", "<|im_end|>"]), Some("phi4"));
        assert_eq!(find("llama", &["[INST]", "[/INST]"]), Some("mistral-v3"));
        assert_eq!(find("llama", &["<s>", "</s>"]), None);
        assert_eq!(builtin("qwen").map(|b| b.name), Some("chatml"));
        assert!(builtin("nonsense").is_none());
    }
}
