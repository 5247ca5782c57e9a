//! What random text is made of: plain bytes rarely reach the interesting branches, so texts are put together from
//! pieces that parsers trip over.

use bolero::{TypeGenerator, ValueGenerator, produce};

/// How many inputs each target tries when nobody asks for more.
pub(crate) const TRIES: usize = 2_000;

/// One piece of a text.
#[derive(Debug, Clone, TypeGenerator)]
pub(crate) enum Piece {
    Letter(#[generator(b'a'..=b'e')] u8),
    Any(char),
    Repeated(char, #[generator(1..=80u8)] u8),
    Awkward(#[generator(0..AWKWARD.len())] usize),
}

/// Characters and fragments that mean something to a parser, to Unicode's rules or to a terminal.
const AWKWARD: [&str; 40] = [
    " ",
    "\t",
    "\n",
    "\r\n",
    "\0",
    "\u{1b}]52;c;x\u{7}",
    "\u{202e}",
    "\u{2066}",
    "\u{200f}",
    "\u{2028}",
    "\u{feff}",
    "\u{301}",
    "\u{308}",
    "e\u{301}",
    "é",
    "ß",
    "ẞ",
    "İ",
    "ı",
    "ﬁ",
    "Σ",
    "ς",
    "你",
    "好",
    "ก",
    "👩‍👩‍👧",
    "🏳️‍🌈",
    "@",
    "@a",
    "@ab",
    "_",
    "-",
    "\"",
    "'",
    "*",
    "\\",
    "AND",
    "NEAR(",
    "c++",
    "don't",
];

impl Piece {
    fn push_to(&self, text: &mut String) {
        match self {
            Self::Letter(letter) => text.push(char::from(*letter)),
            Self::Any(character) => text.push(*character),
            Self::Repeated(character, times) => text.extend(std::iter::repeat_n(*character, usize::from(*times))),
            Self::Awkward(index) => text.push_str(AWKWARD[*index]),
        }
    }
}

/// A text of at most a few hundred characters.
pub(crate) fn text() -> impl ValueGenerator<Output = String> {
    produce::<Vec<Piece>>().with().len(0..24usize).map_gen(|pieces: Vec<Piece>| {
        let mut text = String::new();
        for piece in &pieces {
            piece.push_to(&mut text);
        }
        text
    })
}
