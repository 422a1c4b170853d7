//! Zip archives without a program: as `archive.zip` writes and `archive.unzip` reads them.
//!
//! The format is that of PKWARE's APPNOTE 6.3: stored and deflated members, and the
//! "traditional" encryption, which is all that Salt's own can take out.

use std::io::{self, Read, Write};

use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use super::number;

/// One member as the table at the end describes it.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    /// Its path; a directory's ends in a slash.
    pub(super) name: String,
    /// Kind and permissions as `stat` has them; 0 where the archive has none.
    pub(super) mode: u32,
    method: usize,
    flags: usize,
    time: usize,
    attributes: usize,
    crc: u32,
    size: usize,
    packed: &'a [u8],
}

/// Why a member cannot be read, in the words of Python's `zipfile`.
pub(super) type Trouble = String;

/// One line of the table at the end.
pub(super) struct Record<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) name: String,
}

impl Record<'_> {
    fn field(&self, offset: usize, length: usize) -> Option<usize> {
        number(self.bytes, self.at.checked_add(offset)?, length)
    }

    /// Whether it stands for a link, which only archives made on Unix can tell.
    pub(super) fn is_link(&self) -> bool {
        let mode = self.field(40, 2).unwrap_or_default();
        self.field(5, 1) == Some(3) && mode & 0o170_000 == 0o120_000
    }
}

/// The table at the end; `None` when it is no zip archive.
pub(super) fn table(bytes: &[u8]) -> Option<Vec<Record<'_>>> {
    // The end record is 22 bytes and a comment of at most 65535.
    let tail = bytes.len().saturating_sub(22 + 65_535);
    let end = bytes
        .get(tail..)?
        .windows(4)
        .rposition(|four| four == b"PK\x05\x06")?
        .checked_add(tail)?;
    let count = number(bytes, end + 10, 2)?;
    let mut at = number(bytes, end + 16, 4)?;
    let mut all = Vec::new();
    for _ in 0..count {
        if bytes.get(at..at.checked_add(4)?)? != b"PK\x01\x02" {
            return None;
        }
        let name_length = number(bytes, at + 28, 2)?;
        let more = number(bytes, at + 30, 2)? + number(bytes, at + 32, 2)?;
        let start = at + 46;
        let name = bytes.get(start..start + name_length)?;
        all.push(Record {
            bytes,
            at,
            name: String::from_utf8_lossy(name).into_owned(),
        });
        at = start + name_length + more;
    }
    Some(all)
}

/// The members in their order; `None` when it is no zip archive.
pub(super) fn members(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
    table(bytes)?
        .into_iter()
        .map(|record| {
            let field = |offset, length| record.field(offset, length);
            let attributes = field(38, 4)?;
            let local = field(42, 4)?;
            let data = local + 30 + number(bytes, local + 26, 2)? + number(bytes, local + 28, 2)?;
            let packed = field(20, 4)?;
            Some(Member {
                mode: u32::try_from(attributes >> 16).unwrap_or_default(),
                method: field(10, 2)?,
                flags: field(8, 2)?,
                time: field(12, 2)?,
                attributes: attributes & 0xffff,
                crc: u32::try_from(field(16, 4)?).ok()?,
                size: field(24, 4)?,
                packed: bytes.get(data..data.checked_add(packed)?)?,
                name: record.name,
            })
        })
        .collect()
}

impl Member<'_> {
    pub(super) fn is_directory(&self) -> bool {
        self.name.ends_with('/')
    }

    pub(super) fn is_link(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & 1 == 1
    }

    /// How Python shows it.
    fn shown(&self) -> String {
        let mut text = format!("<ZipInfo filename={}", crate::python::repr_str(&self.name));
        match self.method {
            0 => {}
            8 => text.push_str(" compress_type=deflate"),
            other => text.push_str(&format!(" compress_type={other}")),
        }
        if self.mode != 0 {
            text.push_str(&format!(" filemode='{}'", letters(self.mode)));
        }
        if self.attributes != 0 {
            text.push_str(&format!(" external_attr={:#x}", self.attributes));
        }
        if !self.is_directory() || self.size != 0 {
            text.push_str(&format!(" file_size={}", self.size));
        }
        let packed = self.packed.len();
        if (!self.is_directory() || packed != 0) && (self.method != 0 || self.size != packed) {
            text.push_str(&format!(" compress_size={packed}"));
        }
        text + ">"
    }

    /// Its content, which fails at the end if it is not what was put in.
    pub(super) fn content(&self, password: Option<&[u8]>) -> Result<Box<dyn Read + '_>, Trouble> {
        let name = crate::python::repr_str(&self.name);
        let plain: Box<dyn Read + '_> = match password {
            _ if !self.is_encrypted() => Box::new(self.packed),
            None => {
                return Err(format!(
                    "File {} is encrypted, password required for extraction",
                    self.shown()
                ));
            }
            Some(password) => {
                let mut keys = Keys::new(password);
                let (head, body) = self.packed.split_at_checked(12).ok_or("Truncated file")?;
                let check = head.iter().fold(0, |_, byte| keys.open(*byte));
                let wanted = match self.flags & 8 {
                    0 => self.crc >> 24,
                    _ => u32::try_from(self.time >> 8).unwrap_or_default(),
                };
                if u32::from(check) != wanted {
                    return Err(format!("Bad password for file {name}"));
                }
                Box::new(Opened { keys, body })
            }
        };
        let inner: Box<dyn Read + '_> = match self.method {
            0 => plain,
            8 => Box::new(DeflateDecoder::new(plain)),
            _ => return Err("That compression method is not supported".to_owned()),
        };
        Ok(Box::new(Checked {
            inner,
            left: self.size,
            crc: Crc::new(),
            wanted: self.crc,
            name,
        }))
    }
}

/// Kind and permissions as `ls` shows them.
fn letters(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o100_000 => '-',
        _ => '?',
    };
    let mut text = String::from(kind);
    for shift in [6, 3, 0] {
        for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
            let is_set = mode >> shift & bit != 0;
            text.push(if is_set { letter } else { '-' });
        }
    }
    text
}

/// The state of the traditional encryption.
struct Keys(u32, u32, u32);

fn crc_step(crc: u32, byte: u8) -> u32 {
    let mut value = (crc ^ u32::from(byte)) & 0xff;
    for _ in 0..8 {
        value = if value & 1 == 1 {
            0xedb8_8320 ^ (value >> 1)
        } else {
            value >> 1
        };
    }
    value ^ (crc >> 8)
}

impl Keys {
    fn new(password: &[u8]) -> Self {
        let mut keys = Self(0x1234_5678, 0x2345_6789, 0x3456_7890);
        for byte in password {
            keys.update(*byte);
        }
        keys
    }

    fn update(&mut self, byte: u8) {
        self.0 = crc_step(self.0, byte);
        self.1 = self.1.wrapping_add(self.0 & 0xff);
        self.1 = self.1.wrapping_mul(134_775_813).wrapping_add(1);
        let [.., top] = self.1.to_le_bytes();
        self.2 = crc_step(self.2, top);
    }

    fn open(&mut self, byte: u8) -> u8 {
        let word = self.2 | 2;
        let [_, key, ..] = word.wrapping_mul(word ^ 1).to_le_bytes();
        let plain = byte ^ key;
        self.update(plain);
        plain
    }
}

/// What was encrypted, as it was before.
struct Opened<'a> {
    keys: Keys,
    body: &'a [u8],
}

impl Read for Opened<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(into)?;
        for byte in into.iter_mut().take(count) {
            *byte = self.keys.open(*byte);
        }
        Ok(count)
    }
}

/// Never more than the table says, and an error at the end if the sum is another.
struct Checked<'a> {
    inner: Box<dyn Read + 'a>,
    left: usize,
    crc: Crc,
    wanted: u32,
    name: String,
}

impl Read for Checked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = into.len().min(self.left);
        let count = match into.get_mut(..room) {
            Some(into) if room > 0 => self.inner.read(into)?,
            _ => 0,
        };
        self.left -= count;
        self.crc.update(into.get(..count).unwrap_or_default());
        if count == 0 && !into.is_empty() && self.crc.sum() != self.wanted {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("Bad CRC-32 for file {}", self.name),
            ));
        }
        Ok(count)
    }
}

/// Puts an archive together in memory.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    table: Vec<u8>,
    count: u16,
}

/// The archive would be larger than the format without extensions allows.
#[derive(Debug)]
pub(super) struct TooLarge;

impl Writer {
    /// Adds a member; `time` is in seconds since 1970, in UTC.
    pub(super) fn add(
        &mut self,
        name: &str,
        mode: u32,
        time: i64,
        content: &[u8],
    ) -> Result<(), TooLarge> {
        let is_directory = name.ends_with('/');
        let mut crc = Crc::new();
        crc.update(content);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        let written = encoder.write_all(content).and_then(|()| encoder.finish());
        let deflated = written.map_err(|_| TooLarge)?;
        let (method, packed): (u16, &[u8]) = match is_directory {
            true => (0, &[]),
            false => (8, &deflated),
        };
        let long = |length: usize| u32::try_from(length).map_err(|_| TooLarge);
        let at = long(self.bytes.len())?;
        let flags: u16 = if name.is_ascii() { 0 } else { 0x800 };
        let mut common = Vec::new();
        common.extend([20, 0]);
        common.extend(flags.to_le_bytes());
        common.extend(method.to_le_bytes());
        common.extend(dos_time(time));
        common.extend(crc.sum().to_le_bytes());
        common.extend(long(packed.len())?.to_le_bytes());
        common.extend(long(content.len())?.to_le_bytes());
        let length = u16::try_from(name.len()).map_err(|_| TooLarge)?;
        common.extend(length.to_le_bytes());
        common.extend([0, 0]);
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&common);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(packed);
        self.table.extend(b"PK\x01\x02");
        self.table.extend([20, 3]);
        self.table.extend(&common);
        self.table.extend([0; 6]);
        let attributes = mode << 16 | if is_directory { 0x10 } else { 0 };
        self.table.extend(attributes.to_le_bytes());
        self.table.extend(at.to_le_bytes());
        self.table.extend(name.as_bytes());
        self.count = self.count.checked_add(1).ok_or(TooLarge)?;
        Ok(())
    }

    /// The archive.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, TooLarge> {
        let at = u32::try_from(self.bytes.len()).map_err(|_| TooLarge)?;
        let length = u32::try_from(self.table.len()).map_err(|_| TooLarge)?;
        self.bytes.extend(&self.table);
        self.bytes.extend(b"PK\x05\x06");
        self.bytes.extend([0; 4]);
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(at.to_le_bytes());
        self.bytes.extend([0; 2]);
        Ok(self.bytes)
    }
}

/// Time and date as MS-DOS has them: from 1980 to 2107, in steps of two seconds.
fn dos_time(time: i64) -> [u8; 4] {
    let time = time.clamp(315_532_800, 4_354_819_198);
    let (days, seconds) = (time.div_euclid(86_400), time.rem_euclid(86_400));
    // Days to a date of the Gregorian calendar, years beginning in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let date = (year - 1980) << 9 | month << 5 | day;
    let half_seconds = (seconds % 60) / 2;
    let clock = (seconds / 3600) << 11 | (seconds / 60 % 60) << 5 | half_seconds;
    let half = |value: i64| u16::try_from(value).unwrap_or_default().to_le_bytes();
    let ([a, b], [c, d]) = (half(clock), half(date));
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::default();
        writer.add("d/", 0o040_755, 0, b"").unwrap();
        let text = "hello ".repeat(1000);
        writer
            .add("d/ä", 0o100_640, 1_577_836_800, text.as_bytes())
            .unwrap();
        let bytes = writer.finish().unwrap();

        let all = members(&bytes).unwrap();

        assert_eq!(all.len(), 2);
        assert!(all[0].is_directory() && !all[1].is_directory());
        assert_eq!((all[1].name.as_str(), all[1].mode), ("d/ä", 0o100_640));
        let mut read = String::new();
        all[1]
            .content(None)
            .unwrap()
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, text);
    }

    #[test]
    fn damage_is_noticed_and_never_panics() {
        let mut writer = Writer::default();
        writer.add("k", 0o100_644, 0, &[7; 400]).unwrap();
        let bytes = writer.finish().unwrap();
        let mut noticed = 0;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            let Some(all) = members(&damaged) else {
                noticed += 1;
                continue;
            };
            for member in all {
                let mut read = Vec::new();
                let content = member
                    .content(None)
                    .map(|mut content| content.read_to_end(&mut read));
                noticed += usize::from(!matches!(content, Ok(Ok(_))));
            }
        }
        assert!(noticed > 20, "{noticed}");
        assert!(members(&bytes[..bytes.len() - 1]).is_none() || bytes.len() > 22);
    }

    #[test]
    fn times_are_those_of_ms_dos() {
        assert_eq!(dos_time(0), [0, 0, 0x21, 0]);
        // 2020-02-29 12:34:56
        let [a, b, c, d] = dos_time(1_582_979_696);
        assert_eq!(u16::from_le_bytes([a, b]), 12 << 11 | 34 << 5 | 28);
        assert_eq!(u16::from_le_bytes([c, d]), 40 << 9 | 2 << 5 | 29);
    }
}
