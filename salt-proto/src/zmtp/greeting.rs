//! The 64 bytes that open a connection.

use super::CloseReason;

pub(super) const LEN: usize = 64;

/// What we send: version 3.1, mechanism NULL, not a security server.
pub(super) const OURS: [u8; LEN] = {
    let mut bytes = [0; LEN];
    bytes[0] = 0xff;
    // Bytes 1 to 8 were a length in ZMTP 1.0; libzmq sends 1 here and reads nothing.
    bytes[8] = 1;
    bytes[9] = 0x7f;
    bytes[10] = 3;
    bytes[11] = 1;
    bytes[12] = b'N';
    bytes[13] = b'U';
    bytes[14] = b'L';
    bytes[15] = b'L';
    bytes
};

/// Collects the peer's greeting and objects at the first byte that cannot be one.
#[derive(Debug)]
pub(super) struct Greeting {
    bytes: [u8; LEN],
    have: usize,
}

impl Greeting {
    pub(super) fn new() -> Self {
        Self {
            bytes: [0; LEN],
            have: 0,
        }
    }

    /// Takes what it needs from `input`; the minor version once all is there.
    pub(super) fn take(&mut self, input: &mut &[u8]) -> Result<Option<u8>, CloseReason> {
        while self.have < LEN {
            let Some((&byte, rest)) = input.split_first() else {
                return Ok(None);
            };
            check(self.have, byte)?;
            if let Some(slot) = self.bytes.get_mut(self.have) {
                *slot = byte;
            }
            self.have += 1;
            *input = rest;
        }
        let [.., minor] = self.bytes.first_chunk::<12>().copied().unwrap_or_default();
        Ok(Some(minor))
    }
}

fn check(at: usize, byte: u8) -> Result<(), CloseReason> {
    match at {
        0 if byte != 0xff => Err(CloseReason::NotZmtp),
        9 if byte != 0x7f => Err(CloseReason::NotZmtp),
        10 if byte < 3 => Err(CloseReason::OldVersion(byte)),
        12..=31 if OURS.get(at) != Some(&byte) => Err(CloseReason::Mechanism),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_greeting_is_accepted_whole() {
        let mut input = OURS.as_slice();

        assert_eq!(Greeting::new().take(&mut input), Ok(Some(1)));
        assert!(input.is_empty());
    }

    #[test]
    fn an_http_request_is_refused_at_its_first_byte() {
        let mut greeting = Greeting::new();

        assert_eq!(
            greeting.take(&mut b"GET / HTTP/1.1\r\n".as_slice()),
            Err(CloseReason::NotZmtp)
        );
    }

    #[test]
    fn another_mechanism_and_an_old_version_are_refused() {
        let mut curve = OURS;
        curve[12..17].copy_from_slice(b"CURVE");
        let mut old = OURS;
        old[10] = 2;

        assert_eq!(
            Greeting::new().take(&mut curve.as_slice()),
            Err(CloseReason::Mechanism)
        );
        assert_eq!(
            Greeting::new().take(&mut old.as_slice()),
            Err(CloseReason::OldVersion(2))
        );
    }
}
