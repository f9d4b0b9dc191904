//! Packed files: told by their first bytes, and read unpacked.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use zstd::stream::read::Decoder as ZstdReader;

const BUFFER: usize = 1 << 20;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// The content of a file, unpacked as its first bytes ask for. Several packed
/// streams behind each other are one.
pub(super) fn open_unpacked(path: &Path) -> io::Result<(Packing, Box<dyn Read>)> {
    let mut file = File::open(path)?;
    let mut front = [0; 6];
    let length = read_front(&mut file, &mut front)?;
    file.seek(SeekFrom::Start(0))?;
    let packing = packing_of(front.get(..length).unwrap_or_default());
    let reader = BufReader::with_capacity(BUFFER, file);
    let unpacked: Box<dyn Read> = match packing {
        Packing::None => Box::new(reader),
        Packing::Gzip => Box::new(MultiGzDecoder::new(reader)),
        Packing::Bzip2 => Box::new(MultiBzDecoder::new(reader)),
        Packing::Xz => Box::new(XzReader::new(reader, true)),
        Packing::Zstd => Box::new(ZstdReader::with_buffer(reader)?),
    };
    Ok((packing, unpacked))
}

fn packing_of(front: &[u8]) -> Packing {
    match front {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Packing::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Packing::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        _ => Packing::None,
    }
}

fn read_front(file: &mut File, front: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = front.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packings_are_told_by_content() {
        assert_eq!(packing_of(b"\x1f\x8b\x08"), Packing::Gzip);
        assert_eq!(packing_of(b"BZh9"), Packing::Bzip2);
        assert_eq!(packing_of(b"\xfd7zXZ\0"), Packing::Xz);
        assert_eq!(packing_of(b"\x28\xb5\x2f\xfd"), Packing::Zstd);
        assert_eq!(packing_of(b"BZhx"), Packing::None);
        assert_eq!(packing_of(b""), Packing::None);
    }
}
