//! Stores standard input in a file, compressed, and prints its checksum: `store NAME < FILE`.

use std::error::Error;
use std::{env, io};

use memdump_image::codec::Codec;
use memdump_sink::{Destination, OpenOptions, Sink, layer};

fn main() -> Result<(), Box<dyn Error>> {
    let name = env::args_os().nth(1).ok_or("usage: store NAME < FILE")?;
    let zstd = Codec::by_name("zstd").ok_or("zstd is not built in")?;
    let destination = Destination::parse(&name)?;

    // From the file outwards: what is hashed is what is in the file, after it was compressed.
    let file = destination.open(&OpenOptions::new())?;
    let hashed = layer::Hash::new(file)?;
    let mut sink = Box::new(layer::Compress::new(Box::new(hashed), zstd));
    // An early return drops the sink. The file then keeps its partial name.
    let read = io::copy(&mut io::stdin().lock(), &mut *sink)?;
    let receipt = sink.commit()?;

    let sha256 = receipt.sent.and_then(|sent| sent.sha256).unwrap_or_default();
    eprintln!("{read} bytes in {destination}, compressed to {}", receipt.size);
    eprintln!("{sha256}  {destination}");
    Ok(())
}
