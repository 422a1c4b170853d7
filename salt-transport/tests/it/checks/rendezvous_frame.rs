//! What must hold for any bytes that reach a relay, or come from one; shared with the fuzz target.

use salt_transport::rendezvous::Frame;

/// Takes frames from `data` until one is refused or not whole.
///
/// # Panics
///
/// When a frame is longer than it may be, is decided differently once more of it is there, or is not what its own
/// encoding means.
pub(crate) fn rendezvous_frame(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((frame, length))) = Frame::decode(rest) {
        assert!((3..=3 + Frame::MAX_BODY).contains(&length) && length <= rest.len());
        let (whole, after) = rest.split_at(length);
        for cut in 0..length {
            let begin = whole.get(..cut).unwrap_or_default();
            let wanted = Frame::wanted(begin);
            assert!(wanted.is_ok_and(|wanted| wanted > cut && wanted <= length));
            assert_eq!(Frame::decode(begin), Ok(None));
        }
        let encoded = frame.encode();
        assert!(encoded.len() <= length);
        // The text of an offer may have been cut; everything else comes out as it went in.
        let is_offer = matches!(frame, Frame::Offer { .. });
        assert!(encoded == whole || is_offer);
        let again = Frame::decode(&encoded);
        assert!(matches!(again, Ok(Some((_, all))) if all == encoded.len()));
        rest = after;
    }
    if let Ok(None) = Frame::decode(rest) {
        let wanted = Frame::wanted(rest);
        assert!(wanted.is_ok_and(|wanted| wanted > rest.len()));
    }
}
