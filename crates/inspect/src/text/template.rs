//! Templates: the common form of strings that differ in numbers only.

use wide::i8x16;

/// Of a letter: what it may be part of.
const DIGIT: u8 = 1;
const HEX: u8 = 2;
const WORD: u8 = 4;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX,
            b'g'..=b'z' | b'G'..=b'Z' | b'_' | 0x80.. => WORD,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// Appends `text` to `out` with its numbers replaced by `#`: a word of nothing but hexadecimal digits, one of
/// them a decimal one, with `0x` before it or not; in other words each run of decimal digits.
///
/// So `user17: 0x7ffe12 c0ffee42` becomes `user#: # #`, and a UUID `#-#-#-#-#`.
pub fn template(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(digit) = find_digit(&text[at..]) {
        let digit = at + digit;
        let before = text[at..digit].iter().rposition(|&byte| class(byte) == 0);
        let start = before.map_or(at, |before| at + before + 1);
        let mut seen = text[start..digit].iter().fold(0, |seen, &byte| seen | class(byte));
        let mut end = digit;
        while let Some(&byte) = text.get(end)
            && class(byte) != 0
        {
            seen |= class(byte);
            end += 1;
        }
        out.extend_from_slice(&text[at..start]);
        let word = &text[start..end];
        if seen & WORD == 0 || is_prefixed_hex(word) {
            out.push(b'#');
        } else {
            let mut in_number = false;
            for &byte in word {
                match class(byte) {
                    DIGIT if in_number => {}
                    DIGIT => out.push(b'#'),
                    _ => out.push(byte),
                }
                in_number = class(byte) == DIGIT;
            }
        }
        at = end;
    }
    out.extend_from_slice(&text[at..]);
}

/// The index of the first decimal digit. Most texts have none, and are their own templates.
pub(crate) fn find_digit(text: &[u8]) -> Option<usize> {
    let (blocks, rest) = text.as_chunks::<16>();
    for (block, at) in blocks.iter().zip((0..).step_by(16)) {
        let bytes: i8x16 = bytemuck::cast(*block);
        let digits = bytes.simd_gt(i8x16::splat(0x2f)) & i8x16::splat(0x3a).simd_gt(bytes);
        let mask = digits.to_bitmask();
        if mask != 0 {
            return Some(at + mask.trailing_zeros() as usize);
        }
    }
    rest.iter().position(u8::is_ascii_digit).map(|at| 16 * blocks.len() + at)
}

fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

fn is_prefixed_hex(word: &[u8]) -> bool {
    let digits = word.strip_prefix(b"0x").or_else(|| word.strip_prefix(b"0X"));
    digits.is_some_and(|digits| {
        !digits.is_empty() && digits.iter().all(|&byte| class(byte) & (DIGIT | HEX) != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn numbers_are_replaced_and_words_stay() {
        for (text, expected) in [
            ("", ""),
            ("plain words", "plain words"),
            ("user17: 0x7ffe12 c0ffee42", "user#: # #"),
            ("550e8400-e29b-41d4-a716-446655440000", "#-#-#-#-#"),
            ("deadbeef facade", "deadbeef facade"),
            ("utf8 x86_64 v1.2.3", "utf# x#_# v#.#.#"),
            ("10.0.0.1:8080", "#.#.#.#:#"),
            ("0x", "#x"),
            ("0xg1", "#xg#"),
            ("page 12", "page #"),
            ("Zoë9", "Zoë#"),
            (
                "a long text of words, then 17 and x2y and 0XAB",
                "a long text of words, then # and x#y and #",
            ),
            ("0123456789abcdef0123456789abcdefg", "#abcdef#abcdefg"),
        ] {
            let mut out = Vec::new();
            template(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
    }
}
