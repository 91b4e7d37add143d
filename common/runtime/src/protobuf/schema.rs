//! How the tables are written down.

/// A message: the fields of it that are read. All others are passed over by their length, `managedFields` first of all.
#[derive(Debug)]
pub(super) struct Message(pub(super) &'static [Field]);

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    /// Its number in `generated.proto`.
    pub(super) number: u64,
    /// Its name in JSON.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) shape: Shape,
}

/// What a field is, and so how it is written in JSON.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// `string`.
    Text,
    /// `int32`, `int64`.
    Int,
    /// `bool`.
    Bool,
    /// `metav1.Time`: whole seconds.
    Time,
    /// `metav1.MicroTime`.
    MicroTime,
    /// `resource.Quantity`, as the text that it is.
    Quantity,
    /// A message.
    Object(&'static Message),
    /// A message whose fields are in JSON those of its parent.
    Inline(&'static Message),
    /// `repeated string`.
    Texts,
    /// Repeated messages.
    Objects(&'static Message),
    /// `map<string, string>`.
    TextMap,
    /// `map<string, Quantity>`.
    QuantityMap,
}

impl Shape {
    /// What opens and closes it, when it is repeated.
    pub(super) const fn brackets(self) -> Option<(u8, u8)> {
        match self {
            Self::Texts | Self::Objects(_) => Some((b'[', b']')),
            Self::TextMap | Self::QuantityMap => Some((b'{', b'}')),
            _ => None,
        }
    }
}

/// A message of which only the presence matters.
pub(super) static PRESENT: Message = Message(&[]);

/// Writes a table down: `table!(NAME { 1 name: Text, 2 spec: Object(&SPEC) });`.
macro_rules! table {
    ($(#[$doc:meta])* $table:ident { $($number:literal $name:literal: $shape:expr),* $(,)? }) => {
        $(#[$doc])*
        pub(super) static $table: Message = {
            #[allow(unused_imports, reason = "not every table has every shape")]
            use Shape::*;
            Message(&[$(Field { number: $number, name: $name, shape: $shape }),*])
        };
    };
}
pub(super) use table;
