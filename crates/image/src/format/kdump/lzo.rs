//! LZO1X, reading only: no crate both reads damaged data without a panic and has a free licence.
//!
//! The instructions: `Documentation/staging/lzo.rst` in Linux.

/// Fills all of `out` with what `input`, one whole stream, holds; none when it does not.
pub(super) fn decompress(input: &[u8], out: &mut [u8]) -> Option<()> {
    let mut input = Input(input);
    let mut out = Out { bytes: out, len: 0 };
    // How many literals the last instruction copied; 4 stands for that and more.
    let mut state = 0;
    if let Some(first @ 18..) = input.0.first().copied() {
        input.byte()?;
        let literals = usize::from(first) - 17;
        out.literals(&mut input, literals)?;
        state = literals.min(4);
    }
    loop {
        let instruction = input.byte()?;
        let (len, distance, literals) = match instruction {
            64.. => {
                let distance = (input.byte()? << 3) + ((instruction >> 2) & 7) + 1;
                ((instruction >> 5) + 1, distance, instruction & 3)
            }
            32.. => {
                let len = input.len(instruction & 31, 31)?.checked_add(2)?;
                let word = input.word()?;
                (len, (word >> 2) + 1, word & 3)
            }
            16.. => {
                let len = input.len(instruction & 7, 7)?.checked_add(2)?;
                let word = input.word()?;
                let distance = ((instruction & 8) << 11) + (word >> 2);
                if distance == 0 {
                    let is_whole = len == 3 && input.0.is_empty() && out.len == out.bytes.len();
                    return is_whole.then_some(());
                }
                (len, distance + 16384, word & 3)
            }
            _ if state == 0 => {
                let len = input.len(instruction, 15)?.checked_add(3)?;
                out.literals(&mut input, len)?;
                state = 4;
                continue;
            }
            _ => {
                let near = (instruction >> 2) + (input.byte()? << 2) + 1;
                match state {
                    4 => (3, near + 2048, instruction & 3),
                    _ => (2, near, instruction & 3),
                }
            }
        };
        out.repeat(distance, len)?;
        out.literals(&mut input, literals)?;
        state = literals;
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<usize> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte.into())
    }

    fn word(&mut self) -> Option<usize> {
        Some(self.byte()? | self.byte()? << 8)
    }

    /// A length: `short`, or where that is 0 `most`, 255 for each zero byte, and one more byte.
    fn len(&mut self, short: usize, most: usize) -> Option<usize> {
        if short != 0 {
            return Some(short);
        }
        let zeros = self.0.iter().take_while(|&&byte| byte == 0).count();
        self.0 = &self.0[zeros..];
        zeros.checked_mul(255)?.checked_add(most)?.checked_add(self.byte()?)
    }
}

struct Out<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Out<'_> {
    fn literals(&mut self, input: &mut Input<'_>, len: usize) -> Option<()> {
        let (literals, rest) = input.0.split_at_checked(len)?;
        self.bytes.get_mut(self.len..self.len.checked_add(len)?)?.copy_from_slice(literals);
        input.0 = rest;
        self.len += len;
        Some(())
    }

    /// Copies from `distance` bytes back; what is copied may run into itself.
    fn repeat(&mut self, distance: usize, len: usize) -> Option<()> {
        let from = self.len.checked_sub(distance)?;
        let end = self.len.checked_add(len).filter(|&end| end <= self.bytes.len())?;
        for to in self.len..end {
            self.bytes[to] = self.bytes[from + to - self.len];
        }
        self.len = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_another_program_compressed(
            words in prop::collection::vec("[a-z]{1,40}", 1..200),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 1..2000),
            noise in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let text: String = picks.iter().map(|pick| pick.get(&words).as_str()).collect();
            let plain = [text.as_bytes(), &noise, &[0; 9000], text.as_bytes()].concat();
            let packed = lzokay_native::compress(&plain).unwrap();
            let mut out = vec![1; plain.len()];
            prop_assert_eq!(decompress(&packed, &mut out), Some(()));
            prop_assert!(out == plain);
            prop_assert_eq!(decompress(&packed, &mut out[1..]), None);
            prop_assert_eq!(decompress(&packed[..packed.len() - 1], &mut out), None);
        }

        #[test]
        fn noise_is_survived(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decompress(&noise, &mut [0; 4096]);
        }
    }
}
