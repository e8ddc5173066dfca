//! Values that must not be printed.

use std::fmt;

use serde::{Serialize, Serializer};

/// What a redacted value prints as.
const MASK: &str = "(redacted)";

/// A value that `Debug`, `Display` and `Serialize` never show.
///
/// Credentials, the content of a `Secret`, an answer that may quote one: whatever
/// may hold a secret sits in this type, and whoever needs the value says
/// [`expose`](Self::expose), which is easy to find in a review.
///
/// ```
/// use gitops_core::Redacted;
///
/// let token = Redacted::new(String::from("hunter2"));
/// assert_eq!(format!("{token} {token:?}"), "(redacted) (redacted)");
/// assert_eq!(token.expose(), "hunter2");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Hides `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Don't let it get into an error, a log or an event.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself, by value.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> Serialize for Redacted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}
