//! The numbers by which server and client tell one another what happened. SDKs decide by them whether to come back.
//!
//! One table each, of all that the protocol knows, whether this server says it or not. What an application adds has
//! numbers from 400 on, or from 4000 for connections, and is not listed.

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident: $number:ty { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The number on the wire.
            pub const fn number(self) -> $number {
                match self { $(Self::$variant => $code,)* }
            }

            /// The same in words, short enough for a close frame.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

mod disconnect;
mod error;
mod unsubscribe;

pub use disconnect::DisconnectCode;
pub use error::ErrorCode;
pub use unsubscribe::UnsubscribeCode;

/// The bit of a subscribe request's `flag` by which a client asks for [`ErrorCode::UnrecoverablePosition`] instead of
/// a subscription that recovered nothing.
pub const REJECT_UNRECOVERED: i64 = 2;
