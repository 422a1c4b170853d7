//! What must hold for any bytes taken for an event; shared with the fuzz target.

use salt_proto::{Event, Limits};

/// Reads `data` as an event.
///
/// # Panics
///
/// When an event does not survive being packed, or its tag is read in two ways.
pub(crate) fn event(data: &[u8]) {
    let limits = Limits {
        max_message: 1 << 20,
        max_depth: 64,
        max_items: 10_000,
    };
    let tag = Event::tag_of(data);
    if let Ok(event) = Event::unpack(data, &limits) {
        assert_eq!(tag.unwrap(), event.tag);
        let bytes = event.pack().unwrap();
        assert_eq!(
            Event::unpack(
                &bytes,
                &Limits {
                    max_message: bytes.len(),
                    ..limits
                }
            )
            .unwrap(),
            event
        );
    }
}
