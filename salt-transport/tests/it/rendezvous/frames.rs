//! The inputs that the fuzz target keeps.

use crate::checks;

#[test]
fn kept_frames_are_taken_whole_or_refused() {
    for data in checks::corpus("rendezvous_frame") {
        checks::rendezvous_frame::rendezvous_frame(&data);
    }
}
