//! What must hold for any bytes taken for a request; shared with the fuzz target.

use salt_proto::envelope::{Enc, Envelope};
use salt_proto::message::{AesCommand, AesRequest, ClearCommand, ClearRequest, Proof};
use salt_proto::{Job, Limits, Map, MinionId, Value, msgpack};

/// Reads `data` as an envelope, and as the load inside one.
///
/// # Panics
///
/// When a load is read as a command that is not on its list, or does not
/// survive being written.
pub(crate) fn envelope(data: &[u8]) {
    let limits = Limits {
        max_message: 1 << 20,
        max_depth: 64,
        max_items: 10_000,
    };
    if let Ok(message) = Envelope::parse(data, &limits) {
        assert!(matches!(message.enc, Enc::Clear | Enc::Aes));
        if let Ok(id) = message.minion_id() {
            assert!(MinionId::valid_in_salt(id.as_str()));
        }
        if let Ok(load) = message.clear_load(&limits) {
            load_is_handled(load);
        }
    }
    // What is inside a sealed load after it was opened.
    if let Ok(Value::Map(load)) = msgpack::decode(data, &limits) {
        load_is_handled(load);
    }
}

fn load_is_handled(load: Map) {
    let name = load.str("cmd").unwrap_or("").to_owned();
    if let Ok(request) = ClearRequest::from_map(load.clone()) {
        // K-01
        assert_eq!(ClearCommand::from_name(&name), Some(request.command()));
        assert_eq!(ClearRequest::from_map(request.to_map()).unwrap(), request);
    }
    let mut opened = load.clone();
    if Proof::take(&mut opened).is_ok()
        && let Ok(request) = AesRequest::from_map(opened)
    {
        assert_eq!(AesCommand::from_name(&name), Some(request.command()));
        assert_eq!(AesRequest::from_map(request.to_map()).unwrap(), request);
        if let AesRequest::MinionEvent(events) = &request {
            let sender = MinionId::parse("fuzz").unwrap();
            for event in events.fired(&sender).events {
                assert!(!salt_proto::event::is_reserved_tag(&event.tag, &sender));
                event.pack().unwrap();
            }
        }
    }
    if let Ok(job) = Job::from_map(load) {
        assert_eq!(Job::from_map(job.to_map()).unwrap(), job);
        job.calls();
    }
}
