//! An output with places: the file as it is, or *flattened* if the output goes forward only.
//!
//! Not about what they mean. The records of a flattened file are read in `flattened.rs`.

use std::io;

use super::flattened::{END, HEADER_LEN, SIGNATURE, TYPE, VERSION};
use crate::Output;

/// Bytes in one record at most, whatever is written at a time: readers keep a record in memory.
const RECORD_LEN: usize = 1 << 20;
/// Bytes of zeros in one record.
const ZEROS_LEN: u64 = 64 * 1024;

/// A file that is written from the front to the back, and in which some places are filled later.
pub(super) struct PlacedOutput<'a> {
    output: &'a mut dyn Output,
    is_flattened: bool,
    /// The offset of the next bytes in the file, as it is when put in order.
    at: u64,
}

impl<'a> PlacedOutput<'a> {
    /// Flattened where `output` cannot be written at a place.
    pub(super) fn new(output: &'a mut dyn Output) -> Self {
        let is_flattened = !output.is_positional();
        Self { output, is_flattened, at: 0 }
    }

    /// Writes what stands before everything else. Called once, first.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if !self.is_flattened {
            return Ok(());
        }
        let mut header = vec![0; HEADER_LEN as usize];
        header[..16].copy_from_slice(&SIGNATURE);
        header[16..24].copy_from_slice(&TYPE.to_be_bytes());
        header[24..32].copy_from_slice(&VERSION.to_be_bytes());
        self.output.write_all(&header)
    }

    pub(super) fn is_flattened(&self) -> bool {
        self.is_flattened
    }

    /// The offset of the next bytes.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Writes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.at;
        self.at += bytes.len() as u64;
        match self.is_flattened {
            true => self.record(at, bytes),
            false => self.output.write_all(bytes),
        }
    }

    /// Writes `len` zeros at the end.
    pub(super) fn zeros(&mut self, len: u64) -> io::Result<()> {
        let at = self.at;
        self.at += len;
        match self.is_flattened {
            true => self.zero_records(at, len),
            false => self.output.zeros(len),
        }
    }

    /// Leaves room for what [`fill`](Self::fill) will bring.
    pub(super) fn leave(&mut self, len: u64) -> io::Result<()> {
        self.at += len;
        if self.is_flattened { Ok(()) } else { self.output.zeros(len) }
    }

    /// Writes into room that was left.
    pub(super) fn fill(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.is_flattened {
            true => self.record(offset, bytes),
            false => self.output.write_at(offset, bytes),
        }
    }

    /// Makes room that was left zeros. A plain file has them there already; in a flattened one no
    /// reader may have to guess what stands where no record is.
    pub(super) fn fill_with_zeros(&mut self, offset: u64, len: u64) -> io::Result<()> {
        if self.is_flattened { self.zero_records(offset, len) } else { Ok(()) }
    }

    /// Writes what stands after everything else. Called once, last.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if !self.is_flattened {
            return Ok(());
        }
        self.output.write_all(&[END.to_be_bytes(), END.to_be_bytes()].concat())
    }

    fn record(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        for (piece, offset) in bytes.chunks(RECORD_LEN).zip((offset..).step_by(RECORD_LEN)) {
            self.output.write_all(&offset.to_be_bytes())?;
            self.output.write_all(&(piece.len() as u64).to_be_bytes())?;
            self.output.write_all(piece)?;
        }
        Ok(())
    }

    fn zero_records(&mut self, mut offset: u64, mut len: u64) -> io::Result<()> {
        while len > 0 {
            let now = len.min(ZEROS_LEN);
            self.record(offset, &[0; ZEROS_LEN as usize][..now as usize])?;
            (offset, len) = (offset + now, len - now);
        }
        Ok(())
    }
}
