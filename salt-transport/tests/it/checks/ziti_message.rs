//! What must hold for any bytes a router can send; shared with the fuzz target.

use bytes::BytesMut;
use salt_transport::ziti::message::{Message, MessageLimits};

pub(crate) fn ziti_message(data: &[u8]) {
    for limits in [MessageLimits::STRANGER, MessageLimits::KNOWN] {
        let whole = read(data, data.len().max(1), limits);
        let piecemeal = read(data, 7, limits);
        assert_eq!(whole, piecemeal, "it does not matter how the bytes come");
    }
}

/// What the bytes say when they come in pieces of this size.
fn read(data: &[u8], piece: usize, limits: MessageLimits) -> (Vec<Message>, bool) {
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for piece in data.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            let before = input.len();
            match Message::read(&mut input, limits) {
                Ok(Some(message)) => {
                    let headers: usize = message.headers().map(|(_, value)| value.len()).sum();
                    assert!(headers <= limits.headers as usize);
                    assert!(message.body.len() <= limits.body as usize);
                    let mut written = BytesMut::new();
                    message.write(&mut written);
                    assert_eq!(written.len(), before - input.len());
                    let again = Message::read(&mut written, limits);
                    assert_eq!(again.as_ref(), Ok(&Some(message.clone())));
                    let _ = (message.u32(1000), message.text(1008), message.flag(2));
                    messages.push(message);
                }
                Ok(None) => {
                    assert_eq!(input.len(), before, "nothing is taken before it is whole");
                    break;
                }
                Err(error) => {
                    assert!(error.to_string().len() < 4096);
                    return (messages, false);
                }
            }
        }
    }
    (messages, true)
}
