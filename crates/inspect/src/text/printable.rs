//! The characters of UTF-8 that can be printed.

/// Returns true if a character of UTF-8 can be part of a string: it is not a control character other than the tab, not
/// one that only changes how others are shown (which could make a terminal lie), and not reserved.
pub fn is_printable_char(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    let is_reserved = u32::from(c) & 0xfffe == 0xfffe || matches!(c, '\u{fdd0}'..='\u{fdef}');
    c == '\t' || !(c.is_control() || hidden || is_reserved)
}
