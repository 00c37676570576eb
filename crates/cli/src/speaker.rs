//! Who says what is scanned.

use torchless::Role;

/// A role that was named, which is then that of everything; or none, which leaves it to the lines of conversations.
#[derive(Clone, Copy, Default)]
pub struct Speaker(Option<Role>);

impl Speaker {
    pub fn named(role: impl Into<Option<Role>>) -> Self {
        Self(role.into())
    }

    /// Whose line it is that says so itself or not.
    pub fn of(self, line: Option<Role>) -> Role {
        self.0.or(line).unwrap_or(Role::User)
    }

    /// Whose text it is that does not say.
    pub fn role(self) -> Role {
        self.of(None)
    }
}
