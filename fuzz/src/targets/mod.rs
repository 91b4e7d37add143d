//! What is fuzzed, by what it reads.

pub(crate) mod config;
pub(crate) mod cycle;
pub(crate) mod flags;
pub(crate) mod scrape;
pub(crate) mod values;
pub(crate) mod wire;

/// Words out of bytes: a NUL ends one.
fn words(data: &[u8]) -> impl Iterator<Item = String> + use<'_> {
    data.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned())
}
