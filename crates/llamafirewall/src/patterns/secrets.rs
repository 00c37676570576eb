//! What secrets of known providers look like: a prefix and what follows it, or a name that one is given to.

use super::commands::IDENTIFIED;

/// The characters that a secret is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Letters and digits.
    Alnum,
    /// And `_`, `-`.
    Dashed,
    /// And `.`.
    Dotted,
    /// Digits of base16.
    Hex,
    /// And `-`: identifiers in five groups.
    Uuid,
    /// And `+`, `/`, `=`, of base64.
    Base64,
    /// And `%`: base64 as addresses write it.
    Percent,
    /// Capitals and digits.
    Capitals,
    /// And those, `.` and `~`: what is given to a name without quotation marks.
    Signed,
    /// What secrets within quotation marks are made of: those that patterns, addresses and templates need are not in it.
    Quoted,
    /// Anything up to white space or a quotation mark.
    Printable,
}

impl Class {
    pub fn has(self, byte: u8) -> bool {
        let alnum = byte.is_ascii_alphanumeric();
        match self {
            Class::Alnum => alnum,
            Class::Dashed => alnum || byte == b'_' || byte == b'-',
            Class::Dotted => alnum || matches!(byte, b'_' | b'-' | b'.'),
            Class::Hex => byte.is_ascii_hexdigit(),
            Class::Uuid => byte.is_ascii_hexdigit() || byte == b'-',
            Class::Percent => alnum || byte == b'%',
            Class::Base64 => alnum || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-'),
            Class::Signed => Class::Base64.has(byte) || byte == b'.' || byte == b'~',
            Class::Quoted => alnum || b"!@#$%^&*(-_=+)./~?".contains(&byte),
            Class::Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Class::Printable => byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b',' | b';'),
        }
    }
}

/// A secret that can be told by how it begins.
pub(super) struct Token {
    pub provider: &'static str,
    pub prefixes: &'static [&'static str],
    pub class: Class,
    /// Fewest and most characters after the prefix.
    pub length: (usize, usize),
    pub demand: Demand,
}

/// What else makes it a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// The prefix begins a word.
    Word,
    /// And there is a digit in the rest, without which it may be words.
    Digit,
    /// And the rest has three parts with points between them.
    ThreeParts,
    /// Nor does a dash stand before the prefix.
    NoDash,
    /// A number of so many digits stands before the prefix.
    Number(usize, usize),
    /// So many characters of the secret stand before the prefix, of this class.
    Behind(usize, Class),
    /// There is base64's padding in the rest, as addresses write it, or at its end: without it, any base64 may be so.
    Padding,
}

impl Token {
    const fn demanding(self, demand: Demand) -> Token {
        Token { demand, ..self }
    }
}

const fn token(
    provider: &'static str,
    prefixes: &'static [&'static str],
    class: Class,
    length: (usize, usize),
) -> Token {
    Token { provider, prefixes, class, length, demand: Demand::Word }
}

/// Formats as the providers document them.
pub(super) const TOKENS: &[Token] = &[
    token("AWS access key", &["AKIA", "ASIA", "ABIA", "ACCA"], Class::Capitals, (16, 16)),
    token("Alibaba Cloud access key", &["LTAI"], Class::Alnum, (12, 20)),
    token("Tencent Cloud secret id", &["AKID"], Class::Alnum, (32, 32)),
    token("Yandex Cloud API key", &["AQVN"], Class::Dashed, (35, 38)),
    token("Google API key", &["AIza"], Class::Dashed, (35, 35)),
    token("Google OAuth token", &["ya29."], Class::Dotted, (30, 1000)),
    token("Google OAuth client secret", &["GOCSPX-"], Class::Dashed, (28, 28)),
    token("AWS Bedrock key", &["ABSK"], Class::Base64, (100, 300)),
    token("Azure storage key", &["AccountKey="], Class::Base64, (86, 88)),
    token("Azure shared access key", &["SharedAccessKey="], Class::Base64, (43, 44)),
    token("DigitalOcean token", &["dop_v1_", "doo_v1_", "dor_v1_"], Class::Hex, (64, 64)),
    token("GitHub token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], Class::Alnum, (36, 255)),
    token("GitHub fine-grained token", &["github_pat_"], Class::Dashed, (82, 82)),
    token(
        "GitLab token",
        &[
            "glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glft-", "gloas-", "glsoat-", "glimt-",
            "glagent-", "glffct-",
        ],
        Class::Dotted,
        (20, 300),
    ),
    token("GitLab token", &["GR1348941"], Class::Dashed, (20, 20)),
    token("Bitbucket token", &["ATBB"], Class::Alnum, (32, 32)),
    token("Atlassian token", &["ATATT3", "ATCTT3"], Class::Base64, (180, 220)),
    token("Trello token", &["ATTA"], Class::Hex, (64, 72)),
    token(
        "Slack token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxc-", "xoxd-", "xoxr-", "xoxs-", "xoxe-", "xapp-"],
        Class::Dashed,
        (20, 300),
    ),
    token("Slack webhook", &["hooks.slack.com/services/"], Class::Base64, (40, 60)),
    token(
        "Slack webhook",
        &["hooks.slack.com/workflows/", "hooks.slack.com/triggers/"],
        Class::Base64,
        (40, 100),
    ),
    token(
        "Discord webhook",
        &[
            "discord.com/api/webhooks/",
            "discordapp.com/api/webhooks/",
            "discord.com/api/v8/webhooks/",
            "discord.com/api/v9/webhooks/",
            "discord.com/api/v10/webhooks/",
        ],
        Class::Base64,
        (70, 120),
    ),
    token("Stripe key", &["sk_live_", "sk_test_", "rk_live_", "rk_test_"], Class::Alnum, (16, 250)),
    token("Stripe webhook secret", &["whsec_"], Class::Base64, (32, 64)),
    token("Square token", &["sq0atp-", "sq0csp-"], Class::Dashed, (22, 43)),
    token("Square access token", &["EAAA"], Class::Dashed, (56, 60)),
    token("Shopify token", &["shpat_", "shpca_", "shppa_", "shpss_", "shpua_"], Class::Hex, (32, 32)),
    token(
        "Braintree access token",
        &["access_token$production$", "access_token$sandbox$"],
        Class::Printable,
        (49, 49),
    ),
    token("Razorpay key", &["rzp_live_", "rzp_test_"], Class::Alnum, (14, 14)),
    token("EasyPost key", &["EZAK", "EZTK"], Class::Alnum, (54, 54)),
    token("Duffel token", &["duffel_live_", "duffel_test_"], Class::Dashed, (43, 43)),
    token("Flutterwave key", &["FLWSECK_TEST-", "FLWSECK-"], Class::Alnum, (12, 40)),
    token(
        "Plaid token",
        &["access-sandbox-", "access-development-", "access-production-"],
        Class::Uuid,
        (36, 36),
    ),
    token("Twilio key", &["SK"], Class::Hex, (32, 32)),
    token("SendGrid key", &["SG."], Class::Dotted, (60, 70)),
    token("Mailgun key", &["key-"], Class::Hex, (32, 32)).demanding(Demand::NoDash),
    token("Sendinblue key", &["xkeysib-"], Class::Dashed, (80, 82)),
    token("OpenAI key", &["sk-proj-", "sk-svcacct-", "sk-admin-"], Class::Dashed, (40, 250)),
    token("OpenAI or DeepSeek key", &["sk-"], Class::Alnum, (32, 60)).demanding(Demand::Digit),
    token("Anthropic key", &["sk-ant-"], Class::Dashed, (80, 200)),
    token("OpenRouter key", &["sk-or-v1-"], Class::Hex, (64, 64)),
    token("Hugging Face token", &["hf_", "api_org_"], Class::Alnum, (34, 40)),
    token("Groq key", &["gsk_"], Class::Alnum, (48, 56)),
    token("Replicate token", &["r8_"], Class::Alnum, (37, 40)),
    token("Perplexity key", &["pplx-"], Class::Alnum, (40, 64)),
    token("xAI key", &["xai-"], Class::Alnum, (70, 90)),
    token("NVIDIA key", &["nvapi-"], Class::Dashed, (60, 80)),
    token("LangSmith key", &["lsv2_pt_", "lsv2_sk_"], Class::Dashed, (32, 60)),
    token("Langfuse key", &["sk-lf-"], Class::Uuid, (36, 36)),
    token("Tavily key", &["tvly-"], Class::Dashed, (32, 60)).demanding(Demand::Digit),
    token("ElevenLabs key", &["sk_"], Class::Hex, (48, 48)),
    token("Pinecone key", &["pcsk_"], Class::Dashed, (60, 80)),
    token("Cerebras key", &["csk-"], Class::Alnum, (40, 60)),
    token("npm token", &["npm_"], Class::Alnum, (36, 36)),
    token("PyPI token", &["pypi-AgE"], Class::Dashed, (50, 300)),
    token("RubyGems key", &["rubygems_"], Class::Hex, (48, 48)),
    token("crates.io token", &["cio"], Class::Alnum, (32, 32)),
    token("Docker Hub token", &["dckr_pat_", "dckr_oat_"], Class::Dashed, (27, 40)),
    token("NuGet key", &["oy2"], Class::Alnum, (43, 43)).demanding(Demand::Digit),
    token("Heroku key", &["HRKU-"], Class::Dashed, (36, 70)),
    token("Fly.io token", &["fo1_", "fm2_"], Class::Base64, (40, 700)),
    token("Render key", &["rnd_"], Class::Alnum, (26, 40)),
    token("Netlify token", &["nfp_", "nfc_", "nfo_"], Class::Alnum, (36, 40)),
    token("Supabase token", &["sbp_"], Class::Hex, (40, 40)),
    token("Supabase key", &["sb_secret_"], Class::Dashed, (30, 50)),
    token("Tailscale key", &["tskey-auth-", "tskey-api-", "tskey-client-"], Class::Dashed, (20, 80)),
    token("JFrog key", &["AKCp"], Class::Alnum, (69, 69)),
    token("SonarQube token", &["squ_", "sqp_", "sqa_"], Class::Hex, (40, 40)),
    token("CircleCI token", &["CCIPAT_"], Class::Dashed, (60, 70)),
    token("Buildkite token", &["bkua_"], Class::Hex, (40, 40)),
    token("Sourcegraph token", &["sgp_"], Class::Dashed, (40, 57)).demanding(Demand::Digit),
    token("Prefect key", &["pnu_"], Class::Alnum, (36, 36)),
    token("Resend key", &["re_"], Class::Dashed, (33, 33)).demanding(Demand::Digit),
    token("Typeform token", &["tfp_"], Class::Dotted, (40, 80)),
    token("ReadMe key", &["rdme_"], Class::Alnum, (70, 70)),
    token("OpenShift token", &["sha256~"], Class::Dashed, (43, 43)),
    token("PlanetScale secret", &["pscale_pw_", "pscale_tkn_", "pscale_oauth_"], Class::Dotted, (32, 64)),
    token("Databricks token", &["dapi"], Class::Hex, (32, 34)),
    token("Linear key", &["lin_api_"], Class::Alnum, (40, 40)),
    token("Notion token", &["ntn_", "secret_"], Class::Alnum, (43, 50)),
    token("Figma token", &["figd_"], Class::Dashed, (38, 44)),
    token("Airtable token", &["pat"], Class::Dotted, (79, 79)),
    token("Contentful token", &["CFPAT-"], Class::Dashed, (43, 43)),
    token("HubSpot token", &["pat-na1-", "pat-na2-", "pat-eu1-", "pat-ap1-"], Class::Uuid, (36, 36)),
    token("New Relic key", &["NRAK-", "NRJS-", "NRII-"], Class::Alnum, (19, 32)),
    token("Grafana token", &["glsa_", "glc_"], Class::Base64, (41, 400)),
    token("Sentry token", &["sntrys_", "sntryu_"], Class::Base64, (60, 300)),
    token("Dynatrace token", &["dt0c01.", "dt0s16."], Class::Dotted, (89, 89)),
    token("Postman key", &["PMAK-"], Class::Dashed, (59, 59)),
    token("Doppler token", &["dp.pt.", "dp.st.", "dp.ct."], Class::Dotted, (40, 60)),
    token("HashiCorp Vault token", &["hvs.", "hvb.", "hvr."], Class::Dashed, (24, 300)),
    token("Pulumi token", &["pul-"], Class::Hex, (40, 40)),
    token("1Password token", &["ops_eyJ"], Class::Base64, (200, 1200)),
    token("age secret key", &["AGE-SECRET-KEY-1"], Class::Capitals, (58, 58)),
    token("Facebook token", &["EAACEdEose0cBA", "EAAB", "EAAG"], Class::Alnum, (60, 260)),
    token("Facebook token", &["EAAM", "EAAJ"], Class::Alnum, (100, 300)),
    token("Twitter bearer token", &["AAAAAAAAAAAAAAAAAAAAA"], Class::Percent, (40, 120))
        .demanding(Demand::Padding),
    token("Azure shared access signature", &["sig="], Class::Percent, (43, 66)).demanding(Demand::Padding),
    token("Azure client secret", &["7Q~", "8Q~"], Class::Signed, (31, 34))
        .demanding(Demand::Behind(3, Class::Signed)),
    token("Azure DevOps token", &["AZDO"], Class::Alnum, (4, 4)).demanding(Demand::Behind(76, Class::Alnum)),
    token("Terraform Cloud token", &[".atlasv1."], Class::Dashed, (60, 70))
        .demanding(Demand::Behind(14, Class::Alnum)),
    token("Dropbox token", &["sl.", "sl.u."], Class::Dashed, (120, 2500)),
    token("Mapbox secret token", &["sk.eyJ"], Class::Dotted, (60, 120)),
    token("Telegram bot token", &[":AA"], Class::Dashed, (32, 34)).demanding(Demand::Number(8, 10)),
    token("JSON web token", &["eyJ"], Class::Dotted, (60, 4000)).demanding(Demand::ThreeParts),
];

/// A secret that can be told by what it is given to: `name = secret`.
pub(super) struct Assigned {
    pub provider: &'static str,
    pub names: &'static [&'static str],
    pub class: Class,
    pub length: (usize, usize),
    /// Bits per character, at least.
    pub entropy: f32,
}

const fn assigned(
    provider: &'static str,
    names: &'static [&'static str],
    class: Class,
    length: (usize, usize),
) -> Assigned {
    Assigned { provider, names, class, length, entropy: 2.8 }
}

pub(super) const ASSIGNED: &[Assigned] = &[
    assigned(
        "AWS secret key",
        &["aws_secret", "secret_access_key", "secretaccesskey"],
        Class::Base64,
        (40, 40),
    ),
    assigned("Heroku key", &["heroku"], Class::Uuid, (36, 40)),
    assigned("Datadog key", &["datadog", "dd_api_key", "dd_app_key"], Class::Hex, (32, 40)),
    assigned("Cloudflare token", &["cloudflare"], Class::Dashed, (37, 40)),
    assigned("Mailchimp key", &["mailchimp"], Class::Dashed, (36, 37)),
    assigned("Algolia key", &["algolia"], Class::Hex, (32, 32)),
    assigned("Okta token", &["okta"], Class::Dashed, (42, 42)),
    assigned("Linode token", &["linode"], Class::Hex, (64, 64)),
    assigned("Mistral or Cohere key", &["mistral", "cohere"], Class::Alnum, (32, 40)),
    assigned("Zendesk key", &["zendesk"], Class::Alnum, (40, 40)),
    assigned("Asana token", &["asana"], Class::Alnum, (32, 32)),
    assigned("Snyk token", &["snyk"], Class::Uuid, (36, 36)),
    assigned("Sonar token", &["sonar"], Class::Hex, (40, 40)),
    assigned("CircleCI token", &["circle_token", "circle_ci", "circleci"], Class::Hex, (40, 40)),
    Assigned {
        provider: "Secret",
        names: &[
            "api_key",
            "apikey",
            "api-key",
            "secret",
            "token",
            "auth_key",
            "access_key",
            "private_key",
            "privatekey",
            "presharedkey",
            "authorization",
        ],
        class: Class::Signed,
        length: (20, 1200),
        entropy: 3.7,
    },
    PASSWORD,
];

const PASSWORD: Assigned = Assigned {
    provider: "Password",
    names: &[
        "password",
        IDENTIFIED,
        "passwd",
        "passphrase",
        "passwort",
        "kennwort",
        "mot de passe",
        "mot_de_passe",
        "motdepasse",
        "contrasena",
        "contraseña",
        "contrasenya",
        "senha",
        "palavra-passe",
        "wachtwoord",
        "hasło",
        "haslo",
        "heslo",
        "lösenord",
        "losenord",
        "passord",
        "adgangskode",
        "salasana",
        "jelszó",
        "jelszo",
        "şifre",
        "sifre",
        "lozinka",
        "kata sandi",
        "mật khẩu",
        "mat khau",
        "пароль",
        "Пароль",
        "ПАРОЛЬ",
        "κωδικός πρόσβασης",
        "Κωδικός πρόσβασης",
        "كلمة المرور",
        "كلمة السر",
        "סיסמה",
        "पासवर्ड",
        "รหัสผ่าน",
        "密码",
        "密碼",
        "口令",
        "パスワード",
        "비밀번호",
    ],
    class: Class::Printable,
    length: (8, 100),
    entropy: 3.0,
};
/// One beside a user's name in an address: `scheme://user:secret@host` (RFC 3986, 3.2.1).
pub(super) const LOGIN: Assigned =
    Assigned { provider: "Password in an address", names: &["://"], ..PASSWORD };

/// Bits per character.
pub(super) fn entropy(text: &[u8]) -> f32 {
    let mut counts = [0_u32; 256];
    text.iter().for_each(|byte| counts[*byte as usize] += 1);
    let total = text.len() as f32;
    let share = |count: u32| count as f32 / total;
    counts.iter().filter(|count| **count > 0).map(|count| -share(*count) * share(*count).log2()).sum()
}

/// Whether it is written in the place of a secret: in examples and templates.
pub(super) fn is_placeholder(secret: &[u8]) -> bool {
    const WORDS: [&[u8]; 10] = [
        b"example",
        b"xxxx",
        b"****",
        b"your",
        b"placeholder",
        b"changeme",
        b"1234567890abcdef",
        b"redacted",
        // Of `Basic`: the login of RFC 7617, and `username:password`.
        b"qwxhzgrpbjpvcgvuihnlc2ftzq",
        b"dxnlcm5hbwu6cgfzc3dvcmq",
    ];
    let lower = secret.to_ascii_lowercase();
    let inside = |word: &&[u8]| lower.windows(word.len()).any(|window| window == *word);
    WORDS.iter().any(inside) || matches!(secret.first(), Some(b'$' | b'<' | b'{' | b'%'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn about_sixty_providers_are_known() {
        let names: BTreeSet<&str> =
            TOKENS.iter().map(|t| t.provider).chain(ASSIGNED.iter().map(|a| a.provider)).collect();
        assert!(names.len() >= 80, "{}", names.len());
    }

    #[test]
    fn entropy_is_counted_in_bits() {
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert_eq!(entropy(b"abcdabcd"), 2.0);
    }
}
