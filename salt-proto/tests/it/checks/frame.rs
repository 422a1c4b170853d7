//! What must hold for any bytes of a framed stream; shared with the fuzz target.

use salt_proto::frame::{self, FrameDecoder, Framing};

const MAX_FRAME: usize = 64 * 1024;

/// Feeds `data` to a decoder, whole and cut as its first two bytes say.
///
/// # Panics
///
/// When the cut changes what comes out, or a frame does not survive encoding.
pub(crate) fn frame(data: &[u8]) {
    let Some((&[kind, cut], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let framing = match kind % 3 {
        0 => Framing::Bare,
        1 => Framing::Prefixed,
        _ => Framing::Detect,
    };
    let whole = decode(framing, rest, rest.len().max(1));
    let pieces = decode(framing, rest, usize::from(cut) + 1);
    assert_eq!(whole, pieces);

    for received in whole.0 {
        received.mid();
        received.payload();
        let again = frame::encode(&received.head, &received.body);
        let (again, error) = decode(Framing::Bare, &again, again.len());
        // The outermost map may have been written in a shorter form than ours.
        assert!(error.is_some() || again == [received]);
    }
}

fn decode(
    framing: Framing,
    bytes: &[u8],
    cut: usize,
) -> (Vec<frame::Frame>, Option<frame::FrameError>) {
    let mut decoder = FrameDecoder::new(framing, MAX_FRAME);
    let mut frames = Vec::new();
    for piece in bytes.chunks(cut) {
        decoder.handle_input(piece);
        loop {
            match decoder.poll_frame() {
                Ok(Some(received)) => frames.push(received),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(decoder.held() <= MAX_FRAME + cut);
    }
    (frames, None)
}
