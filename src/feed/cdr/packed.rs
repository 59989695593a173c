//! A file of text, as it is or compressed by gzip, which is how logrotate leaves what it put aside.
//!
//! What was compressed cannot be read from its middle: it is unpacked from its beginning, a piece at a time. A file that
//! unpacks to very much more than it is was made to fill something, and is not read to its end. Knows nothing of rows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// How a file that gzip wrote begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Rows of calls are packed to a tenth. So many times its size a file may unpack to, and so many bytes more.
const MOST_TIMES: u64 = 200;
const AND_MORE: u64 = 64 << 20;

type Packed = BufReader<Bounded<MultiGzDecoder<BufReader<File>>>>;

/// The text of a file.
pub(super) enum Text {
    /// As it is.
    Plain(BufReader<File>),
    /// Compressed, and unpacked while it is read.
    Packed(Box<Packed>),
}

impl Text {
    /// Opens it, and says how many bytes the file has.
    pub fn open(path: &Path) -> io::Result<(Text, u64)> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((Text::of(file, length)?, length))
    }

    fn of(mut file: File, length: u64) -> io::Result<Text> {
        let mut begins = Vec::new();
        file.by_ref().take(GZIP.len() as u64).read_to_end(&mut begins)?;
        file.rewind()?;
        let plain = BufReader::new(file);
        if begins != GZIP {
            return Ok(Text::Plain(plain));
        }
        let most = length.saturating_mul(MOST_TIMES).saturating_add(AND_MORE);
        let bounded = Bounded { inner: MultiGzDecoder::new(plain), most, left: most };
        Ok(Text::Packed(Box::new(BufReader::new(bounded))))
    }

    /// Whether it is compressed.
    pub fn is_packed(&self) -> bool {
        matches!(self, Text::Packed(_))
    }

    /// Begins anew.
    pub fn rewind(&mut self) -> io::Result<()> {
        match self {
            Text::Plain(lines) => lines.rewind(),
            Text::Packed(lines) => {
                let mut file = lines.get_ref().inner.get_ref().get_ref().try_clone()?;
                let length = file.metadata()?.len();
                file.rewind()?;
                *self = Text::of(file, length)?;
                Ok(())
            }
        }
    }

    /// Goes to a byte of a file that is not compressed.
    pub fn seek(&mut self, place: u64) -> io::Result<()> {
        match self {
            Text::Plain(lines) => lines.seek(SeekFrom::Start(place)).map(drop),
            Text::Packed(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// How many bytes of a compressed file are unpacked; of another it is not known here.
    pub fn unpacked(&mut self) -> Option<u64> {
        match self {
            Text::Plain(_) => None,
            Text::Packed(lines) => lines.get_mut().inner.get_mut().stream_position().ok(),
        }
    }
}

impl Read for Text {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Text::Plain(lines) => lines.read(into),
            Text::Packed(lines) => lines.read(into),
        }
    }
}

impl BufRead for Text {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Text::Plain(lines) => lines.fill_buf(),
            Text::Packed(lines) => lines.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Text::Plain(lines) => lines.consume(amount),
            Text::Packed(lines) => lines.consume(amount),
        }
    }
}

/// Gives so much and no more.
pub(super) struct Bounded<R> {
    inner: R,
    most: u64,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!(
                "it holds more than {} bytes, too much for records of its size",
                self.most
            ))
        })?;
        Ok(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// What gzip makes of it.
    pub fn packed(text: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(text).unwrap();
        packed.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> (Vec<u8>, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let (mut text, mut all) = (Text::open(&path).unwrap().0, Vec::new());
        let mut first = [0; 4];
        let _ = text.read(&mut first);
        let ended = text.rewind().and_then(|()| io::copy(&mut text, &mut all));
        (all, ended.err().map(|error| error.to_string()))
    }

    #[test]
    fn a_file_reads_the_same_whether_it_is_compressed_or_not_and_in_how_many_pieces() {
        let text = "a,b,c\n".repeat(100_000).into_bytes();
        assert_eq!(read(&text), (text.clone(), None));
        assert_eq!(read(&packed(&text)), (text.clone(), None));
        let (one, other) = text.split_at(12_345);
        assert_eq!(read(&[packed(one), packed(other)].concat()), (text, None));
        assert_eq!(read(b""), (Vec::new(), None));
        assert_eq!(read(b"x"), (b"x".to_vec(), None));
    }

    #[test]
    fn what_is_cut_or_garbage_ends_with_an_error_and_what_came_before_is_there() {
        let text: Vec<u8> = (0..100_000).flat_map(|n: u32| format!("{n}\n").into_bytes()).collect();
        let whole = packed(&text);
        let (half, error) = read(&whole[..whole.len() / 2]);
        assert!(error.is_some() && text.starts_with(&half) && !half.is_empty());
        let mut broken = whole;
        let middle = broken.len() / 2;
        broken[middle..middle + 200].fill(0xff);
        assert!(read(&broken).1.is_some());
        assert!(read(&GZIP).1.is_some());
        assert!(read(&[&GZIP[..], &[0xff; 1000]].concat()).1.is_some());
    }

    #[test]
    fn a_file_that_was_made_to_fill_something_is_not_unpacked_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bomb.gz");
        std::fs::write(&path, packed(&vec![b'\n'; 150 << 20])).unwrap();
        let (mut text, length) = Text::open(&path).unwrap();
        let error = io::copy(&mut text, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("too much for records"), "{error}");
        assert!(length < 1 << 20);
    }
}
