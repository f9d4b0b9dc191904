//! Passwords as `rclone.conf` has them: scrambled with a key that everybody
//! knows, so that nobody reads them over a shoulder. It protects nothing else.

use aes::Aes256;
use aes::cipher::{KeyIvInit, StreamCipher};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

type Scrambler = ctr::Ctr128BE<Aes256>;

/// The key of the file format.
const KEY: [u8; 32] = [
    0x9c, 0x93, 0x5b, 0x48, 0x73, 0x0a, 0x55, 0x4d, 0x6b, 0xfd, 0x7c, 0x63, 0xc8, 0x86, 0xa9, 0x2b,
    0xd3, 0x90, 0x19, 0x8e, 0xb8, 0x12, 0x8a, 0xfb, 0xf4, 0xde, 0x16, 0x2b, 0x8b, 0x95, 0xf6, 0x38,
];

/// Each text begins with what the scrambling started from.
const START_BYTES: usize = 16;

/// The password as it is typed; none if the text was never obscured.
pub(crate) fn reveal(obscured: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(obscured).ok()?;
    let (start, scrambled) = bytes.split_at_checked(START_BYTES)?;
    let mut password = scrambled.to_vec();
    Scrambler::new_from_slices(&KEY, start).ok()?.apply_keystream(&mut password);
    String::from_utf8(password).ok()
}

/// What `rclone` takes for the password.
pub(crate) fn obscure(password: &str) -> Option<String> {
    let mut bytes = vec![0; START_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    let mut scrambled = password.as_bytes().to_vec();
    Scrambler::new_from_slices(&KEY, &bytes).ok()?.apply_keystream(&mut scrambled);
    bytes.extend(scrambled);
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_obscured_can_be_revealed() {
        for password in ["", "pw", "a longer pässword with \"quotes\""] {
            assert_eq!(reveal(&obscure(password).unwrap()).as_deref(), Some(password));
        }
        assert_ne!(obscure("pw"), obscure("pw"));
    }

    #[test]
    fn what_was_never_obscured_is_none() {
        for text in ["", "hunter2", "not base64!", "AAAA"] {
            assert_eq!(reveal(text), None);
        }
    }
}
