//! Text that went into a database over a connection which called itself something else than UTF-8. Pure.
//!
//! Asterisk's text is UTF-8. `cdr_pgsql` says LATIN9 of it unless it is told otherwise, and many an ODBC connection says
//! latin1: the database then keeps each byte as a letter of its own, and Иван is told as Ð˜Ð²Ð°Ð½.

/// The letters of ISO 8859-15 (PostgreSQL's LATIN9) that ISO 8859-1 does not have, and their bytes.
const LATIN9: [(char, u8); 8] =
    [('€', 0xa4), ('Š', 0xa6), ('š', 0xa8), ('Ž', 0xb4), ('ž', 0xb8), ('Œ', 0xbc), ('œ', 0xbd), ('Ÿ', 0xbe)];

/// Those of Windows-1252, which MariaDB calls latin1.
const LATIN1: [(char, u8); 27] = [
    ('€', 0x80),
    ('‚', 0x82),
    ('ƒ', 0x83),
    ('„', 0x84),
    ('…', 0x85),
    ('†', 0x86),
    ('‡', 0x87),
    ('ˆ', 0x88),
    ('‰', 0x89),
    ('Š', 0x8a),
    ('‹', 0x8b),
    ('Œ', 0x8c),
    ('Ž', 0x8e),
    ('‘', 0x91),
    ('’', 0x92),
    ('“', 0x93),
    ('”', 0x94),
    ('•', 0x95),
    ('–', 0x96),
    ('—', 0x97),
    ('˜', 0x98),
    ('™', 0x99),
    ('š', 0x9a),
    ('›', 0x9b),
    ('œ', 0x9c),
    ('ž', 0x9e),
    ('Ÿ', 0x9f),
];

/// What was meant, where all letters of `cell` are bytes of UTF-8; that does not happen to words of any language.
pub(super) fn mended(cell: Vec<u8>) -> Vec<u8> {
    let meant = match std::str::from_utf8(&cell) {
        Ok(text) if !text.is_ascii() => meant(text, &LATIN9).or_else(|| meant(text, &LATIN1)),
        _ => None,
    };
    meant.unwrap_or(cell)
}

fn meant(text: &str, letters: &[(char, u8)]) -> Option<Vec<u8>> {
    let byte = |c: char| match letters.iter().find(|(letter, _)| *letter == c) {
        Some((_, byte)) => Some(*byte),
        None => u8::try_from(c).ok(),
    };
    let mut bytes: Vec<u8> = text.chars().map(byte).collect::<Option<_>>()?;
    match std::str::from_utf8(&bytes) {
        Ok(_) => Some(bytes),
        // The column was too short for all of it, and its last letter is cut.
        Err(e)
            if e.error_len().is_none()
                && bytes.len() > e.valid_up_to()
                && !bytes[..e.valid_up_to()].is_ascii() =>
        {
            bytes.truncate(e.valid_up_to());
            Some(bytes)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        String::from_utf8(mended(text.as_bytes().to_vec())).unwrap()
    }

    /// What a database makes of `text` when it takes each byte for a letter.
    fn garbled(text: &str, letters: &[(char, u8)]) -> String {
        let letter = |byte: u8| {
            letters.iter().find(|(_, own)| *own == byte).map_or(char::from(byte), |(letter, _)| *letter)
        };
        text.bytes().map(letter).collect()
    }

    #[test]
    fn words_of_any_script_are_read_as_they_were_meant() {
        assert_eq!(read("\"Ð˜Ð²Ð°Ð½\" <101>"), "\"Иван\" <101>");
        for text in
            ["\"О'Нил Жан\" <79190000000>", "Łódź", "Žižek € 5", "Ωμέγα", "山田太郎", "Müller", "☎ 101"]
        {
            for letters in [&LATIN9[..], &LATIN1[..]] {
                assert_eq!(read(&garbled(text, letters)), text);
            }
            assert_eq!(read(text), text, "what is right stays");
        }
    }

    #[test]
    fn a_last_letter_that_the_column_cut_is_left_out() {
        let whole = garbled("Жанна", &LATIN9);
        let cut: String = whole.chars().take(whole.chars().count() - 1).collect();
        assert_eq!(read(&cut), "Жанн");
    }

    #[test]
    fn words_of_the_west_and_noise_stay_as_they_are() {
        for text in ["", "Ivan", "Müller", "Señor Núñez", "Ångström", "café", "«Ó»", "naïve Ã", "\u{80}"]
        {
            assert_eq!(read(text), text);
        }
        assert_eq!(mended(b"\xff\xfe".to_vec()), b"\xff\xfe");
    }
}
