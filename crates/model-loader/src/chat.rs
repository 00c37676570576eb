//! Chat templates as the library applies them: a list of known forms, not Jinja.

use std::ffi::{CStr, CString, c_char};

use crate::functions::RawMessage;
use crate::{Error, Model};

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user`, `assistant`.
    pub role: String,
    /// What.
    pub content: String,
}

impl ChatMessage {
    /// A message of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// How a rendered conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// After the last message.
    Closed,
    /// Where the assistant's reply begins.
    Reply,
}

impl Model {
    /// The model's own chat template, or the one of that name.
    pub fn chat_template(&self, name: Option<&str>) -> Option<String> {
        let template = self.library().functions().chat_template?;
        let name = name.map(CString::new).transpose().ok()?;
        let name = name.as_ref().map_or(std::ptr::null(), |name| name.as_ptr());
        // SAFETY: a live model, and null or a C string.
        let text = unsafe { template(self.raw(), name) };
        // SAFETY: it is not null, and a C string that lives as long as the model.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }

    /// A conversation as text in the model's form, for [`Model::tokenize_with_control`].
    ///
    /// The library puts messages between control tokens as they are: a message that spells one out becomes one. Text from strangers
    /// belongs into `torchless` with its own templates, which keep text apart from control tokens.
    ///
    /// # Errors
    /// The model has no template, the library does not know its form, or a message has a zero byte.
    pub fn apply_chat_template(&self, messages: &[ChatMessage], ending: Ending) -> Result<String, Error> {
        let unknown = |why: &str| Error::Text { what: "the chat template", why: why.to_owned() };
        let f = self.library().functions();
        let what = "apply chat templates";
        let missing = Error::Unsupported { what, symbol: "llama_model_chat_template" };
        let (Some(apply), true) = (f.chat_apply, f.chat_template.is_some()) else { return Err(missing) };
        let template = self.chat_template(None).ok_or_else(|| unknown("is missing in this model"))?;
        let c_string =
            |text: &str| CString::new(text).map_err(|_| unknown("cannot take a message with a zero byte"));
        let template = c_string(&template)?;
        let texts: Vec<(CString, CString)> = messages
            .iter()
            .map(|message| Ok((c_string(&message.role)?, c_string(&message.content)?)))
            .collect::<Result<_, Error>>()?;
        let raw: Vec<RawMessage> = texts
            .iter()
            .map(|(role, content)| RawMessage { role: role.as_ptr(), content: content.as_ptr() })
            .collect();
        let mut room: Vec<u8> = vec![0; 1024];
        for _ in 0..2 {
            let len = i32::try_from(room.len()).map_err(|_| unknown("gives more than 2 GiB"))?;
            let reply = ending == Ending::Reply;
            // SAFETY: C strings and messages that live during the call, room and its length.
            let found = unsafe {
                let room = room.as_mut_ptr().cast::<c_char>();
                apply(template.as_ptr(), raw.as_ptr(), raw.len(), reply, room, len)
            };
            let found =
                usize::try_from(found).map_err(|_| unknown("has a form that llama.cpp does not know"))?;
            if found <= room.len() {
                room.truncate(found);
                return Ok(String::from_utf8_lossy(&room).into_owned());
            }
            room.resize(found, 0);
        }
        Err(unknown("changed its mind about its length"))
    }
}
